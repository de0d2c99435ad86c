package language

import "fmt"

// The reasons of a Refusal, as the contract names them.
const (
	MalformedBody  = "MalformedBody"
	MissingField   = "MissingField"
	UnknownField   = "UnknownField"
	WrongType      = "WrongType"
	CheckFailed    = "CheckFailed"
	UnknownName    = "UnknownName"
	BehaviorFailed = "BehaviorFailed"
	StateTooLarge  = "StateTooLarge"
)

// The limits of a Refusal.
const (
	OverCost   = "expression_cost" // CostLimit
	OverEvents = "events"          // MaxEmitted
	OverState  = "state"           // MaxStateSize
)

// Refusal says why a body, a command or an event was not taken.
type Refusal struct {
	// Reason is one of the constants above or, when Rejected, the author's.
	Reason string
	// Rejected marks a reject rule.
	Rejected bool
	// Field is the offending field, such as limits["atm"].single; "" for none.
	Field string
	// Detail is a sentence for a person.
	Detail string
	// Limit is one of the limits above that was met, "" for none.
	Limit string
}

// Error gives reason, field and detail in one line.
func (r *Refusal) Error() string {
	if r.Field != "" {
		return fmt.Sprintf("%s: %s: %s", r.Reason, r.Field, r.Detail)
	}
	return fmt.Sprintf("%s: %s", r.Reason, r.Detail)
}

func refuse(reason, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// limitError says that a limit was met.
type limitError struct{ limit, text string }

func (e *limitError) Error() string { return e.text }

// in puts a step before the refusal's field: a field's name, ["key"] or [3].
func (r *Refusal) in(step string) *Refusal {
	switch {
	case r.Field == "":
		r.Field = step
	case r.Field[0] == '[':
		r.Field = step + r.Field
	default:
		r.Field = step + "." + r.Field
	}
	return r
}
