package table

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/leftfold/leftfold/runtime/projection"
)

// dialect is what the two databases do differently about tables.
type dialect interface {
	// create gives the statements that make a table.
	create(table string, l *Layout) []string
	// taken is a query whether something has the name $1.
	taken() string
	// rows gives the statements on one table's rows.
	rows(table string, l *Layout, shared bool) rowSQL
	// selection is a column as an item of a SELECT.
	selection(c Column) string
	// argument makes a value a statement's argument.
	argument(value any) any
	// time reads what the database gave for a timestamp.
	time(stored any) (time.Time, error)
}

// rowSQL reads and writes rows by key. A row is its key and its columns' values.
// All slices of keys are sorted.
type rowSQL interface {
	// read gives the rows that exist, locked against other transactions where
	// that is needed, keys that have no row included.
	read(ctx context.Context, tx *sql.Tx, keys []any) ([][]any, error)
	// upsert writes rows.
	upsert(ctx context.Context, tx *sql.Tx, rows [][]any) error
	// remove deletes rows, those that read made to hold a lock among them.
	remove(ctx context.Context, tx *sql.Tx, keys []any) error
	// stubs reports whether read makes rows that must be removed when unused.
	stubs() bool
}

func dialectOf(d projection.Dialect) dialect {
	if d.Name() == (projection.SQLite{}).Name() {
		return sqlite{}
	}
	return postgres{}
}

// scanner reads rows of the given columns, which must come as d.selection has
// them.
type scanner struct {
	dialect dialect
	columns []Column
}

// scan gives the current row's values.
func (s scanner) scan(rows *sql.Rows, more ...any) ([]any, error) {
	stored := make([]any, len(s.columns))
	into := make([]any, len(s.columns), len(s.columns)+len(more))
	for i := range stored {
		into[i] = &stored[i]
	}
	if err := rows.Scan(append(into, more...)...); err != nil {
		return nil, err
	}
	for i, c := range s.columns {
		v, err := s.value(c, stored[i])
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", c.Name, err)
		}
		stored[i] = v
	}
	return stored, nil
}

// value makes what the driver gave the Go value of the column's Kind.
func (s scanner) value(c Column, stored any) (any, error) {
	if stored == nil {
		return nil, nil
	}
	switch v := stored.(type) {
	case string:
		switch c.Kind {
		case String:
			return v, nil
		case JSON:
			return json.RawMessage(v), nil
		case Timestamp:
			return s.dialect.time(v)
		}
	case int64:
		switch c.Kind {
		case Int:
			return v, nil
		case Duration:
			return time.Duration(v), nil
		case Bool:
			return v != 0, nil
		}
	case float64:
		if c.Kind == Double {
			return v, nil
		}
	case bool:
		if c.Kind == Bool {
			return v, nil
		}
	case []byte:
		switch c.Kind {
		case Bytes:
			return v, nil
		case String:
			return string(v), nil
		case JSON:
			return json.RawMessage(v), nil
		}
	case time.Time:
		if c.Kind == Timestamp {
			return s.dialect.time(v)
		}
	}
	return nil, fmt.Errorf("the database gave %T for %s", stored, c.Kind)
}
