package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"
)

// shardRow is a shard as the API shows it.
type shardRow struct {
	Aggregate string
	Shard     int32
	Slots     struct{ First, Last uint16 }
	Epoch     int64
	Owner     string
	Head      int64
	HeadHash  string
	State     string
}

func (c *client) shards(ctx context.Context) (json.RawMessage, []shardRow, error) {
	var answer json.RawMessage
	if _, err := c.do(ctx, http.MethodGet, "/v1/shards", nil, nil, nil, &answer); err != nil {
		return nil, nil, err
	}
	var list struct{ Shards []shardRow }
	err := json.Unmarshal(answer, &list)
	return answer, list.Shards, err
}

func newShards() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use:   "shards",
		Short: "Show the shards that the runtime serves",
		Args:  cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error {
			answer, shards, err := c.client().shards(cmd.Context())
			if err != nil {
				return err
			}
			return c.print(cmd.OutOrStdout(), answer, func(w io.Writer) error {
				rows := make([][]string, 0, len(shards))
				for _, s := range shards {
					rows = append(rows, []string{
						s.Aggregate, strconv.Itoa(int(s.Shard)), fmt.Sprintf("%d-%d", s.Slots.First, s.Slots.Last),
						strconv.FormatInt(s.Epoch, 10), strconv.FormatInt(s.Head, 10), s.State, s.Owner,
					})
				}
				return writeTable(w, []string{"AGGREGATE", "SHARD", "SLOTS", "EPOCH", "HEAD", "STATE", "OWNER"}, rows)
			})
		}),
	}
	c.flags(cmd)
	return cmd
}

func newProjection() *cobra.Command {
	parent := &cobra.Command{
		Use: "projection", Short: "Rebuild, pause, resume or retry a projection",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("there is no action %q; say rebuild, pause, resume or retry", args[0])
			}
			return errors.New("say which action: rebuild, pause, resume or retry")
		},
	}
	for action, short := range map[string]string{
		"rebuild": "Build it anew beside the old from event one, then switch over",
		"pause":   "Stop applying events; the rows stay readable",
		"resume":  "Go on after a pause",
		"retry":   "Try again to apply the events of quarantined entities",
	} {
		var c connection
		cmd := &cobra.Command{
			Use:   action + " NAME",
			Short: short,
			Args:  cobra.ExactArgs(1),
			RunE: running(func(cmd *cobra.Command, args []string) error {
				var answer json.RawMessage
				if _, err := c.client().do(cmd.Context(), http.MethodPost, projectionAction(args[0], action), nil, nil, []byte("{}"), &answer); err != nil {
					return err
				}
				return c.print(cmd.OutOrStdout(), answer, func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "%s: %s accepted\n", args[0], action)
					return err
				})
			}),
		}
		c.flags(cmd)
		parent.AddCommand(cmd)
	}
	return parent
}

// projectionAction is where the API takes an action on a projection.
func projectionAction(name, action string) string {
	return "/v1/projections/" + url.PathEscape(name) + ":" + action
}
