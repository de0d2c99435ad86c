package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The tests of this package use the built command as a user does: words in, text
// and an exit code out.

const (
	// patience bounds every wait for something that must come.
	patience = 30 * time.Second
	bank     = "../../config/samples/bank"
)

// binary is the command, built once.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	folder, err := os.MkdirTemp("", "leftfold-cli-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(folder) }()
	binary = filepath.Join(folder, "leftfold")
	build := exec.Command("go", "build", "-o", binary, "github.com/leftfold/leftfold/runtime")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the command: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// said is what a command printed, and its exit code.
type said struct {
	code        int
	out, errors string
}

// leftfold runs the command to its end.
func leftfold(t *testing.T, args ...string) said {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out, errors bytes.Buffer
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Stdout, cmd.Stderr = &out, &errors
	err := cmd.Run()
	if cmd.ProcessState == nil || ctx.Err() != nil {
		t.Fatalf("leftfold %s: %v\n%s", strings.Join(args, " "), err, errors.String())
	}
	return said{cmd.ProcessState.ExitCode(), out.String(), errors.String()}
}

// process is a running leftfold dev.
type process struct {
	url   string
	ready time.Duration
	cmd   *exec.Cmd
	log   *bytes.Buffer
	ended chan struct{}
}

// serve starts leftfold dev and waits for its ready line.
func serve(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{log: &bytes.Buffer{}, ended: make(chan struct{})}
	p.cmd = exec.Command(binary, append([]string{"dev", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"}, args...)...)
	p.cmd.Stderr = p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 1)
	go func() {
		defer close(p.ended)
		for s := bufio.NewScanner(stdout); s.Scan(); {
			lines <- s.Text()
		}
		close(lines)
		_ = p.cmd.Wait() // the exit code is looked at where it matters
	}()
	t.Cleanup(func() { p.end(t, syscall.SIGKILL) })
	select {
	case line, ok := <-lines:
		p.ready = time.Since(begun)
		url, found := strings.CutPrefix(line, "ready ")
		if !ok || !found {
			<-p.ended
			t.Fatalf("instead of ready it said %q\n%s", line, p.log)
		}
		p.url = url
	case <-time.After(patience):
		t.Fatal("no ready line")
	}
	return p
}

// end sends a signal and gives the exit code, -1 after a kill.
func (p *process) end(t *testing.T, signal syscall.Signal) int {
	t.Helper()
	_ = p.cmd.Process.Signal(signal) // it may have ended
	select {
	case <-p.ended:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		t.Fatalf("it goes on after %v", signal)
	}
	return p.cmd.ProcessState.ExitCode()
}

// client runs a client command against the process.
func (p *process) client(t *testing.T, args ...string) said {
	t.Helper()
	return leftfold(t, append(args, "--server", p.url)...)
}

// must runs a client command that has to succeed, and gives what it printed.
func (p *process) must(t *testing.T, args ...string) string {
	t.Helper()
	s := p.client(t, args...)
	if s.code != 0 {
		t.Fatalf("leftfold %s: exit %d\n%s%s", strings.Join(args, " "), s.code, s.out, s.errors)
	}
	return s.out
}

func holds(t *testing.T, text string, pieces ...string) {
	t.Helper()
	for _, piece := range pieces {
		if !strings.Contains(text, piece) {
			t.Errorf("it lacks %q:\n%s", piece, text)
		}
	}
}
