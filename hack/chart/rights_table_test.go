package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// right is one line of the chart's table of rights: what an account may do with
// one resource, and why.
type right struct {
	// Account is who: operator, runtime pod, or scraper.
	Account string
	// Where is where: everywhere, its own namespace, kube-system.
	Where string
	// What is the resource with its group, such as deployments.apps, and a name
	// in brackets when it is limited to one; or a path.
	What string
	// Verbs are sorted and joined by spaces.
	Verbs string
	// Why is written by a person.
	Why string
}

const rightsHead = "| account | where | what | verbs | why |\n|---|---|---|---|---|\n"

// parseRights reads the table out of a Markdown text and returns what is before it.
func parseRights(text string) (before string, rights []right, err error) {
	before, table, found := strings.Cut(text, rightsHead)
	if !found {
		return "", nil, errors.New("there is no table of rights")
	}
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 5 {
			return "", nil, fmt.Errorf("five cells belong in a row: %s", line)
		}
		for i := range cells {
			cells[i] = strings.Trim(strings.TrimSpace(cells[i]), "`")
		}
		rights = append(rights, right{cells[0], cells[1], cells[2], cells[3], cells[4]})
	}
	return before, rights, nil
}

// formatRights renders the table, sorted.
func formatRights(rights []right) string {
	slices.SortFunc(rights, func(a, b right) int {
		return slices.Compare([]string{a.Account, a.Where, a.What}, []string{b.Account, b.Where, b.What})
	})
	var b strings.Builder
	b.WriteString(rightsHead)
	for _, r := range rights {
		fmt.Fprintf(&b, "| %s | %s | `%s` | %s | %s |\n", r.Account, r.Where, r.What, r.Verbs, r.Why)
	}
	return b.String()
}
