package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newLint() *cobra.Command {
	var files []string
	cmd := &cobra.Command{
		Use:   "lint -f FILE_OR_DIR...",
		Short: "Find mistakes in manifests without a cluster",
		Long: `Find all mistakes in manifests that can be known without a cluster: YAML,
fields, references, types and expressions. Each is told with file, line and
field, and how to mend it. Exit code 1 if there is any error; warnings pass.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			files = append(files, args...)
			if len(files) == 0 {
				return fmt.Errorf("say which files: leftfold lint -f FILE_OR_DIR")
			}
			set, err := load(cmd, files)
			if err != nil {
				return refused(err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s and %s are sound\n",
				counted(len(set.Aggregates), "aggregate"), counted(len(set.Projections), "projection"))
			return refused(err)
		},
	}
	cmd.Flags().StringSliceVarP(&files, "filename", "f", nil, "manifests, or folders of them")
	return cmd
}

// counted is a number of things in words: 1 aggregate, 2 aggregates.
func counted(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}
