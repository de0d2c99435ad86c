package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"sigs.k8s.io/yaml"
)

// print writes an answer: as it came (json), as YAML, or as a table.
func (c *connection) print(w io.Writer, answer json.RawMessage, table func(w io.Writer) error) error {
	switch c.output {
	case "json":
		var b bytes.Buffer
		if err := json.Indent(&b, answer, "", "  "); err != nil {
			return err
		}
		b.WriteByte('\n')
		_, err := b.WriteTo(w)
		return err
	case "yaml":
		data, err := yaml.JSONToYAML(answer)
		if err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	}
	return table(w)
}

// writeTable writes rows under a header, in columns.
func writeTable(w io.Writer, header []string, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, strings.Join(header, "\t"))
	for _, row := range rows {
		_, _ = fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	return t.Flush()
}

// cell writes a JSON value for a table: strings bare, the rest as it is.
func cell(v json.RawMessage) string {
	var s string
	if json.Unmarshal(v, &s) == nil {
		return s
	}
	return string(v)
}

// localTime is short and to the millisecond, for people.
func localTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000Z") }
