package table

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/projection"
)

// Limits of queries.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
	// maxConditions bounds a statement's parameters, far beyond what a person or
	// a program writes into a URL.
	maxConditions = 1000
)

// Query selects rows. All filters hold; rows are in Order, ties by key.
type Query struct {
	Filters []Filter
	Order   []Order
	// Limit is 1..MaxLimit; 0 means DefaultLimit.
	Limit int
	// Cursor is Page.Next of the page before, "" for the first page.
	Cursor string
	// Bytes ends the page with the row that makes it reach so many; 0 means no
	// bound but Limit.
	Bytes int
}

// Filter is a condition on one column. Values has one value, or with In one or
// more, of the Go type of the column's Kind.
type Filter struct {
	Column string
	Op     Op
	Values []any
}

// Op is a comparison. Absent values satisfy none of them.
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

// Order sorts by one column. Absent values are below all others.
type Order struct {
	Column     string
	Descending bool
}

// Row is one row: its key and its other columns, in the JSON form of the
// language. Absent columns are left out.
type Row struct {
	Key json.RawMessage
	Row json.RawMessage
}

// Page is what a query gives. Next is "" on the last page.
type Page struct {
	Rows []Row
	Next string
	// Position is that of exactly these rows.
	Position eventstore.Position
}

// Reader answers queries from the version that serves. It needs nothing that
// runs: any process with the store's database can read.
type Reader struct{ DB projection.DB }

// snapshot is what one query reads in one transaction.
type snapshot struct {
	sql      dialect
	table    string
	name     string
	layout   *Layout
	position eventstore.Position
}

// maxAttempts is how often a read begins anew because the version it read from
// was dropped meanwhile.
const maxAttempts = 5

// read runs f on the version that serves.
func (r *Reader) read(ctx context.Context, name string, f func(tx *sql.Tx, s *snapshot) error) error {
	for attempt := 1; ; attempt++ {
		err := r.DB.Read(ctx, func(tx *sql.Tx) error {
			s, err := r.open(ctx, tx, name)
			if err != nil {
				return err
			}
			return f(tx, s)
		})
		if err == nil || attempt == maxAttempts || !r.DB.Gone(err) {
			return err
		}
	}
}

// open follows the pointer and reads the position.
func (r *Reader) open(ctx context.Context, tx *sql.Tx, name string) (*snapshot, error) {
	var v projection.Version
	var layout string
	err := tx.QueryRowContext(ctx, `SELECT p.id, v.version, v.layout FROM projection p
		JOIN projection_version v ON v.projection = p.id AND v.version = p.serving WHERE p.name = $1`, name).
		Scan(&v.Projection, &v.Number, &layout)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, problem.New(problem.UnknownName, "there is no projection %s", name)
	}
	if err != nil {
		return nil, fmt.Errorf("read projection %s: %w", name, err)
	}
	s := &snapshot{sql: dialectOf(r.DB.Dialect), name: name, table: physical(v)}
	if s.layout, err = parseLayout(layout); err != nil {
		return nil, err
	}
	rows, err := tx.QueryContext(ctx, `SELECT aggregate, shard, seq FROM projection_offset
		WHERE projection = $1 AND version = $2`, v.Projection, v.Number)
	if err != nil {
		return nil, fmt.Errorf("read the position of %s: %w", name, err)
	}
	defer rows.Close()
	for rows.Next() {
		var id eventstore.ShardID
		var seq int64
		if err := rows.Scan(&id.Aggregate, &id.Number, &seq); err != nil {
			return nil, fmt.Errorf("read the position of %s: %w", name, err)
		}
		s.position.Set(id, seq)
	}
	return s, rows.Err()
}

// Layout tells how a projection's rows look: those of the version that serves.
func (r *Reader) Layout(ctx context.Context, name string) (Layout, error) {
	var l Layout
	err := r.read(ctx, name, func(_ *sql.Tx, s *snapshot) error {
		l = *s.layout
		return nil
	})
	return l, err
}

// Get gives the row with the key, of the Go type of the key's Kind. ok is false
// when there is none; the position is right either way.
func (r *Reader) Get(ctx context.Context, name string, key any) (row Row, position eventstore.Position, ok bool, err error) {
	err = r.read(ctx, name, func(tx *sql.Tx, s *snapshot) error {
		position, ok = s.position, false
		if err := checkValue(s.layout.Key, key); err != nil {
			return err
		}
		b := s.builder()
		b.text.WriteString(" WHERE " + quote(s.layout.Key.Name) + " = " + b.argument(key))
		found, err := b.run(ctx, tx, 1, 0)
		if err == nil && len(found.rows) == 1 {
			row, ok = found.rows[0], true
		}
		return err
	})
	return row, position, ok, err
}

// Query gives a page of rows. Problems: UnknownName; InvalidParameter, with the
// parameter in Field, for an unknown column or comparison, a value of another
// type, or a cursor of another query.
func (r *Reader) Query(ctx context.Context, name string, q Query) (Page, error) {
	var page Page
	err := r.read(ctx, name, func(tx *sql.Tx, s *snapshot) error {
		var err error
		page, err = s.query(ctx, tx, q)
		return err
	})
	return page, err
}

func (s *snapshot) query(ctx context.Context, tx *sql.Tx, q Query) (Page, error) {
	if q.Limit == 0 {
		q.Limit = DefaultLimit
	}
	if q.Limit < 1 || q.Limit > MaxLimit {
		return Page{}, problem.On(problem.InvalidParameter, "limit", "is %d, must be 1 to %d", q.Limit, MaxLimit)
	}
	order, err := s.order(q.Order)
	if err != nil {
		return Page{}, err
	}
	b := s.builder()
	if err := b.filter(q.Filters); err != nil {
		return Page{}, err
	}
	checksum := s.checksum(q.Filters, order)
	if q.Cursor != "" {
		values, err := parseCursor(q.Cursor, checksum, order)
		if err != nil {
			return Page{}, err
		}
		b.conditions = append(b.conditions, b.behind(order, values))
	}
	b.where()
	b.orderBy(order)
	b.text.WriteString(fmt.Sprintf(" LIMIT %d", q.Limit+1))
	found, err := b.run(ctx, tx, q.Limit, q.Bytes)
	if err != nil {
		return Page{}, err
	}
	page := Page{Rows: found.rows, Position: s.position}
	if found.more {
		page.Next, err = makeCursor(checksum, order, found.last)
	}
	return page, err
}

// builder puts a SELECT together: names come from the layout, values are
// arguments.
type builder struct {
	s          *snapshot
	text       strings.Builder
	args       []any
	conditions []string
}

func (s *snapshot) builder() *builder {
	b := &builder{s: s}
	b.text.WriteString("SELECT ")
	for i, c := range s.layout.all() {
		if i > 0 {
			b.text.WriteString(", ")
		}
		b.text.WriteString(s.sql.selection(c))
	}
	b.text.WriteString(" FROM " + quote(s.table))
	return b
}

// argument gives the placeholder of a value.
func (b *builder) argument(value any) string {
	b.args = append(b.args, b.s.sql.argument(value))
	return fmt.Sprintf("$%d", len(b.args))
}

func (b *builder) where() {
	if len(b.conditions) > 0 {
		b.text.WriteString(" WHERE " + strings.Join(b.conditions, " AND "))
	}
}

// found is what a statement gives: the rows that were wanted, the values of the
// last one as they are in Go, and whether there are more.
type found struct {
	rows []Row
	last []any
	more bool
}

// run reads up to limit rows, and with bytes up to the one that reaches them.
func (b *builder) run(ctx context.Context, tx *sql.Tx, limit, bytes int) (found, error) {
	rows, err := tx.QueryContext(ctx, b.text.String(), b.args...)
	if err != nil {
		return found{}, fmt.Errorf("query %s: %w", b.s.name, err)
	}
	defer rows.Close()
	scan := scanner{dialect: b.s.sql, columns: b.s.layout.all()}
	f, size := found{rows: []Row{}}, 0
	for rows.Next() {
		if len(f.rows) == limit || bytes > 0 && size >= bytes {
			f.more = true
			break
		}
		if f.last, err = scan.scan(rows); err != nil {
			return found{}, fmt.Errorf("query %s: %w", b.s.name, err)
		}
		row, err := b.s.layout.encode(f.last)
		if err != nil {
			return found{}, fmt.Errorf("query %s: %w", b.s.name, err)
		}
		f.rows = append(f.rows, row)
		size += len(row.Key) + len(row.Row)
	}
	if err := rows.Err(); err != nil {
		return found{}, fmt.Errorf("query %s: %w", b.s.name, err)
	}
	return f, nil
}

// checkValue refuses a value that is not of the column's kind.
func checkValue(c Column, value any) error {
	ok := false
	switch v := value.(type) {
	case string:
		ok = c.Kind == String
		if ok && strings.IndexByte(v, 0) >= 0 {
			return problem.On(problem.InvalidParameter, c.Name, "holds U+0000, which no string has")
		}
	case int64:
		ok = c.Kind == Int
	case float64:
		ok = c.Kind == Double
	case bool:
		ok = c.Kind == Bool
	case []byte:
		ok = c.Kind == Bytes
	case time.Time:
		ok = c.Kind == Timestamp
	case time.Duration:
		ok = c.Kind == Duration
	}
	if !ok {
		return problem.On(problem.InvalidParameter, c.Name, "is no %s", c.Kind)
	}
	return nil
}
