package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

// containers is the folder in which containerd has one folder for each container
// that runs on a node.
func (c *Cluster) containers(node string) string {
	return c.nodeFolder(node, "run/containerd/io.containerd.runtime.v2.task/k8s.io")
}

// ErrNoContainer is returned when a container does not run now.
var ErrNoContainer = errors.New("no such container runs")

// ContainerPID finds a running container: its node, and the number that its first
// process has on this machine, to be killed or stopped for real. The error wraps
// ErrNoContainer when it does not run, or not yet.
func (c *Cluster) ContainerPID(ctx context.Context, pod types.UID, container string) (node string, pid int, err error) {
	for _, node := range c.plan.nodes() {
		entries, err := os.ReadDir(c.containers(node.Name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", 0, err
		}
		for _, entry := range entries {
			if err := ctx.Err(); err != nil {
				return "", 0, err
			}
			folder := filepath.Join(c.containers(node.Name), entry.Name())
			if pid := matches(folder, pod, container); pid > 0 {
				return node.Name, pid, nil
			}
		}
	}
	return "", 0, fmt.Errorf("container %s of pod %s: %w", container, pod, ErrNoContainer)
}

// matches gives the first process of the container in a folder of containerd's,
// when it is the one that is looked for and runs; else 0. Folders come and go, so
// one that cannot be read is one that does not match.
func matches(folder string, pod types.UID, container string) int {
	var bundle struct {
		Annotations map[string]string `json:"annotations"`
		Mounts      []struct {
			Source string `json:"source"`
		} `json:"mounts"`
	}
	raw, err := os.ReadFile(filepath.Join(folder, "config.json"))
	if err != nil || json.Unmarshal(raw, &bundle) != nil {
		return 0
	}
	if bundle.Annotations["io.kubernetes.cri.container-name"] != container {
		return 0
	}
	// Every container has files of its pod's folder, /etc/hosts at least.
	own := false
	for _, mount := range bundle.Mounts {
		own = own || strings.HasPrefix(mount.Source, "/var/lib/kubelet/pods/"+string(pod)+"/")
	}
	if !own {
		return 0
	}
	raw, err = os.ReadFile(filepath.Join(folder, "init.pid"))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		return 0
	}
	if stat, err := readStat("/proc", pid); err != nil || stat.ended() {
		return 0
	}
	return pid
}
