package shard

import (
	"encoding/json"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// Command is a command as it arrives at its shard.
type Command struct {
	Entity string
	Name   string
	// Body is the JSON object of the command's fields, as received.
	Body []byte
	// ID is the caller's idempotency key, or one made at the door; never empty.
	ID string
	// Keyed tells that the caller gave ID: then the answer is remembered even if
	// it wrote no event, and for the whole time window.
	Keyed bool
	// Retried tells that an earlier attempt under the same ID may have run, or
	// may yet run: then this one's answer is remembered even if nobody but the
	// door knows the ID, so that the earlier one cannot run after it.
	Retried bool
	Expect  Expectation
	// Principal is empty until authentication is configured.
	Principal string
}

// Expectation is an If-Match condition on the entity's version.
type Expectation struct {
	Kind    ExpectationKind
	Version int64 // with ExpectVersion; 0 means: has no events
}

// ExpectationKind says how Expectation.Version is meant.
type ExpectationKind uint8

// The kinds of expectation; the zero value expects nothing.
const (
	ExpectAnything ExpectationKind = iota
	ExpectVersion                  // exactly this version
	ExpectSome                     // at least one event
)

// Answer is the answer to a command that was not refused.
type Answer struct {
	Entity string
	// Version is the entity's version after the command.
	Version int64
	// Shard and Seq are the position that contains the command's effect.
	Shard eventstore.ShardID
	Seq   int64
	// Events are what the command wrote; empty when it changed nothing.
	Events []eventstore.Event
	// Replay tells that this is the remembered answer to an earlier command
	// with the same key.
	Replay bool
}

// View is an entity's state at a version.
type View struct {
	Entity  string
	Version int64
	// Time is that of the event at Version.
	Time  time.Time
	State json.RawMessage
}
