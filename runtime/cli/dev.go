package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/spf13/cobra"

	"github.com/leftfold/leftfold/runtime/definition"
	"github.com/leftfold/leftfold/runtime/server"
)

// dev holds the flags of leftfold dev.
type dev struct {
	files       []string
	listen, ops string
	data, store string
	logLevel    string
}

func newDev() *cobra.Command {
	var d dev
	cmd := &cobra.Command{
		Use:   "dev -f FILE_OR_DIR...",
		Short: "Serve manifests on this machine, without a cluster",
		Long: `Serve the same manifests that a cluster takes, on this machine.

Events are kept in an embedded store in --data (without it, in a temporary folder
that goes with the process), or in PostgreSQL with --store. An answered command
is durable: kill the process at any time. Changed files take effect by
themselves, if they are sound and history does not contradict them.

When it serves, it prints one line: ready http://HOST:PORT`,
		Example: "  leftfold dev -f config/samples/bank --data ./data",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			d.files = append(d.files, args...) // what a shell makes of -f *.yaml
			if len(d.files) == 0 {
				return errors.New("say which files: leftfold dev -f FILE_OR_DIR")
			}
			return refused(d.run(cmd))
		},
	}
	cmd.Flags().StringSliceVarP(&d.files, "filename", "f", nil, "manifests, or folders of them")
	cmd.Flags().StringVar(&d.listen, "listen", ":8080", "where to serve the API; port 0 takes a free one")
	cmd.Flags().StringVar(&d.ops, "ops-listen", "", "where to serve health and metrics (default: the API's host, its port plus one)")
	cmd.Flags().StringVar(&d.data, "data", "", "folder of the embedded store (default: a temporary one)")
	cmd.Flags().StringVar(&d.store, "store", "", "a postgres:// URL that takes the place of every EventStore")
	cmd.Flags().StringVar(&d.logLevel, "log-level", "info", "debug, info, warn or error")
	cmd.MarkFlagsMutuallyExclusive("data", "store")
	return cmd
}

func (d *dev) run(cmd *cobra.Command) error {
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	var level slog.Level
	if err := level.UnmarshalText([]byte(d.logLevel)); err != nil {
		return wrongUse("--log-level: %w", err)
	}
	logger := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
	watcher, err := server.NewWatcher(d.files)
	if err != nil {
		return fmt.Errorf("watch the manifests: %w", err)
	}
	defer func() { _ = watcher.Close() }()
	set, err := load(cmd, d.files)
	if err != nil {
		return err
	}
	if d.data == "" && d.store == "" {
		if d.data, err = os.MkdirTemp("", "leftfold-dev-"); err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(d.data) }()
		logger.Info("events go into a temporary folder, which goes with this process; give --data to keep them")
	}
	s, err := server.Start(ctx, server.Config{
		Set: set, Listen: d.listen, Ops: d.ops, Data: d.data, Store: d.store, Version: Version, Logger: logger,
	})
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintln(cmd.OutOrStdout(), "ready "+s.URL())
	var watching sync.WaitGroup
	watching.Go(func() { watcher.Run(ctx, logger, s.Apply) })
	select {
	case <-ctx.Done():
		logger.Info("stopping: what is under way is finished first")
	case <-s.Failed():
	}
	cancel()
	watching.Wait()
	return s.Stop()
}

// load reads manifests and prints their problems; errors among them refuse.
func load(cmd *cobra.Command, files []string) (*definition.Set, error) {
	set, problems, err := definition.Load(files)
	if err != nil {
		return nil, err
	}
	for _, p := range problems {
		_, _ = fmt.Fprintln(cmd.ErrOrStderr(), p)
	}
	if definition.HasErrors(problems) {
		return nil, errSilent
	}
	return set, nil
}
