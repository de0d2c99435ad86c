package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// Options say what cluster is wanted. The zero value is a good one.
type Options struct {
	// Name is the prefix of all that the cluster has outside of its folder, 1 to 8
	// small letters and digits. Default: leftfold.
	Name string
	// Nodes is how many it has, 1 to 50. Default: 3, and what a running one has.
	Nodes int
	// Network is a private network with 16 bits that nobody uses here. Default:
	// 10.213.0.0/16.
	Network netip.Prefix
	// Dir is the folder of the cluster. Default: what LEFTFOLD_CLUSTER says, else
	// /var/lib/leftfold/cluster.
	Dir string
	// Root is the repository. Default: that of the working directory.
	Root string
	// Log is told what is done, one line a step. Default: nobody.
	Log io.Writer
	// Yielding gives the cluster's own programs, from the API server to the kubelets,
	// only the processors that all else on this machine leaves them, for one where pods
	// are measured as if those programs had machines of their own. Else they weigh
	// little. It counts for programs that this Up starts, or that the Cluster starts later.
	Yielding bool
}

// Up starts a cluster and returns when all nodes are ready. One that runs with
// this folder is taken as it is, its faults healed; what is left of one that does
// not run is cleared first. It needs root. When it fails, nothing runs, and the
// logs are kept until the next Up or Down.
func Up(ctx context.Context, o Options) (*Cluster, error) {
	dir, err := Folder(o.Dir)
	if err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("a cluster needs root: it makes network namespaces and containers")
	}
	want, err := newPlan(o.Name, o.Network, o.Nodes)
	if err != nil {
		return nil, err
	}
	programs, err := Prepare(ctx, o.Root, o.Log)
	if err != nil {
		return nil, err
	}
	unlock, err := lock(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if running, err := takeRunning(ctx, dir, o); running != nil || err != nil {
		return running, err
	}
	c := &Cluster{dir: dir, plan: want, state: state{Plan: want}, log: o.Log, programs: programs, yielding: o.Yielding}
	if err := c.bringUp(ctx); err != nil {
		// Also when the context has ended: an interrupted Up leaves nothing behind.
		return nil, errors.Join(err, c.clear(context.WithoutCancel(ctx), true))
	}
	return c, nil
}

// takeRunning gives the cluster that runs with the folder, or clears what is left
// of one and gives nil.
func takeRunning(ctx context.Context, dir string, o Options) (*Cluster, error) {
	c, err := load(dir)
	if errors.Is(err, ErrNone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c.log = o.Log
	problem := "it has not come up"
	if c.state.Ready {
		problem = c.problem(ctx)
	}
	if problem != "" {
		c.say("clearing what is left of a cluster in %s: %s", dir, problem)
		return nil, c.clear(ctx, false)
	}
	if o.Nodes != 0 && o.Nodes != c.plan.Size {
		return nil, fmt.Errorf("a cluster of %d nodes runs in %s, not of %d: take it down first", c.plan.Size, dir, o.Nodes)
	}
	for _, node := range c.plan.nodes() {
		if err := errors.Join(c.Continue(node.Name), c.Heal(ctx, node.Name)); err != nil {
			return nil, err
		}
	}
	if err := c.provideStorage(ctx); err != nil {
		return nil, err
	}
	c.say("a cluster of %d nodes runs already", c.plan.Size)
	return c, nil
}

// problem tells in words why a cluster that came up does not run now; nothing
// when it does.
func (c *Cluster) problem(ctx context.Context) string {
	for _, p := range c.state.Processes {
		if !p.alive() {
			return p.Name + " does not run"
		}
	}
	if !c.serves(ctx) {
		return "the API server does not answer"
	}
	return ""
}

func (c *Cluster) bringUp(ctx context.Context) error {
	began := time.Now()
	if err := c.checkNetwork(ctx); err != nil {
		return err
	}
	for _, folder := range []string{c.dir, c.logs(), filepath.Dir(c.configuration("x"))} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
	}
	var err error
	if c.state.Tunables, err = readTunables(); err != nil {
		return err
	}
	for _, folder := range folders {
		if _, err := os.Stat(folder.machine); errors.Is(err, fs.ErrNotExist) {
			c.state.Folders = append(c.state.Folders, folder.machine)
		}
	}
	if c.state.NamespaceMount, err = noMount(namespaceFolder); err != nil {
		return err
	}
	if err := c.save(); err != nil {
		return err
	}
	var containerds []process
	steps := []struct {
		what string
		do   func() error
	}{
		{"certificates", c.issueAll},
		{"network " + c.plan.Network.String(), func() error { return c.connect(ctx) }},
		{"configuration of the nodes", c.prepareNodes},
		{"etcd and the API server", func() error { return c.startAPI(ctx) }},
		{"containerd on each node", func() (err error) {
			if err := weighContainers(); err != nil {
				return err
			}
			containerds, err = c.startContainerds(ctx, c.programs.Pause)
			return err
		}},
		{"controller manager and scheduler", c.startControllers},
		{"storage class and volumes", func() error { return c.provideStorage(ctx) }},
		{"kubelet and kube-proxy on each node", func() error {
			for i, node := range c.plan.nodes() {
				if err := c.startKubelet(node, containerds[i]); err != nil {
					return err
				}
			}
			return c.awaitNodes(ctx)
		}},
	}
	for _, step := range steps {
		started := time.Now()
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
		c.say("%s (%.1f s)", step.what, time.Since(started).Seconds())
	}
	c.state.Ready = true
	if err := c.save(); err != nil {
		return err
	}
	c.say("%d nodes are ready (%.1f s in all)", c.plan.Size, time.Since(began).Seconds())
	return nil
}

// awaitNodes waits until every node is ready and pods can be made.
func (c *Cluster) awaitNodes(ctx context.Context) error {
	err := c.await(ctx, "nodes", c.state.Processes, func(ctx context.Context) bool { return c.missing(ctx) == "" })
	if ctx.Err() == nil && err != nil {
		return fmt.Errorf("missing: %s: %w", c.missing(ctx), err)
	}
	return err
}

// Down ends the cluster and removes all of it. It is no error when nothing is there.
func (c *Cluster) Down(ctx context.Context) error {
	unlock, err := lock(c.dir)
	if err != nil {
		return err
	}
	defer unlock()
	return c.clear(ctx, false)
}

// Down ends the cluster in a folder (see Folder), or what is left of one there.
func Down(ctx context.Context, dir string, log io.Writer) error {
	dir, err := Folder(dir)
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("taking a cluster down needs root")
	}
	if _, err := load(dir); errors.Is(err, ErrNone) {
		fmt.Fprintf(log, "cluster: there is none in %s\n", dir)
		return nil
	} else if err != nil {
		return err
	}
	unlock, err := lock(dir)
	if err != nil {
		return err
	}
	defer unlock()
	// What an Up has started while we waited is in the record now.
	c, err := load(dir)
	if errors.Is(err, ErrNone) {
		return nil
	} else if err != nil {
		return err
	}
	c.log = log
	return c.clear(ctx, false)
}

// clear removes everything but, if wanted, logs. Each step is tried whatever the
// others said; the record goes last, so that a failed clear can be repeated.
func (c *Cluster) clear(ctx context.Context, keepLogs bool) error {
	began := time.Now()
	if _, err := os.Stat(filepath.Join(c.dir, stateFile)); errors.Is(err, fs.ErrNotExist) {
		return nil // nothing was begun
	}
	if err := c.killAll(ctx); err != nil {
		return err
	}
	errs := []error{c.disconnect(ctx), c.removeCgroups(ctx), restoreTunables(c.state.Tunables)}
	for _, folder := range c.state.Folders {
		if err := os.Remove(folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	entries, err := os.ReadDir(c.dir)
	errs = append(errs, err)
	for _, entry := range entries {
		path := filepath.Join(c.dir, entry.Name())
		if path == filepath.Join(c.dir, stateFile) || (keepLogs && path == c.logs()) {
			continue
		}
		errs = append(errs, os.RemoveAll(path))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("take the cluster down: %w", err)
	}
	if keepLogs {
		c.state = state{Plan: c.plan}
		return c.save()
	}
	if err := os.RemoveAll(c.dir); err != nil {
		return err
	}
	if c.dir == defaultFolder {
		_ = os.Remove(filepath.Dir(c.dir)) // ours as well, unless something else is in it
	}
	c.say("taken down (%.1f s)", time.Since(began).Seconds())
	return nil
}

// Nodes are those of the cluster, in order of their names.
func (c *Cluster) Nodes() []Node { return c.plan.nodes() }

// HostAddress is this machine's address that pods and nodes can reach, such as
// for a database that is not in the cluster.
func (c *Cluster) HostAddress() string { return c.plan.host().String() }

// PodSubnets are the addresses that pods have, one subnet a node.
func (c *Cluster) PodSubnets() []netip.Prefix {
	subnets := make([]netip.Prefix, 0, c.plan.Size)
	for _, node := range c.plan.nodes() {
		subnets = append(subnets, node.Pods)
	}
	return subnets
}

// Networks are all from which the cluster reaches this machine: those of pods,
// and that of the nodes.
func (c *Cluster) Networks() []netip.Prefix {
	return append(c.PodSubnets(), c.plan.machines())
}

// Component is a process of the cluster.
type Component struct {
	Name    string
	PID     int
	Running bool
	// Log is the file that it writes to.
	Log string
}

// Components are all processes that the cluster consists of, without containers.
func (c *Cluster) Components() []Component {
	list := make([]Component, 0, len(c.state.Processes))
	for _, p := range c.state.Processes {
		list = append(list, Component{Name: p.Name, PID: p.PID, Running: p.alive(), Log: p.Log})
	}
	return list
}

// Ready tells of each node whether Kubernetes holds it for ready.
func (c *Cluster) Ready(ctx context.Context) (map[string]bool, error) { return c.ready(ctx) }

func (c *Cluster) say(format string, args ...any) {
	fmt.Fprintf(c.log, "cluster: "+format+"\n", args...)
}

// LogTo makes the cluster tell what it does.
func (c *Cluster) LogTo(log io.Writer) { c.log = log }
