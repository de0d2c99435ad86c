package api

import (
	"context"
	"encoding/json"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// Projections answers queries and carries out what is asked of projections. A
// wait that runs out is problem NotCaughtUp, one on a parked entity Quarantined.
type Projections interface {
	// Table tells how a projection's rows look.
	Table(name string) (Table, error)
	// Get gives one row. A key without a row is NoSuchEntity.
	Get(ctx context.Context, name string, key any, wait Wait) (Row, eventstore.Position, error)
	// Query gives rows, fewer than asked for when they reach PageBytes. A cursor of another query is InvalidParameter.
	Query(ctx context.Context, name string, q Query) (Rows, error)
	// Act begins an action and does not wait for its end.
	Act(ctx context.Context, name string, action Action) error
}

// Action is what can be asked of a projection.
type Action string

// The actions.
const (
	Rebuild Action = "rebuild" // build anew beside the old, then take over
	Pause   Action = "pause"   // rest until Resume
	Resume  Action = "resume"
	Retry   Action = "retry" // try parked entities again
)

// Table is the shape of a projection's rows.
type Table struct {
	Key     Column
	Columns []Column
}

// Column is a column's name and its type as a definition writes it: string, int,
// double, bool, bytes, timestamp, duration, or what cannot be filtered by.
type Column struct{ Name, Type string }

// column finds a column, the key included.
func (t Table) column(name string) (Column, bool) {
	if name == t.Key.Name {
		return t.Key, true
	}
	for _, c := range t.Columns {
		if c.Name == name {
			return c, true
		}
	}
	return Column{}, false
}

// Wait asks for an answer that holds all up to a position.
type Wait struct {
	// Wanted is false when there is nothing to wait for.
	Wanted bool
	After  eventstore.Position
	For    time.Duration
}

// Query selects rows. All filters hold; rows are in Order, ties by key.
type Query struct {
	Filters []Filter
	Order   []Order
	// Limit is 1..1000.
	Limit int
	// Cursor is Rows.Next of the page before, "" for the first page.
	Cursor string
	Wait   Wait
}

// Filter is a condition on one column. Values has one value, or with In one or
// more, in the column's type: string, int64, float64, bool, []byte, time.Time or
// time.Duration.
type Filter struct {
	Column Column
	Op     Op
	Values []any
}

// Op is a comparison.
type Op string

// The comparisons.
const (
	Equal          Op = "eq"
	NotEqual       Op = "ne"
	Less           Op = "lt"
	LessOrEqual    Op = "lte"
	Greater        Op = "gt"
	GreaterOrEqual Op = "gte"
	In             Op = "in"
)

// Order sorts by one column.
type Order struct {
	Column     Column
	Descending bool
}

// Row is one row. Key is JSON in the key's type, Row an object of the columns.
type Row struct {
	Key json.RawMessage `json:"key"`
	Row json.RawMessage `json:"row"`
}

// Rows is a page. Next is "" on the last one. Position is what the rows were
// read at.
type Rows struct {
	Rows     []Row
	Next     string
	Position eventstore.Position
}
