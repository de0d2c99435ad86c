package table

import "github.com/leftfold/leftfold/runtime/eventstore"

// Content is a row's columns in a form that only the Rules know. It is immutable.
type Content any

// Touch is one thing that an event does to one row.
type Touch struct {
	// Key is the row's key, of the Go type of the key's Kind.
	Key any
	// Step is the Rules' own.
	Step any
}

// Change says what Rules.Apply did.
type Change uint8

// What a touch can do to a row.
const (
	Unchanged Change = iota
	Set
	Deleted
)

// Rules are the meaning of one compiled projection. They are pure, and safe for
// concurrent use.
type Rules interface {
	// Touches gives what the event does, in order, without looking at any row.
	Touches(aggregate string, e *eventstore.Event) ([]Touch, error)
	// Apply carries one touch out. row is Zero when there is no row.
	Apply(t Touch, row Content, exists bool) (Content, Change, error)
	// Zero is the row of a key that has none.
	Zero() Content
	// Encode gives the columns' values in the order of the layout; Decode is its
	// inverse.
	Encode(row Content) ([]any, error)
	Decode(values []any) (Content, error)
	// Size is about the bytes that a row takes in memory.
	Size(row Content) int
}
