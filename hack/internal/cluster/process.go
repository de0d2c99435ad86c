package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// markVariable is in the environment of every process of a cluster and of no
// other: its value is the cluster's folder, a colon, and the part of the cluster
// that the process belongs to. It outlives whatever started the process, and,
// unlike a number, is never another's after a reuse or a reboot.
const markVariable = "LEFTFOLD_CLUSTER_PART"

// process is one component that was started, as it is recorded. The pair of
// number and start time names a process for as long as the machine runs.
type process struct {
	// Name is the component's, such as etcd or node-2/kubelet.
	Name  string `json:"name"`
	PID   int    `json:"pid"`
	Start uint64 `json:"start"`
	Log   string `json:"log"`
}

// start runs a program that outlives this one, in a session of its own, and
// tells as what to record it.
func (c *Cluster) start(part, name, program string, args ...string) (process, error) {
	path := filepath.Join(c.logs(), strings.ReplaceAll(name, "/", "-")+".log")
	log, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return process{}, err
	}
	defer log.Close()
	cmd := exec.Command(program, args...)
	cmd.Dir = "/"
	cmd.Env = c.environment(part)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	// Go closes its own files at the start of a program. Those that this process
	// has inherited, such as a lock that a script holds, must not be kept either by
	// something that outlives it.
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return process{}, fmt.Errorf("files not to be inherited: %w", err)
	}
	weight := programsWeigh
	if c.yielding {
		weight = leftovers
	}
	groups, err := makeGroup(c.programsGroup(), weight)
	if err != nil {
		return process{}, err
	}
	if err := cmd.Start(); err != nil {
		return process{}, fmt.Errorf("start %s: %w", name, err)
	}
	started := process{Name: name, PID: cmd.Process.Pid, Log: path}
	// A process that has ended already stays readable until it is waited for.
	stat, err := readStat("/proc", started.PID)
	if err != nil {
		return process{}, fmt.Errorf("start %s: %w", name, err)
	}
	started.Start = stat.start
	_ = cmd.Process.Release()
	return started, errors.Join(c.record(started), joinGroups(groups, started.PID))
}

// environment is this process's own with the mark. Addresses of the cluster are
// never behind a proxy.
func (c *Cluster) environment(part string) []string {
	direct := c.plan.Network.String() + ",127.0.0.1,localhost"
	for _, name := range []string{"NO_PROXY", "no_proxy"} {
		if set := os.Getenv(name); set != "" {
			direct = set + "," + direct
			break
		}
	}
	environment := slices.DeleteFunc(os.Environ(), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains([]string{"PATH", "NO_PROXY", "no_proxy", "KUBECONFIG", "NOTIFY_SOCKET", markVariable}, name)
	})
	return append(environment,
		"PATH="+os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin",
		"NO_PROXY="+direct, "no_proxy="+direct,
		markVariable+"="+c.mark(part))
}

func (c *Cluster) mark(part string) string { return c.dir + ":" + part }

// alive tells whether a process that was recorded still runs, and not another
// that has its number now. One that has ended and is our own child is waited for.
func (p process) alive() bool {
	stat, err := readStat("/proc", p.PID)
	if err != nil || stat.start != p.Start {
		return false
	}
	if stat.ended() {
		_, _ = unix.Wait4(p.PID, nil, unix.WNOHANG, nil)
		return false
	}
	return true
}

// stat is what we read from /proc/PID/stat.
type stat struct {
	parent int
	state  byte
	// start is in clock ticks since the machine started.
	start uint64
}

func (s stat) ended() bool { return s.state == 'Z' || s.state == 'X' }

func readStat(proc string, pid int) (stat, error) {
	raw, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "stat"))
	if err != nil {
		return stat{}, err
	}
	return parseStat(string(raw))
}

func parseStat(line string) (stat, error) {
	// The second field is the program's name in parentheses and may hold anything.
	end := strings.LastIndexByte(line, ')')
	if end < 0 {
		return stat{}, fmt.Errorf("no program name in %q", line)
	}
	fields := strings.Fields(line[end+1:])
	if len(fields) < 20 || len(fields[0]) != 1 {
		return stat{}, fmt.Errorf("too few fields in %q", line)
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return stat{}, err
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return stat{}, err
	}
	return stat{parent: parent, state: fields[0][0], start: start}, nil
}

// members finds all processes that are accepted, and all that descend from them:
// a container's processes have an environment of their own.
func members(proc string, accept func(proc string, pid int) bool) ([]int, error) {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	var found []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		// Processes end while we read; those are none of our concern.
		stat, err := readStat(proc, pid)
		if err != nil || stat.ended() {
			continue
		}
		children[stat.parent] = append(children[stat.parent], pid)
		if accept(proc, pid) {
			found = append(found, pid)
		}
	}
	seen := map[int]bool{}
	for next := found; len(next) > 0; {
		pid := next[0]
		next = next[1:]
		if !seen[pid] {
			seen[pid] = true
			next = append(slices.Clone(next), children[pid]...)
		}
	}
	return slices.Sorted(maps.Keys(seen)), nil
}

func readMark(proc string, pid int) (string, bool) {
	environment, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "environ"))
	if err != nil {
		return "", false
	}
	for entry := range strings.SplitSeq(string(environment), "\x00") {
		if mark, ok := strings.CutPrefix(entry, markVariable+"="); ok {
			return mark, true
		}
	}
	return "", false
}

// ofCluster accepts every process of the cluster. A container that has lost its
// shim descends from nobody of ours any more; its root file system tells.
func (c *Cluster) ofCluster(proc string, pid int) bool {
	if mark, ok := readMark(proc, pid); ok && strings.HasPrefix(mark, c.dir+":") {
		return true
	}
	mounts, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "mountinfo"))
	if err != nil {
		return false
	}
	root := strings.Index(string(mounts), " / / ")
	if root < 0 {
		return false
	}
	line, _, _ := strings.Cut(string(mounts)[root:], "\n")
	return strings.Contains(line, "upperdir="+c.dir+"/")
}

// ofPart accepts the processes that were started for one part.
func (c *Cluster) ofPart(part string) func(string, int) bool {
	return func(proc string, pid int) bool {
		mark, ok := readMark(proc, pid)
		return ok && mark == c.mark(part)
	}
}

// killAll ends all processes of the cluster and waits until they are gone.
func (c *Cluster) killAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return poll(ctx, 20*time.Millisecond, "processes to end", func() (bool, error) {
		pids, err := members("/proc", c.ofCluster)
		if err != nil {
			return false, err
		}
		for _, pid := range pids {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				return false, fmt.Errorf("kill process %d: %w", pid, err)
			}
		}
		for _, p := range c.state.Processes {
			_ = p.alive() // waits for our own children
		}
		return len(pids) == 0, nil
	})
}

// poll asks until the answer is yes, an error, or the context ends.
func poll(ctx context.Context, every time.Duration, what string, done func() (bool, error)) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		if ok, err := done(); err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		case <-ticker.C:
		}
	}
}

// run executes a program that ends by itself and gives what it printed.
func run(ctx context.Context, stdin string, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin")
	cmd.Stdin = strings.NewReader(stdin)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w: %s", filepath.Base(program), strings.Join(args, " "), err,
			strings.TrimSpace(complaints.String()))
	}
	return string(out), nil
}

// find looks for a program where root's programs are, too.
func find(program string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	for _, folder := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
		path := filepath.Join(folder, program)
		if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o111 != 0 {
			return path, nil
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return "", fmt.Errorf("%s is not installed: run hack/test-dependencies.sh", program)
}
