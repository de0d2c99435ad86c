// Command leftfold-operator is the control plane: it turns EventStores, Runtimes,
// Aggregates and Projections into sharded pods, and moves shards off failed ones.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/leftfold/leftfold/controllers/setup"
)

// version is stamped by the build.
var version = "dev"

func main() {
	options := setup.NewOptions(version)
	command := &cobra.Command{
		Use:           "leftfold-operator",
		Short:         "Reconcile Leftfold's kinds, and keep every shard owned",
		Version:       version,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := ctrl.GetConfig()
			if err != nil {
				return fmt.Errorf("find the API server: %w", err)
			}
			return setup.Run(cmd.Context(), config, options)
		},
	}
	options.Bind(command.Flags())
	if err := command.ExecuteContext(ctrl.SetupSignalHandler()); err != nil {
		fmt.Fprintln(os.Stderr, "leftfold-operator: "+err.Error())
		os.Exit(1)
	}
}
