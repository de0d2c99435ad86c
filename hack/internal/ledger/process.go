package ledger

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process is a leftfold that this program started.
type Process struct {
	// URL is what leftfold dev says in its ready line.
	URL string
	// Ready is how long it took from the start to that line.
	Ready time.Duration
	cmd   *exec.Cmd
	gone  chan struct{}
}

// readyWithin is how long a start may take: the promise is two seconds on an
// idle machine, and the machines that run this are not.
const readyWithin = 60 * time.Second

// Start starts leftfold dev with args and waits for its ready line. What it logs
// goes to log.
func Start(ctx context.Context, log io.Writer, binary string, args ...string) (*Process, error) {
	began, ready := time.Now(), make(chan string, 1)
	p, err := launch(log, ready, binary, args...)
	if err != nil {
		return nil, err
	}
	select {
	case p.URL = <-ready:
		p.Ready = time.Since(began)
		return p, nil
	case <-p.gone:
		return nil, fmt.Errorf("%s ended before it was ready: %v", binary, p.cmd.ProcessState)
	case <-time.After(readyWithin):
	case <-ctx.Done():
	}
	p.Kill()
	return nil, fmt.Errorf("%s was not ready within %s", binary, time.Since(began).Round(time.Second))
}

// Launch starts the binary with args, and waits for nothing.
func Launch(log io.Writer, binary string, args ...string) (*Process, error) {
	return launch(log, make(chan string, 1), binary, args...)
}

func launch(log io.Writer, ready chan<- string, binary string, args ...string) (*Process, error) {
	cmd := exec.Command(binary, args...)
	cmd.Stderr = log
	// Should this program die, its child goes too.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, gone: make(chan struct{})}
	go func() {
		defer close(p.gone)
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if url, ok := strings.CutPrefix(lines.Text(), "ready "); ok {
				ready <- url
			}
		}
		_ = cmd.Wait()
	}()
	return p, nil
}

// Signal sends the process a signal, such as SIGSTOP.
func (p *Process) Signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// PID is the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Kill ends it with SIGKILL, as a crash would, and waits until it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.gone
}

// Stop asks it to end (SIGTERM) and gives its exit code.
func (p *Process) Stop() int {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	<-p.gone
	return p.cmd.ProcessState.ExitCode()
}

// Gone is closed when the process has ended.
func (p *Process) Gone() <-chan struct{} { return p.gone }

// Status reads figures of /proc/PID/status that are in KiB, such as VmRSS.
func (p *Process) Status(names ...string) ([]int, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		return nil, err
	}
	figures := make([]int, len(names))
	for i, name := range names {
		_, rest, found := strings.Cut("\n"+string(data), "\n"+name+":")
		figure, unit, _ := strings.Cut(rest, " kB")
		if !found || unit == "" {
			return nil, fmt.Errorf("/proc tells no %s in kB", name)
		}
		if figures[i], err = strconv.Atoi(strings.TrimSpace(figure)); err != nil {
			return nil, fmt.Errorf("/proc: %s: %w", name, err)
		}
	}
	return figures, nil
}

// Build makes the binary that users run, at the path.
func Build(ctx context.Context, path string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-trimpath", "-ldflags", "-s -w", "-o", path,
		"github.com/leftfold/leftfold/runtime")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build leftfold: %w\n%s", err, out)
	}
	return nil
}
