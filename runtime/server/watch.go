package server

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/leftfold/leftfold/runtime/definition"
)

// settle is how long files must be quiet before they are read again: editors
// write a file in several steps.
const settle = 100 * time.Millisecond

// Watch reads the manifests again whenever they change, and applies them if they
// hold no error; else it says what is wrong and the last good ones go on. It
// returns when ctx ends.
func Watch(ctx context.Context, paths []string, logger *slog.Logger, apply func(context.Context, *definition.Set)) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer func() { _ = watcher.Close() }()
	for _, path := range paths {
		// A file is watched through its folder, for editors replace files.
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			path = filepath.Dir(path)
		}
		if err := watcher.Add(path); err != nil {
			return err
		}
	}
	quiet := time.NewTimer(settle)
	quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-watcher.Events:
			if !ok {
				return nil
			}
			quiet.Reset(settle)
		case err, ok := <-watcher.Errors:
			if !ok {
				return nil
			}
			logger.Warn("manifests may have changed unseen; save them again to have them read", "error", err)
		case <-quiet.C:
			set, problems, err := definition.Load(paths)
			if err != nil {
				logger.Error("manifests cannot be read; the last good ones go on serving", "error", err)
				continue
			}
			for _, p := range problems {
				logger.Warn("in the manifests", "problem", p.String())
			}
			if definition.HasErrors(problems) {
				logger.Error("manifests hold errors; the last good ones go on serving")
				continue
			}
			apply(ctx, set)
		}
	}
}
