package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Control groups weigh as much as so many threads of the rest of the machine. By
// itself a group weighs as much as one, and so does each session outside of them.
const (
	// All containers of all nodes are in one group: any other thread would take half a
	// processor from all of them together, the control plane's dozens nearly all. A
	// node that is a machine gives its pods what its few other processes leave.
	containersWeigh = 20
	// The cluster's own programs would each have a machine's processors, and what one
	// does for a container that starts would keep no pod of another node waiting.
	programsWeigh = 2
	// A group of this weight gets what all others leave, and gives it back at once: one
	// that only weighs little still runs to the end of its turn, 3 ms each time, and a
	// shard that moves waits for a dozen of those.
	leftovers = 0
)

// besides begins the names of the groups of what is outside of the cluster.
const besides = "leftfold-beside-"

// programsGroup is the name of the group that the cluster's own programs are in.
func (c *Cluster) programsGroup() string {
	return "leftfold-cluster-" + c.plan.Network.Addr().String()
}

// removePatience bounds how long groups are waited for to be empty.
const removePatience = 10 * time.Second

// weighContainers makes their group, before anything is in it.
func weighContainers() error {
	_, err := makeGroup("k8s.io", containersWeigh)
	return err
}

// Beside makes a group for processes outside of the cluster that stand for another
// machine's, such as a database's: it weighs as much as all containers together. By
// itself each of a database's processes would weigh a twentieth of them, and those of
// a busy cluster leave it nothing for a tenth of a second at a time. The group is to
// be removed when it is empty. Where there are no cgroups to write, there are none.
func Beside(name string) (folders []string, remove func() error, err error) {
	folders, err = makeGroup(fmt.Sprintf("%s%s-%d", besides, name, os.Getpid()), containersWeigh)
	remove = func() error {
		ctx, cancel := context.WithTimeout(context.Background(), removePatience)
		defer cancel()
		var errs []error
		for _, folder := range folders {
			errs = append(errs, removeCgroup(ctx, folder))
		}
		return errors.Join(errs...)
	}
	if err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	return folders, remove, nil
}

// StepBeside moves this process, and what it starts from now on, into such a group, and
// gives the way back. Whoever measures a cluster stands for another machine, too: what
// it waits for a processor itself would look like time that the cluster took.
func StepBeside(name string) (back func() error, err error) {
	folders, remove, err := Beside(name)
	if err != nil {
		return nil, err
	}
	var homes []string
	for _, folder := range folders {
		hierarchy := filepath.Dir(folder)
		home, err := ownGroup(hierarchy)
		if err != nil {
			return nil, errors.Join(err, remove())
		}
		homes = append(homes, filepath.Join(hierarchy, home))
	}
	back = func() error { return errors.Join(joinGroups(homes, os.Getpid()), remove()) }
	if err := joinGroups(folders, os.Getpid()); err != nil {
		return nil, errors.Join(err, back())
	}
	return back, nil
}

// ownGroup is the group of this process, as a path in the hierarchy that has processors
// to share out.
func ownGroup(hierarchy string) (string, error) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		number, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, path, _ := strings.Cut(rest, ":")
		old := slices.Contains(strings.Split(controllers, ","), "cpu")
		if old && hierarchy != unified || number == "0" && hierarchy == unified {
			return path, nil
		}
	}
	return "", fmt.Errorf("/proc/self/cgroup tells nothing of %s", hierarchy)
}

// unified is where the hierarchy of version 2 is, if there is no other.
const unified = "/sys/fs/cgroup"

// makeGroup makes a control group that weighs as much as so many threads, or leftovers,
// and gives its folders.
func makeGroup(name string, weight int) (folders []string, err error) {
	for _, g := range []struct {
		hierarchy, file string
		one             int
	}{{"/sys/fs/cgroup/cpu", "cpu.shares", 1024}, {unified, "cpu.weight", 100}} {
		group := filepath.Join(g.hierarchy, name)
		if _, err := os.Stat(filepath.Join(g.hierarchy, "cgroup.procs")); err != nil {
			continue
		}
		if err := os.MkdirAll(group, 0o755); err != nil {
			return folders, err
		}
		folders = append(folders, group)
		idle := "0"
		if weight == leftovers {
			idle = "1"
		}
		err := set(group, "cpu.idle", idle) // first: one that is idle has no weight
		if weight != leftovers {
			err = errors.Join(err, set(group, g.file, strconv.Itoa(weight*g.one)))
		}
		if err != nil {
			return folders, fmt.Errorf("weigh the control group %s: %w", group, err)
		}
	}
	return folders, nil
}

// set writes a group's setting, if the kernel has it and lets it be written.
func set(group, file, value string) error {
	err := os.WriteFile(filepath.Join(group, file), []byte(value), 0o644)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}

// joinGroups moves a process into groups.
func joinGroups(folders []string, pid int) error {
	for _, folder := range folders {
		err := os.WriteFile(filepath.Join(folder, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644)
		if err != nil && !errors.Is(err, unix.ESRCH) { // it has ended
			return fmt.Errorf("move process %d into a control group: %w", pid, err)
		}
	}
	return nil
}

// removeCgroups removes what containers that were killed have left. Containerd
// puts a container into /k8s.io/ID of every hierarchy.
func (c *Cluster) removeCgroups(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, removePatience)
	defer cancel()
	for _, node := range c.plan.nodes() {
		containers, err := os.ReadDir(c.containers(node.Name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, container := range containers {
			if err := removeEverywhere(ctx, "k8s.io/"+container.Name()); err != nil {
				return err
			}
		}
	}
	if err := removeEverywhere(ctx, c.programsGroup()); err != nil {
		return err
	}
	for _, pattern := range []string{
		"/sys/fs/cgroup/k8s.io", "/sys/fs/cgroup/*/k8s.io",
		// Of those who were killed before they could.
		"/sys/fs/cgroup/" + besides + "*", "/sys/fs/cgroup/*/" + besides + "*",
	} {
		parents, _ := filepath.Glob(pattern)
		for _, parent := range parents {
			_ = unix.Rmdir(parent) // stays where another has something in it
		}
	}
	return nil
}

// removeEverywhere removes a group from every hierarchy that has it.
func removeEverywhere(ctx context.Context, name string) error {
	for _, hierarchy := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
		groups, err := filepath.Glob(hierarchy + name)
		if err != nil {
			return err
		}
		for _, group := range groups {
			if err := removeCgroup(ctx, group); err != nil {
				return err
			}
		}
	}
	return nil
}

// removeCgroup removes one group without any under it. The kernel may take a
// moment to see that its last process has ended.
func removeCgroup(ctx context.Context, group string) error {
	return poll(ctx, 20*time.Millisecond, "cgroup "+group, func() (bool, error) {
		switch err := unix.Rmdir(group); {
		case err == nil, errors.Is(err, unix.ENOENT):
			return true, nil
		case errors.Is(err, unix.EBUSY):
			return false, nil
		default:
			return false, fmt.Errorf("remove cgroup %s: %w", group, err)
		}
	})
}
