package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// FolderVariable names the folder of the cluster in the environment.
const FolderVariable = "LEFTFOLD_CLUSTER"

// defaultFolder is root's, as the processes in it are.
const defaultFolder = "/var/lib/leftfold/cluster"

// state is what is known of a cluster that was started, kept in its folder: it is
// written before anything is made, so that Down knows what may be there.
type state struct {
	Plan      plan      `json:"plan"`
	Processes []process `json:"processes,omitempty"`
	// Tunables are settings of the machine's kernel as they were before: kubelets
	// change them, and Down puts them back.
	Tunables map[string]string `json:"tunables,omitempty"`
	// Folders are mount points that had to be made outside of the cluster's folder.
	Folders []string `json:"folders,omitempty"`
	// NamespaceMount is set where /run/netns was no mount: iproute2 makes it one.
	NamespaceMount bool `json:"namespaceMount,omitempty"`
	// Ready is set when Up has finished.
	Ready bool `json:"ready"`
}

// Cluster is a cluster on this machine. Its methods may be used from several
// goroutines, except Down, which ends the use of all others.
type Cluster struct {
	dir  string
	plan plan
	log  io.Writer
	// programs are needed to start processes, so not after Attach.
	programs Programs
	yielding bool // see Options.Yielding

	mutex sync.Mutex
	state state
}

// Folder is where a cluster is kept: dir, else what LEFTFOLD_CLUSTER says, else
// /var/lib/leftfold/cluster. It is absolute.
func Folder(dir string) (string, error) {
	if dir == "" {
		dir = os.Getenv(FolderVariable)
	}
	if dir == "" {
		dir = defaultFolder
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	// A socket's path has 107 characters; the longest of ours takes fifty.
	if len(dir) > 57 {
		return "", fmt.Errorf("%s is too long for the sockets in it: 57 characters at most", dir)
	}
	return dir, nil
}

// ErrNone is returned where no cluster has been started.
var ErrNone = errors.New("no cluster here")

// Attach gives the cluster that Up has started with this folder (see Folder),
// whether all of it still runs or not. It wraps ErrNone when there is none, or
// only what an unfinished Up has left.
func Attach(dir string) (*Cluster, error) {
	dir, err := Folder(dir)
	if err != nil {
		return nil, err
	}
	c, err := load(dir)
	if err != nil {
		return nil, err
	}
	if !c.state.Ready {
		return nil, fmt.Errorf("%s: %w: it has not come up", dir, ErrNone)
	}
	return c, nil
}

// load reads a folder's state, also of a cluster that is not ready.
func load(dir string) (*Cluster, error) {
	raw, err := os.ReadFile(filepath.Join(dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", dir, ErrNone)
	}
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: dir, log: io.Discard}
	if err := json.Unmarshal(raw, &c.state); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, stateFile), err)
	}
	if c.plan, err = newPlan(c.state.Plan.Name, c.state.Plan.Network, c.state.Plan.Size); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, stateFile), err)
	}
	return c, nil
}

const stateFile = "cluster.json"

// record adds a process that was started; one that is started again takes the
// place of the one before.
func (c *Cluster) record(p process) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.state.Processes = append(slices.DeleteFunc(c.state.Processes, func(q process) bool { return q.Name == p.Name }), p)
	return c.save()
}

func (c *Cluster) save() error {
	raw, err := json.MarshalIndent(c.state, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(c.dir, stateFile)
	if err := os.WriteFile(path+".part", raw, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}

// lock keeps a second Up or Down waiting. It is on the folder above, so that
// nothing is left of it.
func lock(dir string) (unlock func(), err error) {
	above := filepath.Dir(dir)
	if err := os.MkdirAll(above, 0o755); err != nil {
		return nil, err
	}
	folder, err := os.Open(above)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(folder.Fd()), unix.LOCK_EX); err != nil {
		_ = folder.Close()
		return nil, fmt.Errorf("lock %s: %w", above, err)
	}
	return func() { _ = folder.Close() }, nil
}
