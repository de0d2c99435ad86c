// Package problem is the one vocabulary of refusals and failures that a caller
// of Leftfold can see. Every layer of the runtime that has to say no makes a
// *Problem; the HTTP and RPC layers map its Reason to a status in one table.
//
// It must never know a transport, a store or a behaviour: it holds words only.
package problem

import (
	"errors"
	"fmt"
	"time"
)

// Reason tells a program why a call failed. It is part of the contract:
// released reasons keep their name and meaning. An aggregate's author adds
// reasons of their own (reject rules); those have Kind Rejected.
type Reason string

// The reasons that Leftfold itself gives, grouped by what the caller did or met.
const (
	// The request itself is wrong; nothing was attempted.
	MalformedBody    Reason = "MalformedBody"
	MissingField     Reason = "MissingField"
	UnknownField     Reason = "UnknownField"
	WrongType        Reason = "WrongType"
	CheckFailed      Reason = "CheckFailed"
	InvalidEntity    Reason = "InvalidEntity"
	InvalidParameter Reason = "InvalidParameter"

	// The named thing is not there.
	UnknownName  Reason = "UnknownName"
	NoSuchEntity Reason = "NoSuchEntity"

	// The transport's own refusals.
	MethodNotAllowed     Reason = "MethodNotAllowed"
	UnsupportedMediaType Reason = "UnsupportedMediaType"

	// The state of things forbids it.
	Quarantined     Reason = "Quarantined"
	VersionMismatch Reason = "VersionMismatch"
	TooLarge        Reason = "TooLarge"
	StateTooLarge   Reason = "StateTooLarge"
	KeyReused       Reason = "KeyReused"
	Overloaded      Reason = "Overloaded"

	// Leftfold or the behaviour failed.
	BehaviorFailed Reason = "BehaviorFailed"
	Internal       Reason = "Internal"
	NotAttempted   Reason = "NotAttempted"
	OutcomeUnknown Reason = "OutcomeUnknown"
	NotCaughtUp    Reason = "NotCaughtUp"
)

// Problem is an error with what a caller needs to branch on and to mend it.
type Problem struct {
	Reason Reason
	// Rejected marks a reject rule of the aggregate's author: Reason and Detail
	// are the author's words.
	Rejected bool
	// Detail is one sentence for a person. It never holds other callers' data.
	Detail string
	// Field names the offending field or parameter, "" when none does. Nested
	// fields are written as limits["atm"].single or items[2].sku.
	Field string
	// Version is the entity's current version; set with VersionMismatch only.
	Version int64
	// RetryAfter asks the caller to wait at least so long; 0 says nothing.
	RetryAfter time.Duration
	// Replay tells that this is the remembered answer to an earlier command
	// with the same key.
	Replay bool
	// Limit is the bound that the call has met, "" for none. It stays in the
	// process that refused: whoever refuses counts.
	Limit Limit
}

// New makes a Problem; format and args give its Detail.
func New(reason Reason, format string, args ...any) *Problem {
	return &Problem{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// On is New for a problem with one field or parameter.
func On(reason Reason, field, format string, args ...any) *Problem {
	return &Problem{Reason: reason, Field: field, Detail: fmt.Sprintf(format, args...)}
}

// Error gives reason, field and detail in one line.
func (p *Problem) Error() string {
	if p.Field != "" {
		return fmt.Sprintf("%s: %s: %s", p.Reason, p.Field, p.Detail)
	}
	return fmt.Sprintf("%s: %s", p.Reason, p.Detail)
}

// From finds the Problem in err's chain. Any other error becomes Internal with
// no detail of its own, for what a program did not foresee is no caller's text.
func From(err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	return New(Internal, "the request failed inside the runtime; see its log")
}

// Is reports whether err is a Problem with the given reason.
func Is(err error, reason Reason) bool {
	var p *Problem
	return errors.As(err, &p) && p.Reason == reason
}
