package language

import (
	"fmt"
	"slices"
	"strings"
)

// Cause sorts mistakes by what kind of thing is wrong, for programs; people read
// the message.
type Cause uint8

const (
	// InExpression: an expression does not compile, has another type than its
	// place needs, or is missing where one is needed.
	InExpression Cause = iota
	// InType: a type is not declared, contains itself, or does not fit its place.
	InType
	// InName: a name stands for nothing that is declared, stands for two things,
	// or cannot be a name.
	InName
	// InSource: a projection reads an aggregate that is not there.
	InSource
)

// Problem is one mistake in a definition.
type Problem struct {
	Cause Cause
	// Path is where: spec.commands[3].emit[0].set.amount.
	Path string
	// Message says what is wrong and names the field.
	Message string
	// Fix says what to do; "" when the message leaves no choice.
	Fix string
	// Warning marks what works but is likely not meant. A definition that has
	// only warnings compiles.
	Warning bool
}

// String gives path, message and fix in one line.
func (p Problem) String() string {
	s := p.Path + ": " + p.Message
	if p.Fix != "" {
		s += "; " + p.Fix
	}
	return s
}

// HasErrors tells whether any of the problems is more than a warning.
func HasErrors(problems []Problem) bool {
	return slices.ContainsFunc(problems, func(p Problem) bool { return !p.Warning })
}

// report gathers the problems of one definition.
type report struct {
	problems []Problem
}

func (r *report) error(path, fix, format string, args ...any) {
	r.add(Problem{Path: path, Message: fmt.Sprintf(format, args...), Fix: fix})
}

// typing is error for a mistake of types.
func (r *report) typing(path, fix, format string, args ...any) {
	r.add(Problem{Cause: InType, Path: path, Message: fmt.Sprintf(format, args...), Fix: fix})
}

// naming is error for a mistake of names.
func (r *report) naming(path, fix, format string, args ...any) {
	r.add(Problem{Cause: InName, Path: path, Message: fmt.Sprintf(format, args...), Fix: fix})
}

func (r *report) warn(path, fix, format string, args ...any) {
	r.add(Problem{Path: path, Message: fmt.Sprintf(format, args...), Fix: fix, Warning: true})
}

// add keeps a problem, once: an expression that several rules use is checked
// for each of them.
func (r *report) add(p Problem) {
	if !slices.Contains(r.problems, p) {
		r.problems = append(r.problems, p)
	}
}

func (r *report) failed() bool { return HasErrors(r.problems) }

// didYouMean is the fix for a name that is not known: the nearest one, or all
// when there are few.
func didYouMean(name string, known []string) string {
	if near := nearest(name, known); near != "" {
		return "did you mean " + near + "?"
	}
	switch {
	case len(known) == 0:
		return ""
	case len(known) > 12:
		known = append(slices.Clone(known[:12]), "…")
	}
	return "known are " + strings.Join(known, ", ")
}

// nearest gives the known name that is a slip of the pen away, "" when none is.
func nearest(name string, known []string) string {
	best, bestDistance := "", 1+max(1, len(name)/3)
	for _, k := range known {
		if strings.EqualFold(k, name) {
			return k
		}
		if d := distance(name, k); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	for _, k := range known {
		if best == "" && len(name) > 2 && strings.HasPrefix(k, name) {
			best = k
		}
	}
	return best
}

// distance counts the letters to add, drop or change between two names.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
