package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Programs is what a cluster is made of and this repository builds.
type Programs struct {
	// Folder holds the programs of Kubernetes, and etcd.
	Folder string
	// Pause is the archive of the image by that name.
	Pause string
}

// built are the programs that hack/kube-binaries.sh is asked for.
var built = []string{
	"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl",
}

// Prepare builds, once, what a cluster is made of: some minutes when the cache is
// cold, which the log is told, and nothing when it is not. It needs no root. An
// empty root is the repository of the working directory.
func Prepare(ctx context.Context, root string, log io.Writer) (Programs, error) {
	root, err := repository(root)
	if err != nil {
		return Programs{}, err
	}
	build := exec.CommandContext(ctx, filepath.Join(root, "hack", "kube-binaries.sh"), built...)
	build.Stderr = log
	out, err := build.Output()
	if err != nil {
		return Programs{}, fmt.Errorf("build Kubernetes: %w", err)
	}
	p := Programs{Folder: strings.TrimSpace(string(out))}
	cache := os.Getenv("LEFTFOLD_CACHE")
	if cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return Programs{}, err
		}
		cache = filepath.Join(home, ".cache", "leftfold")
	}
	p.Pause, err = buildPause(ctx, root, cache)
	return p, err
}

// repository finds the top of the working directory's repository.
func repository(root string) (string, error) {
	if root != "" {
		return root, nil
	}
	folder, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(folder, "hack", "kube-binaries.sh")); err == nil {
			return folder, nil
		}
		if folder == filepath.Dir(folder) {
			return "", errors.New("not in the repository: hack/kube-binaries.sh is not found")
		}
		folder = filepath.Dir(folder)
	}
}

func (c *Cluster) program(name string) string { return filepath.Join(c.programs.Folder, name) }

// giveToCaller makes a file the property of who became root by sudo.
func giveToCaller(path string) error {
	user, err := strconv.Atoi(os.Getenv("SUDO_UID"))
	if err != nil {
		return nil // nobody did
	}
	group, err := strconv.Atoi(os.Getenv("SUDO_GID"))
	if err != nil {
		return nil
	}
	return os.Chown(path, user, group)
}

// tail is the end of a log, for who has to find out what went wrong.
func tail(path string) string {
	const lines = 20
	raw, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	list := strings.Split(strings.TrimRight(string(raw), "\n"), "\n")
	return strings.Join(list[max(0, len(list)-lines):], "\n")
}
