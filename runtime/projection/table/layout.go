package table

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/leftfold/leftfold/runtime/projection"
)

// Kind is what a column holds.
type Kind string

// The kinds of columns, with the Go types of their values. An absent optional
// value is nil.
const (
	String    Kind = "string"    // string
	Int       Kind = "int"       // int64
	Double    Kind = "double"    // float64, finite
	Bool      Kind = "bool"      // bool
	Bytes     Kind = "bytes"     // []byte
	Timestamp Kind = "timestamp" // time.Time, UTC, whole microseconds
	Duration  Kind = "duration"  // time.Duration
	JSON      Kind = "json"      // json.RawMessage: a record, list or map
)

// Column is one column of a table.
type Column struct {
	Name     string `json:"name"`
	Kind     Kind   `json:"kind"`
	Optional bool   `json:"optional,omitempty"`
	Indexed  bool   `json:"indexed,omitempty"`
}

// Layout is the shape of a table: enough to create and to read it.
type Layout struct {
	Key     Column   `json:"key"`
	Columns []Column `json:"columns"`
}

// parseLayout is the inverse of Layout.String.
func parseLayout(text string) (*Layout, error) {
	var l Layout
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		return nil, fmt.Errorf("read a table's layout: %w", err)
	}
	return &l, nil
}

// String is the form that the store keeps.
func (l *Layout) String() string {
	text, err := json.Marshal(l)
	if err != nil {
		panic(err) // strings and bools only
	}
	return string(text)
}

// column finds a column, the key among them.
func (l *Layout) column(name string) (Column, bool) {
	if l.Key.Name == name {
		return l.Key, true
	}
	for _, c := range l.Columns {
		if c.Name == name {
			return c, true
		}
	}
	return Column{}, false
}

// all gives the key and the other columns, in the order of every row.
func (l *Layout) all() []Column { return append([]Column{l.Key}, l.Columns...) }

// physical is the name of a version's table. No user's name begins with _.
func physical(v projection.Version) string {
	return fmt.Sprintf("_projection_%d_v%d", v.Projection, v.Number)
}

// quote makes a name an SQL identifier.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// quoteAll joins the names of columns for a list.
func quoteAll(columns []Column) string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = quote(c.Name)
	}
	return strings.Join(names, ", ")
}

// keyID makes keys that mean the same equal in Go: times are not.
func keyID(key any) any {
	if t, ok := key.(time.Time); ok {
		return micros(t.UnixMicro())
	}
	return key
}

type micros int64
