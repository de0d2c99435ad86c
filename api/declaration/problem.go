package declaration

import (
	"github.com/leftfold/leftfold/api/language"
	"github.com/leftfold/leftfold/api/v1alpha1"
)

// Problem is one mistake of an object.
type Problem struct {
	// Reason is one of the API's condition reasons; empty for a warning.
	Reason string
	// Field is the path from the object's root, as in spec.commands[3].name.
	Field   string
	Message string
	// Fix says what to write instead; "" when Message already does.
	Fix string
	// Waits names the object (Kind/name) that has to be made or mended before
	// this one can be judged. Such a problem goes away without a change of the
	// object itself, so it makes nothing Stalled. Empty: the mistake is here.
	Waits string
	// Warning marks what is allowed but surely not meant.
	Warning bool
}

// String is one line, as a condition's message has it: field: message; fix.
func (p Problem) String() string {
	s := p.Field + ": " + p.Message
	if p.Fix != "" {
		s += "; " + p.Fix
	}
	return s
}

// FirstError gives the problem to tell when there is room for one: the first
// that is no warning, and one of the object's own before one that waits for
// another object. ok is false when there are none but warnings.
func FirstError(problems []Problem) (first Problem, ok bool) {
	for _, p := range problems {
		if p.Warning || ok && (p.Waits != "" || first.Waits == "") {
			continue
		}
		first, ok = p, true
	}
	return first, ok
}

// reasons are the condition reasons of what the language finds.
var reasons = map[language.Cause]string{
	language.InExpression: v1alpha1.ReasonInvalidExpression,
	language.InType:       v1alpha1.ReasonInvalidType,
	language.InName:       v1alpha1.ReasonUnknownName,
	language.InSource:     v1alpha1.ReasonAggregateNotFound,
}

// FromLanguage gives what package language found in an object's spec.
func FromLanguage(found []language.Problem) []Problem {
	out := make([]Problem, 0, len(found))
	for _, f := range found {
		p := Problem{Field: f.Path, Message: f.Message, Fix: f.Fix, Warning: f.Warning}
		if !f.Warning {
			p.Reason = reasons[f.Cause]
		}
		out = append(out, p)
	}
	return out
}
