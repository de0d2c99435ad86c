package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// pageLimit is the largest page that the API gives.
const pageLimit = "1000"

// streamEvent is an event of an aggregate's stream: every column of the log.
type streamEvent struct {
	event
	Entity string `json:"entity"`
	Shard  int32  `json:"shard"`
	Seq    int64  `json:"seq"`
}

func newEvents() *cobra.Command {
	var c connection
	var follow bool
	var after string
	cmd := &cobra.Command{
		Use:   "events AGGREGATE [ENTITY]",
		Short: "Show the events of an entity, or of a whole aggregate",
		Long: `Show the events of an entity in order, or of a whole aggregate, each shard in
order. With --follow the aggregate's events are shown as they come, until
interrupted; without --after, from now on.`,
		Args: cobra.RangeArgs(1, 2),
		RunE: running(func(cmd *cobra.Command, args []string) error {
			switch {
			case after == "" && cmd.Flags().Changed("after"):
				return wrongUse("--after is empty; leave it out to begin at the first event, or with --follow now")
			case follow && len(args) == 2:
				return wrongUse("--follow is for a whole aggregate: leave the entity out")
			case follow:
				return c.follow(cmd.Context(), cmd.OutOrStdout(), args[0], after)
			case len(args) == 2:
				return c.history(cmd.Context(), cmd.OutOrStdout(), args[0], args[1], after)
			}
			return c.stream(cmd.Context(), cmd.OutOrStdout(), args[0], after)
		}),
	}
	c.flags(cmd)
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what comes")
	cmd.Flags().StringVar(&after, "after", "", "start after this version (entity) or position (aggregate)")
	return cmd
}

// history prints all pages of an entity's events.
func (c *connection) history(ctx context.Context, w io.Writer, aggregate, entity, after string) error {
	client, rows, raw := c.client(), []event(nil), []json.RawMessage{}
	for {
		query := url.Values{"limit": {pageLimit}}
		if after != "" {
			query.Set("after", after)
		}
		var page struct {
			Events []json.RawMessage
			Next   *json.Number
		}
		if _, err := client.do(ctx, http.MethodGet, aggregatePath(aggregate, entity, "events"), query, nil, nil, &page); err != nil {
			return err
		}
		for _, r := range page.Events {
			var e event
			if err := json.Unmarshal(r, &e); err != nil {
				return err
			}
			rows, raw = append(rows, e), append(raw, r)
		}
		if page.Next == nil {
			break
		}
		after = page.Next.String()
	}
	answer, err := json.Marshal(map[string]any{"events": raw})
	if err != nil {
		return err
	}
	return c.print(w, answer, func(w io.Writer) error { return writeEvents(w, rows) })
}

// stream prints an aggregate's events up to where the stream ends now, a line
// each, page by page.
func (c *connection) stream(ctx context.Context, w io.Writer, aggregate, after string) error {
	return c.client().pages(ctx, aggregate, after, func(events []json.RawMessage) error {
		for _, raw := range events {
			if err := c.printStreamed(w, raw); err != nil {
				return err
			}
		}
		return nil
	})
}

// pages calls each with every page of an aggregate's stream up to its end.
func (c *client) pages(ctx context.Context, aggregate, after string, each func([]json.RawMessage) error) error {
	for {
		query := url.Values{"limit": {pageLimit}}
		if after != "" {
			query.Set("after", after)
		}
		var page struct {
			Events   []json.RawMessage
			Position string
		}
		if _, err := c.do(ctx, http.MethodGet, "/v1/events/"+url.PathEscape(aggregate), query, nil, nil, &page); err != nil {
			return err
		}
		if len(page.Events) == 0 {
			return nil
		}
		if err := each(page.Events); err != nil {
			return err
		}
		after = page.Position
	}
}

// follow prints what comes until the context ends. A connection that breaks is
// an error.
func (c *connection) follow(ctx context.Context, w io.Writer, aggregate, after string) error {
	query := url.Values{"after": {"end"}}
	if after != "" {
		query.Set("after", after)
	}
	response, err := c.client().open(ctx, http.MethodGet, "/v1/events/"+url.PathEscape(aggregate), query, http.Header{"Accept": {"text/event-stream"}}, nil)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data:")
		if !ok {
			continue
		}
		if err := c.printStreamed(w, json.RawMessage(strings.TrimSpace(data))); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return errors.New("the runtime ended the stream")
}

// printStreamed prints one event as one line, or as one YAML document.
func (c *connection) printStreamed(w io.Writer, raw json.RawMessage) error {
	switch c.output {
	case "json":
		_, err := fmt.Fprintf(w, "%s\n", raw)
		return err
	case "yaml":
		if _, err := fmt.Fprintln(w, "---"); err != nil {
			return err
		}
		return c.print(w, raw, nil)
	}
	var e streamEvent
	if err := json.Unmarshal(raw, &e); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, strings.Join([]string{
		localTime(e.Time), fmt.Sprintf("shard %d seq %d", e.Shard, e.Seq),
		e.Entity + " v" + strconv.FormatInt(e.Version, 10), e.Type, compact(e.Data),
	}, "  "))
	return err
}
