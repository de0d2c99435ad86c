// Package screen prints what a demo shows: with colours and a moving line on a
// terminal, plain lines when piped.
package screen

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

// Screen is standard output.
type Screen struct{ terminal bool }

// New looks whether standard output is a terminal.
func New() *Screen {
	info, err := os.Stdout.Stat()
	return &Screen{terminal: err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"}
}

func (s *Screen) style(code, text string) string {
	if !s.terminal {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Title begins an act.
func (s *Screen) Title(format string, args ...any) {
	fmt.Println("\n" + s.style("1", "== "+fmt.Sprintf(format, args...)))
}

// Say prints one line.
func (s *Screen) Say(format string, args ...any) { fmt.Printf("   "+format+"\n", args...) }

// Command prints a command as a user would type it.
func (s *Screen) Command(name string, args ...string) {
	fmt.Println(s.style("36", "$ "+name+" "+strings.Join(args, " ")))
}

// Show runs a command, prints it and its output, and wants an exit code. The
// server's address is left out of what is shown: a user's is the default.
func (s *Screen) Show(ctx context.Context, binary, name string, wantExit int, args ...string) error {
	s.Command(name, args[:len(args)-2]...)
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

// Watch waits and tells how far things are: often on a terminal, each second in
// plain lines.
func (s *Screen) Watch(ctx context.Context, d time.Duration, state func() string) error {
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
				s.Say("%s", state())
			}
		}
	}
}
