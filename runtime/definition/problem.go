package definition

import (
	"fmt"
	"sort"
	"strings"
)

// Problem is one mistake in a manifest.
type Problem struct {
	// File, Line and Column say where; Line is 0 when only the file is known.
	File         string
	Line, Column int
	// Object is Kind/name, as far as they are known.
	Object string
	// Field is the path from the object's root, as in spec.commands[3].name.
	Field   string
	Message string
	// Fix says what to write instead; "" when Message already does.
	Fix string
	// Warning marks what is allowed but surely not meant.
	Warning bool
}

// String is one line: file:line:column: severity: object: field: message; fix.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	b.WriteString(": ")
	if p.Warning {
		b.WriteString("warning: ")
	}
	for _, part := range []string{p.Object, p.Field} {
		if part != "" {
			b.WriteString(part + ": ")
		}
	}
	b.WriteString(p.Message)
	if p.Fix != "" {
		b.WriteString("; " + p.Fix)
	}
	return b.String()
}

// HasErrors reports whether any problem is more than a warning.
func HasErrors(problems []Problem) bool {
	for _, p := range problems {
		if !p.Warning {
			return true
		}
	}
	return false
}

// sortProblems orders by place, and drops what was said twice of one place.
func sortProblems(problems []Problem) []Problem {
	sort.SliceStable(problems, func(i, j int) bool {
		a, b := problems[i], problems[j]
		if a.File != b.File {
			return a.File < b.File
		}
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		return a.Column < b.Column
	})
	seen := make(map[string]bool, len(problems))
	kept := problems[:0]
	for _, p := range problems {
		if key := p.String(); !seen[key] {
			seen[key] = true
			kept = append(kept, p)
		}
	}
	return kept
}
