package cluster

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestStatOfAProcess(t *testing.T) {
	const rest = " S 17 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 12 0 98765 1000 200 18446744073709551615"
	for _, c := range []struct {
		name, line string
		want       stat
		wrong      bool
	}{
		{"a plain name", "42 (etcd)" + rest, stat{parent: 17, state: 'S', start: 98765}, false},
		{"a name with spaces and parentheses", "42 (a) R 1 (b)" + rest, stat{parent: 17, state: 'S', start: 98765}, false},
		{"no name at all", "42 S 17", stat{}, true},
		{"too short", "42 (etcd) S 17 1", stat{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseStat(c.line)
			if (err != nil) != c.wrong || got != c.want {
				t.Errorf("got %+v, %v; want %+v, wrong: %t", got, err, c.want, c.wrong)
			}
		})
	}
}

// fakeProc is a /proc of processes that do not exist.
type fakeProc struct {
	t   *testing.T
	dir string
}

func (f fakeProc) add(pid, parent int, state, environment, mounts string) {
	f.t.Helper()
	folder := filepath.Join(f.dir, strconv.Itoa(pid))
	if err := os.MkdirAll(folder, 0o755); err != nil {
		f.t.Fatal(err)
	}
	line := fmt.Sprintf("%d (program) %s %d 1 1 0 -1 0 1 2 3 4 5 6 7 8 20 0 12 0 %d 1000", pid, state, parent, pid*10)
	for name, content := range map[string]string{"stat": line, "environ": environment, "mountinfo": mounts} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o644); err != nil {
			f.t.Fatal(err)
		}
	}
}

func TestMembersOfACluster(t *testing.T) {
	const (
		hostRoot = "22 1 254:0 / / rw - ext4 /dev/vda rw\n"
		podRoot  = "90 80 0:99 / / ro - overlay overlay ro,lowerdir=/lib/c/node-1/l,upperdir=/lib/c/node-1/u,workdir=/lib/c/w\n"
		elsePod  = "90 80 0:99 / / ro - overlay overlay ro,lowerdir=/lib/cc/l,upperdir=/lib/cc/u,workdir=/lib/cc/w\n"
	)
	mark := func(value string) string { return "HOME=/\x00" + markVariable + "=" + value + "\x00PATH=/bin\x00" }
	proc := fakeProc{t, t.TempDir()}
	proc.add(1, 0, "S", "HOME=/\x00", hostRoot)
	proc.add(100, 1, "S", mark("/lib/c:control-plane"), hostRoot)
	proc.add(200, 1, "S", mark("/lib/c:node-1"), hostRoot)        // containerd
	proc.add(210, 1, "S", mark("/lib/c:node-1"), hostRoot)        // a shim
	proc.add(211, 210, "S", "", podRoot)                          // its container
	proc.add(212, 211, "T", "", podRoot)                          // and what that started
	proc.add(220, 1, "S", "", podRoot)                            // a container without its shim
	proc.add(230, 1, "Z", mark("/lib/c:node-1"), "")              // one that has ended
	proc.add(300, 1, "S", mark("/lib/c:node-2"), hostRoot)        // another node's
	proc.add(400, 1, "S", mark("/lib/cc:node-1"), hostRoot)       // another cluster's, in a folder that begins alike
	proc.add(401, 1, "S", "", elsePod)                            // and its container
	proc.add(500, 1, "S", "X"+markVariable+"=/lib/c:y", hostRoot) // a stranger's, with a similar variable
	c := &Cluster{dir: "/lib/c"}
	for _, test := range []struct {
		name   string
		accept func(string, int) bool
		want   []int
	}{
		{"all, orphaned containers too", c.ofCluster, []int{100, 200, 210, 211, 212, 220, 300}},
		{"those of one node with their containers", c.ofPart("node-1"), []int{200, 210, 211, 212}},
		{"those of the control plane", c.ofPart(controlPlane), []int{100}},
		{"nobody of a node that is not there", c.ofPart("node-9"), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := members(proc.dir, test.accept)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestProcessIsAliveUntilItEnds(t *testing.T) {
	c, started := startSleeper(t)
	if !started.alive() {
		t.Fatal("a process that was just started is not alive")
	}
	again := started
	again.Start++
	if again.alive() {
		t.Error("a process that began at another time passes for the one that was recorded")
	}
	if err := unix.Kill(started.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the process to end", func() bool { return !started.alive() })
	if len(c.Components()) != 1 || c.Components()[0].Running {
		t.Errorf("components: %+v", c.Components())
	}
}

func TestKillAllEndsWhatNobodyRecorded(t *testing.T) {
	c, started := startSleeper(t)
	c.state.Processes = nil
	if err := c.killAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the process to end", func() bool { return !started.alive() })
}

func TestStopFreezesAndContinueThaws(t *testing.T) {
	c, started := startSleeper(t)
	if err := c.Stop("node-1"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the process to stop", func() bool { return stateOf(t, started.PID) == 'T' })
	if err := c.Continue("node-1"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the process to go on", func() bool { return stateOf(t, started.PID) != 'T' })
	if err := c.Stop("node-9"); err == nil {
		t.Error("a node that is not there was stopped")
	}
}

// startSleeper makes a cluster of one process, which belongs to node-1 and does
// nothing.
func startSleeper(t *testing.T) (*Cluster, process) {
	t.Helper()
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{dir: t.TempDir(), log: io.Discard}
	if c.plan, err = newPlan("", defaultNetwork, 1); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(c.logs(), 0o755); err != nil {
		t.Fatal(err)
	}
	started, err := c.start("node-1", "node-1/sleeper", sleep, "600")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.Kill(started.PID, unix.SIGKILL)
		waitFor(t, "the process to end", func() bool { return !started.alive() })
	})
	// The mark is the new program's: until it has begun, the process is a copy of us.
	waitFor(t, "the program to begin", func() bool { _, ok := readMark("/proc", started.PID); return ok })
	return c, started
}

func stateOf(t *testing.T, pid int) byte {
	t.Helper()
	stat, err := readStat("/proc", pid)
	if err != nil {
		t.Fatal(err)
	}
	return stat.state
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := poll(ctx, time.Millisecond, what, func() (bool, error) { return done(), nil }); err != nil {
		t.Fatal(err)
	}
}
