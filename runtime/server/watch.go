package server

import (
	"context"
	"errors"
	"fmt"
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

// Watcher notices changed manifests. It does so from when it is made, so one
// that is made before the manifests are read misses no change.
type Watcher struct {
	paths   []string
	watcher *fsnotify.Watcher
}

// NewWatcher watches files and folders. Close ends it.
func NewWatcher(paths []string) (*Watcher, error) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		// A file is watched through its folder, for editors replace files.
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			path = filepath.Dir(path)
		}
		if err := watcher.Add(path); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", path, err), watcher.Close())
		}
	}
	return &Watcher{paths: paths, watcher: watcher}, nil
}

// Close ends the watching. Calling it again does nothing.
func (w *Watcher) Close() error { return w.watcher.Close() }

// Run reads the manifests again whenever they have changed, and applies them if
// they hold no error; else it says what is wrong and the last good ones go on.
// It returns when ctx ends or the watcher is closed.
func (w *Watcher) Run(ctx context.Context, logger *slog.Logger, apply func(context.Context, *definition.Set) error) {
	quiet := time.NewTimer(settle)
	quiet.Stop()
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-w.watcher.Events:
			if !ok {
				return
			}
			quiet.Reset(settle)
		case err, ok := <-w.watcher.Errors:
			if !ok {
				return
			}
			logger.Warn("manifests may have changed unseen; save them again to have them read", "error", err)
		case <-quiet.C:
			if set := w.read(logger); set != nil {
				_ = apply(ctx, set) // it has logged what it could not do
			}
		}
	}
}

// read gives nil when the manifests cannot be used.
func (w *Watcher) read(logger *slog.Logger) *definition.Set {
	set, problems, err := definition.Load(w.paths)
	if err != nil {
		logger.Error("manifests cannot be read; the last good ones go on serving", "error", err)
		return nil
	}
	for _, p := range problems {
		logger.Warn("in the manifests", "problem", p.String())
	}
	if definition.HasErrors(problems) {
		logger.Error("manifests hold errors; the last good ones go on serving")
		return nil
	}
	return set
}
