package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// containersWeigh as much as so many threads of the rest of the machine. All
// containers of all nodes are in one group, which by itself would weigh as much as
// one: any other thread would take half a processor from all of them together, the
// control plane's dozens nearly all. A node that is a machine gives its pods what
// its few other processes leave.
const containersWeigh = 20

// weighContainers makes the group, before anything is in it. Where there are no
// cgroups to write, containers weigh what they do.
func weighContainers() error {
	for _, g := range []struct {
		hierarchy, file string
		one             int
	}{{"/sys/fs/cgroup/cpu", "cpu.shares", 1024}, {"/sys/fs/cgroup", "cpu.weight", 100}} {
		group := filepath.Join(g.hierarchy, "k8s.io")
		if _, err := os.Stat(filepath.Join(g.hierarchy, "cgroup.procs")); err != nil {
			continue
		}
		if err := os.MkdirAll(group, 0o755); err != nil {
			return err
		}
		err := os.WriteFile(filepath.Join(group, g.file), []byte(strconv.Itoa(containersWeigh*g.one)), 0o644)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("weigh the containers: %w", err)
		}
	}
	return nil
}

// removeCgroups removes what containers that were killed have left. Containerd
// puts a container into /k8s.io/ID of every hierarchy.
func (c *Cluster) removeCgroups(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for _, node := range c.plan.nodes() {
		containers, err := os.ReadDir(c.containers(node.Name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, container := range containers {
			for _, pattern := range []string{"/sys/fs/cgroup/k8s.io/", "/sys/fs/cgroup/*/k8s.io/"} {
				groups, err := filepath.Glob(pattern + container.Name())
				if err != nil {
					return err
				}
				for _, group := range groups {
					if err := removeCgroup(ctx, group); err != nil {
						return err
					}
				}
			}
		}
	}
	for _, pattern := range []string{"/sys/fs/cgroup/k8s.io", "/sys/fs/cgroup/*/k8s.io"} {
		parents, _ := filepath.Glob(pattern)
		for _, parent := range parents {
			_ = unix.Rmdir(parent) // stays where another has something in it
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
