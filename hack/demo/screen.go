package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// screen prints the demo: with colours and a moving line on a terminal, plain
// lines when piped.
type screen struct{ terminal bool }

func newScreen() *screen {
	info, err := os.Stdout.Stat()
	return &screen{terminal: err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"}
}

func (s *screen) style(code, text string) string {
	if !s.terminal {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s *screen) title(format string, args ...any) {
	fmt.Println("\n" + s.style("1", "== "+fmt.Sprintf(format, args...)))
}

func (s *screen) say(format string, args ...any) { fmt.Printf("   "+format+"\n", args...) }

func (s *screen) command(name string, args ...string) {
	fmt.Println(s.style("36", "$ "+name+" "+strings.Join(args, " ")))
}

// show runs a command, prints it and its output, and wants an exit code. The
// server's address is left out of what is shown: a user's is the default.
func (s *screen) show(ctx context.Context, binary, name string, wantExit int, args ...string) error {
	s.command(name, args[:len(args)-2]...)
	cmd := exec.CommandContext(ctx, binary, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	for line := range strings.Lines(out.String()) {
		fmt.Print("   " + line)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err
	}
	if got := cmd.ProcessState.ExitCode(); got != wantExit {
		return fmt.Errorf("%s %s ended with exit code %d, not %d", name, args[0], got, wantExit)
	}
	return nil
}

// watch waits and tells how far things are: often on a terminal, each second in
// plain lines.
func (s *screen) watch(ctx context.Context, d time.Duration, state func() string) error {
	step := time.Second
	if s.terminal {
		step = 100 * time.Millisecond
	}
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	end := time.NewTimer(d)
	defer end.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-end.C:
			if s.terminal {
				fmt.Print("\r\x1b[K")
			}
			return nil
		case <-ticker.C:
			if s.terminal {
				fmt.Print("\r\x1b[K   " + state())
			} else {
				s.say("%s", state())
			}
		}
	}
}

// showLog prints the end of the server's log after a failure.
func (d *demo) showLog() {
	data, err := os.ReadFile(d.log)
	if err != nil {
		return
	}
	const most = 4000
	if len(data) > most {
		data = data[len(data)-most:]
	}
	fmt.Fprintf(os.Stderr, "the server's log ended with:\n%s\n", data)
}
