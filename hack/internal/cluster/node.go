package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// folders are those of a node that take the place of the machine's, by where the
// node sees them.
var folders = []struct{ own, machine string }{
	{"run", "/run"},
	{"log", "/var/log"},
	{"kubelet", "/var/lib/kubelet"},
	{"cni", "/var/lib/cni"},
}

// enter is what a node's first process goes through: a mount namespace in which
// the node's folders take the place of the machine's. Arguments come in pairs,
// folder and place, up to a pair of dashes; then follows the program.
const enter = `set -e
mount --make-rshared / 2>/dev/null || true
while [ "$1" != -- ]; do mount --bind "$1" "$2"; shift 2; done
shift
exec "$@"`

// startContainerd starts a node's containerd and gives it the pause image.
func (c *Cluster) startContainerd(ctx context.Context, node Node, pause string) (process, error) {
	daemon, err := find("containerd")
	if err != nil {
		return process{}, err
	}
	args := []string{
		"--net=" + namespacePath(c.plan.nodeNamespace(node.Name)), "--",
		"unshare", "--mount", "--propagation", "slave", "--", "sh", "-c", enter, "sh",
	}
	for _, folder := range folders {
		args = append(args, c.nodeFolder(node.Name, folder.own), folder.machine)
	}
	args = append(args, "--", daemon, "--config", c.configuration(node.Name+"-containerd.toml"))
	started, err := c.start(node.Name, node.Name+"/containerd", "nsenter", args...)
	if err != nil {
		return process{}, err
	}
	err = c.await(ctx, "containerd of "+node.Name, []process{started}, func(context.Context) bool {
		connection, err := net.Dial("unix", c.socket(node.Name))
		if err != nil {
			return false
		}
		_ = connection.Close()
		return true
	})
	if err != nil {
		return process{}, err
	}
	_, err = c.importImage(ctx, node.Name, pause)
	return started, err
}

// startKubelet starts what makes a node of a containerd, in the same namespaces.
func (c *Cluster) startKubelet(node Node, containerd process) error {
	in := []string{"--target", strconv.Itoa(containerd.PID), "--mount", "--net", "--"}
	if _, err := c.start(node.Name, node.Name+"/kubelet", "nsenter", append(in,
		c.program("kubelet"),
		"--config="+c.configuration(node.Name+"-kubelet.yaml"),
		"--kubeconfig="+c.configuration(node.Name+"-kubelet.kubeconfig"),
		"--hostname-override="+node.Name,
		"--node-ip="+node.Address.String(),
		"--node-labels=topology.kubernetes.io/zone="+node.Zone)...); err != nil {
		return err
	}
	_, err := c.start(node.Name, node.Name+"/kube-proxy", "nsenter", append(in,
		c.program("kube-proxy"), "--config="+c.configuration(node.Name+"-kube-proxy.yaml"))...)
	return err
}

// startContainerds starts those of all nodes at the same time.
func (c *Cluster) startContainerds(ctx context.Context, pause string) ([]process, error) {
	nodes := c.plan.nodes()
	started := make([]process, len(nodes))
	group, ctx := errgroup.WithContext(ctx)
	for i, node := range nodes {
		group.Go(func() (err error) {
			started[i], err = c.startContainerd(ctx, node, pause)
			return err
		})
	}
	return started, group.Wait()
}

// prepareNodes makes the nodes' folders and files.
func (c *Cluster) prepareNodes() error {
	plugins := ""
	for _, folder := range []string{"/usr/lib/cni", "/opt/cni/bin"} {
		if _, err := os.Stat(filepath.Join(folder, "ptp")); err == nil {
			plugins = folder
			break
		}
	}
	if plugins == "" {
		return errors.New("the CNI plugins are not installed: run hack/test-dependencies.sh")
	}
	snapshotter, err := snapshotter(c.dir)
	if err != nil {
		return err
	}
	for _, folder := range folders {
		if err := os.MkdirAll(folder.machine, 0o755); err != nil {
			return err
		}
	}
	for _, node := range c.plan.nodes() {
		for _, folder := range folders {
			if err := os.MkdirAll(c.nodeFolder(node.Name, folder.own), 0o755); err != nil {
				return err
			}
		}
		if err := c.configureNode(node, snapshotter, plugins); err != nil {
			return err
		}
	}
	return c.writeKubeconfig(c.configuration("kube-proxy.kubeconfig"), "proxy", c.plan.host().String())
}

// snapshotter is containerd's way to stack an image's layers: overlayfs, but an
// overlay does not stand on an overlay, as the root of a container is.
func snapshotter(dir string) (string, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return "", fmt.Errorf("file system of %s: %w", dir, err)
	}
	if fs.Type == unix.OVERLAYFS_SUPER_MAGIC {
		return "native", nil
	}
	return "overlayfs", nil
}

// tunables are settings of the kernel that kubelets change for the whole machine.
var tunables = []string{
	"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops",
	"kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
}

func readTunables() (map[string]string, error) {
	values := map[string]string{}
	for _, name := range tunables {
		raw, err := os.ReadFile(filepath.Join("/proc/sys", name))
		if err != nil {
			return nil, err
		}
		values[name] = strings.TrimSpace(string(raw))
	}
	return values, nil
}

// restoreTunables writes back what differs.
func restoreTunables(values map[string]string) error {
	now, err := readTunables()
	if err != nil {
		return err
	}
	var errs []error
	for name, value := range values {
		if now[name] != value {
			errs = append(errs, os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0o644))
		}
	}
	return errors.Join(errs...)
}
