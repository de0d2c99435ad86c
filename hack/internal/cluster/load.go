package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/leftfold/leftfold/hack/internal/image"
)

// Load imports an image archive into every node. A node that has it already is
// left alone. Pods that run keep the image that they were started with.
func (c *Cluster) Load(ctx context.Context, archive string) error {
	started := time.Now()
	reference, _, err := image.Identity(archive)
	if err != nil {
		return err
	}
	imported := make([]bool, c.plan.Size)
	group, groupContext := errgroup.WithContext(ctx)
	for i, node := range c.plan.nodes() {
		group.Go(func() (err error) {
			imported[i], err = c.importImage(groupContext, node.Name, archive)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("load %s: %w", reference, err)
	}
	count := 0
	for _, new := range imported {
		if new {
			count++
		}
	}
	if count == 0 {
		c.say("%s is on every node already", reference)
		return nil
	}
	c.say("loaded %s into %d of %d nodes (%.1f s)", reference, count, c.plan.Size, time.Since(started).Seconds())
	return nil
}

// importImage tells whether it had to import. What a node has is kept in a file
// for each image, since containerd names images by a digest of its own making.
func (c *Cluster) importImage(ctx context.Context, node, archive string) (bool, error) {
	reference, digest, err := image.Identity(archive)
	if err != nil {
		return false, err
	}
	record := c.nodeFolder(node, filepath.Join("images", strings.ReplaceAll(reference, "/", "_")))
	have, err := os.ReadFile(record)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if string(have) == digest {
		return false, nil
	}
	client, err := find("ctr")
	if err != nil {
		return false, err
	}
	if _, err := run(ctx, "", client, "--address", c.socket(node), "--namespace", "k8s.io", "images", "import", archive); err != nil {
		return false, fmt.Errorf("node %s: %w", node, err)
	}
	if err := os.MkdirAll(filepath.Dir(record), 0o755); err != nil {
		return false, err
	}
	return true, os.WriteFile(record, []byte(digest), 0o644)
}

// buildPause makes the pause image's archive in the cache, once.
func buildPause(ctx context.Context, root, cache string) (string, error) {
	archive := filepath.Join(cache, strings.ReplaceAll(pauseImage, ":", "-")+".tar")
	if _, err := os.Stat(archive); err == nil {
		return archive, nil
	}
	work, err := os.MkdirTemp("", "leftfold-pause-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	binary := filepath.Join(work, "pause")
	build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-trimpath", "-ldflags", "-s -w", "-o", binary, "./hack/cluster/pause")
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the pause image: %w: %s", err, out)
	}
	return archive, image.Write(archive, pauseImage, binary)
}
