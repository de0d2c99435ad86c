// Package behavior is the seam between the shard pipeline and what an aggregate
// means: Decide turns a state and a command into events, Evolve folds an event
// into a state. Adapters implement it; package cel does for declared
// behaviours.
//
// A Behavior is pure: no clock, no randomness, no I/O, no shared state. The same
// inputs give the same outputs for ever, because a replay years later has to
// reach the same state. Nothing here may know about stores, shards or callers.
package behavior

import (
	"encoding/json"
	"time"
)

// State is an entity's state. It is opaque to everyone but its Behavior, and
// immutable: Evolve returns a new one and leaves the old one valid.
type State any

// Command is a parsed and checked command, ready for Decide. It is immutable.
type Command struct {
	Name string
	// Fields is the Behavior's own form of the body.
	Fields any
}

// Meta is what expressions see as meta.
type Meta struct {
	Aggregate string
	Entity    string
	// Version is, for Decide, the entity's version before the command; for
	// Evolve, the event's.
	Version   int64
	Time      time.Time // UTC, whole microseconds
	CommandID string
	Principal string
}

// Event is an event as a Behavior makes and folds it.
type Event struct {
	Type        string
	TypeVersion int32
	// Data is the JSON object that is stored: valid UTF-8, no U+0000, no lone
	// surrogates, no duplicate keys, finite numbers.
	Data json.RawMessage
	// Value is the Behavior's own form of Data, nil when the event came from
	// the store and was not decoded yet.
	Value any
}

// Behavior is the meaning of one aggregate under one definition. Its methods
// are safe for concurrent use.
type Behavior interface {
	// Parse reads a command's JSON body, fills in defaults and checks it.
	// Errors are *problem.Problem with UnknownName, MalformedBody, MissingField,
	// UnknownField, WrongType or CheckFailed.
	Parse(name string, body []byte) (Command, error)

	// Zero is the state of an entity without events.
	Zero() State

	// Decide gives the events that the command causes in that state: none is
	// success that changes nothing. A *problem.Problem with Rejected set is the
	// author's refusal; one with BehaviorFailed says that an expression failed
	// or ran out of its cost limit.
	Decide(s State, c Command, m Meta) ([]Event, error)

	// Try is Evolve under the cost limit and the size limit, for an event that
	// is not written yet: *problem.Problem with BehaviorFailed or StateTooLarge.
	Try(s State, e Event, m Meta) (State, error)

	// Evolve folds a stored event: no limits, for what is written is written.
	Evolve(s State, e Event, m Meta) (State, error)

	// EncodeState gives the state as the JSON object that callers see; it is
	// also what a snapshot holds. DecodeState is its inverse.
	EncodeState(s State) (json.RawMessage, error)
	DecodeState(data []byte) (State, error)

	// Size estimates the bytes that the state keeps in memory.
	Size(s State) int

	// Fingerprint covers all that folding depends on (types, state, events):
	// snapshots of another fingerprint are not used.
	Fingerprint() [32]byte
}
