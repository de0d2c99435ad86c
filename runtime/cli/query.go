package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"sort"
	"strings"

	"github.com/spf13/cobra"
)

// condition is column, operator and value, as in balance>=100.
var condition = regexp.MustCompile(`^([a-z][A-Za-z0-9]*)(!=|>=|<=|=|>|<)(.*)$`)

// operators maps what a user writes to the API's filters.
var operators = map[string]string{"=": "eq", "!=": "ne", ">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}

func newQuery() *cobra.Command {
	var c connection
	var key string
	var limit int
	cmd := &cobra.Command{
		Use:     "query PROJECTION [where]...",
		Short:   "Query a projection's rows",
		Example: "  leftfold query balances 'balance>=100' --order -balance\n  leftfold query balances --key alice",
		Args:    cobra.MinimumNArgs(1),
		RunE: running(func(cmd *cobra.Command, args []string) error {
			query := url.Values{}
			for _, where := range args[1:] {
				m := condition.FindStringSubmatch(where)
				if m == nil {
					return wrongUse("%q is no condition: write column=value, or with !=, <, <=, >, >=", where)
				}
				filter := m[1] + "[" + operators[m[2]] + "]"
				if query.Has(filter) {
					return wrongUse("a condition with %s%s is given twice", m[1], m[2])
				}
				query.Set(filter, m[3])
			}
			setGiven(cmd, query, "order", "cursor", "after", "wait")
			path := "/v1/projections/" + url.PathEscape(args[0])
			if cmd.Flags().Changed("key") {
				path += "/" + url.PathEscape(key)
			} else if cmd.Flags().Changed("limit") {
				query.Set("limit", fmt.Sprint(limit))
			}
			var answer json.RawMessage
			if _, err := c.client().do(cmd.Context(), http.MethodGet, path, query, nil, nil, &answer); err != nil {
				return err
			}
			return c.print(cmd.OutOrStdout(), answer, func(w io.Writer) error { return writeRows(w, answer) })
		}),
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&key, "key", "", "only the row with this key")
	cmd.Flags().String("order", "", "columns to sort by, - before one for descending")
	cmd.Flags().IntVar(&limit, "limit", 100, "rows at most, 1 to 1000")
	cmd.Flags().String("cursor", "", "go on after an earlier answer (its next)")
	cmd.Flags().String("after", "", "wait until the projection has this position")
	cmd.Flags().String("wait", "", "how long to wait for --after, as in 2s")
	return cmd
}

func writeRows(w io.Writer, answer json.RawMessage) error {
	type row struct {
		Key json.RawMessage
		Row map[string]json.RawMessage
	}
	var page struct {
		row
		Rows []row
		Next string
	}
	if err := json.Unmarshal(answer, &page); err != nil {
		return err
	}
	if page.Key != nil {
		page.Rows = []row{page.row}
	}
	seen, columns := map[string]bool{}, []string(nil)
	for _, r := range page.Rows {
		for name := range r.Row {
			if !seen[name] {
				seen[name] = true
				columns = append(columns, name)
			}
		}
	}
	sort.Strings(columns)
	header := []string{"KEY"}
	for _, name := range columns {
		header = append(header, strings.ToUpper(name))
	}
	rows := make([][]string, 0, len(page.Rows))
	for _, r := range page.Rows {
		line := []string{cell(r.Key)}
		for _, name := range columns {
			line = append(line, cell(r.Row[name]))
		}
		rows = append(rows, line)
	}
	if err := writeTable(w, header, rows); err != nil {
		return err
	}
	if page.Next != "" {
		_, _ = fmt.Fprintf(w, "there are more: --cursor %s\n", page.Next)
	}
	return nil
}
