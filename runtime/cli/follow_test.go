package cli_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// follower is a running leftfold events --follow.
type follower struct {
	cmd   *exec.Cmd
	lines chan string
}

// follow starts following after what is in the log now.
func follow(t *testing.T, url string) *follower {
	t.Helper()
	f := &follower{cmd: exec.Command(binary, "events", "account", "--follow", "--server", url, "--after", start(t, url)), lines: make(chan string)}
	f.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := f.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(f.lines)
		for s := bufio.NewScanner(stdout); s.Scan(); {
			f.lines <- s.Text()
		}
	}()
	return f
}

// start gives the position at the end of the log.
func start(t *testing.T, url string) string {
	t.Helper()
	var page struct{ Position string }
	response, err := http.Get(url + "/v1/events/account?after=end")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if err := json.NewDecoder(response.Body).Decode(&page); err != nil {
		t.Fatal(err)
	}
	return page.Position
}

func (f *follower) line(t *testing.T) string {
	t.Helper()
	select {
	case line := <-f.lines:
		return line
	case <-time.After(patience):
		t.Fatal("no line came")
		return ""
	}
}

// interrupt ends it as Ctrl-C does, which is how following ends well.
func (f *follower) interrupt(t *testing.T) {
	t.Helper()
	if err := f.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	for range f.lines { // the end
	}
	if err := f.cmd.Wait(); err != nil {
		t.Errorf("interrupted: %v", err)
	}
}
