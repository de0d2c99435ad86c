package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// Between these lines of a README stands the table of values.
const (
	tableBegin = "<!-- values: generated from values.yaml by `make generate` -->\n"
	tableEnd   = "<!-- end of values -->\n"
)

// insertTable puts the table of values into the README.
func insertTable(readme []byte, settings []value) ([]byte, error) {
	before, rest, found := bytes.Cut(readme, []byte(tableBegin))
	_, after, ended := bytes.Cut(rest, []byte(tableEnd))
	if !found || !ended {
		return nil, fmt.Errorf("the lines %q and %q, between which the values stand, are missing", tableBegin, tableEnd)
	}
	table, err := tableOf(settings)
	if err != nil {
		return nil, err
	}
	return bytes.Join([][]byte{before, []byte(tableBegin), []byte(table), []byte(tableEnd), after}, nil), nil
}

// tableOf renders one row a setting, groups unfolded, in the file's order.
func tableOf(settings []value) (string, error) {
	var b strings.Builder
	b.WriteString("| value | default | what it does |\n|---|---|---|\n")
	if err := writeRows(&b, settings); err != nil {
		return "", err
	}
	return b.String(), nil
}

func writeRows(b *strings.Builder, settings []value) error {
	for _, setting := range settings {
		if setting.Members != nil {
			if err := writeRows(b, setting.Members); err != nil {
				return err
			}
			continue
		}
		var content any
		if err := setting.Default.Decode(&content); err != nil {
			return fmt.Errorf("%s: %w", setting.Path, err)
		}
		shown, err := json.Marshal(content)
		if err != nil {
			return fmt.Errorf("%s: %w", setting.Path, err)
		}
		about := strings.ReplaceAll(setting.About, "|", `\|`)
		fmt.Fprintf(b, "| `%s` | `%s` | %s |\n", setting.Path, shown, about)
	}
	return nil
}
