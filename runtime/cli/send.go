package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

func newSend() *cobra.Command {
	var c connection
	var id, expect string
	cmd := &cobra.Command{
		Use:   "send AGGREGATE ENTITY COMMAND [field=value]...",
		Short: "Send a command to an entity",
		Long: `Send a command to an entity and show the events that it caused.

A field's value is read by its declared type: text for strings, times, durations
and bytes, JSON for everything else.`,
		Example: "  leftfold send account alice Open owner=Alice\n  leftfold send account alice Withdraw amount=250 channel=online --id w-1",
		Args:    cobra.MinimumNArgs(3),
		RunE: running(func(cmd *cobra.Command, args []string) error {
			client := c.client()
			body, err := client.body(cmd.Context(), args[0], args[2], args[3:])
			if err != nil {
				return err
			}
			header := http.Header{}
			// An empty one is sent too, and refused: it comes from a variable that
			// is not set, and must not turn into no key and no expectation.
			if cmd.Flags().Changed("id") {
				header.Set("Idempotency-Key", id)
			}
			switch {
			case expect == "*":
				header.Set("If-Match", expect)
			case cmd.Flags().Changed("expect"):
				header.Set("If-Match", strconv.Quote(expect))
			}
			var answer json.RawMessage
			got, err := client.do(cmd.Context(), http.MethodPost, aggregatePath(args[0], args[1], args[2]), nil, header, body, &answer)
			if err != nil {
				return err
			}
			return c.print(cmd.OutOrStdout(), answer, func(w io.Writer) error {
				return writeSent(w, answer, got.Get("Idempotent-Replay") == "true")
			})
		}),
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&id, "id", "", "idempotency key: the same one gives the same answer and changes nothing more")
	cmd.Flags().StringVar(&expect, "expect", "", "only if the entity has this version (0: no events, *: some)")
	return cmd
}

func writeSent(w io.Writer, answer json.RawMessage, replay bool) error {
	var sent struct {
		Entity  string
		Version int64
		Events  []event
	}
	if err := json.Unmarshal(answer, &sent); err != nil {
		return err
	}
	note := ""
	if replay {
		note = " (the remembered answer to this key)"
	}
	_, _ = fmt.Fprintf(w, "%s is at version %d%s\n", sent.Entity, sent.Version, note)
	if len(sent.Events) == 0 {
		return nil
	}
	return writeEvents(w, sent.Events)
}

func writeEvents(w io.Writer, events []event) error {
	rows := make([][]string, 0, len(events))
	for _, e := range events {
		rows = append(rows, []string{strconv.FormatInt(e.Version, 10), localTime(e.Time), e.Type, compact(e.Data)})
	}
	return writeTable(w, []string{"VERSION", "TIME", "TYPE", "DATA"}, rows)
}

// compact writes data in one line; what is not JSON is shown as it is.
func compact(data json.RawMessage) string {
	var out bytes.Buffer
	if json.Compact(&out, data) != nil {
		return strings.TrimSpace(string(data))
	}
	return out.String()
}
