package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

func newGet() *cobra.Command {
	var c connection
	var version int64
	cmd := &cobra.Command{
		Use:     "get AGGREGATE ENTITY",
		Short:   "Show an entity's state, now or earlier",
		Example: "  leftfold get account alice\n  leftfold get account alice --version 2\n  leftfold get account alice --at 2026-01-01T12:00:00Z",
		Args:    cobra.ExactArgs(2),
		RunE: running(func(cmd *cobra.Command, args []string) error {
			query := url.Values{}
			if cmd.Flags().Changed("version") {
				query.Set("version", strconv.FormatInt(version, 10))
			}
			setGiven(cmd, query, "at", "consistency")
			var answer json.RawMessage
			if _, err := c.client().do(cmd.Context(), http.MethodGet, aggregatePath(args...), query, nil, nil, &answer); err != nil {
				return err
			}
			return c.print(cmd.OutOrStdout(), answer, func(w io.Writer) error { return writeState(w, answer) })
		}),
	}
	c.flags(cmd)
	cmd.Flags().Int64Var(&version, "version", 0, "as of this version")
	cmd.Flags().String("at", "", "as of this time (RFC 3339)")
	cmd.Flags().String("consistency", "", "strong (default) or local")
	cmd.MarkFlagsMutuallyExclusive("version", "at")
	return cmd
}

func writeState(w io.Writer, answer json.RawMessage) error {
	var view struct {
		Entity  string
		Version int64
		Time    time.Time
		State   map[string]json.RawMessage
	}
	if err := json.Unmarshal(answer, &view); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(w, "%s is at version %d, of %s\n", view.Entity, view.Version, localTime(view.Time))
	names := make([]string, 0, len(view.State))
	for name := range view.State {
		names = append(names, name)
	}
	sort.Strings(names)
	rows := make([][]string, 0, len(names))
	for _, name := range names {
		rows = append(rows, []string{name, cell(view.State[name])})
	}
	return writeTable(w, []string{"FIELD", "VALUE"}, rows)
}
