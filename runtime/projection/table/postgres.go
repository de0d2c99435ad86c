package table

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

type postgres struct{}

// pgTypes are the columns' types, their zero values, and the types of array
// elements that carry them to the server.
var pgTypes = map[Kind]struct{ column, zero, element string }{
	String:    {`text COLLATE "C"`, `''`, "text"},
	Int:       {"bigint", "0", "bigint"},
	Double:    {"double precision", "0", "double precision"},
	Bool:      {"boolean", "false", "boolean"},
	Bytes:     {"bytea", `''`, "bytea"},
	Timestamp: {"timestamptz", `'epoch'`, "timestamptz"},
	Duration:  {"bigint", "0", "bigint"},
	JSON:      {"jsonb", `'null'`, "text"},
}

// create makes rows so that locking a key that has none needs the key only:
// every other column has a default, _live is false until a row is real. Rows
// are updated often: room on the page keeps those updates off the indexes.
func (postgres) create(table string, l *Layout) []string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE %s (%s %s PRIMARY KEY", quote(table), quote(l.Key.Name), pgTypes[l.Key.Kind].column)
	for _, c := range l.Columns {
		t := pgTypes[c.Kind]
		fmt.Fprintf(&b, ", %s %s", quote(c.Name), t.column)
		if !c.Optional {
			fmt.Fprintf(&b, " NOT NULL DEFAULT %s", t.zero)
		}
	}
	b.WriteString(`, "_live" boolean NOT NULL DEFAULT false) WITH (fillfactor = 80)`)
	statements := []string{b.String()}
	for _, c := range l.Columns {
		if !c.Indexed || c.Kind == JSON {
			continue
		}
		order := ""
		if c.Optional {
			order = " NULLS FIRST" // as queries order it
		}
		statements = append(statements, fmt.Sprintf("CREATE INDEX ON %s (%s%s, %s)", quote(table), quote(c.Name), order, quote(l.Key.Name)))
	}
	return statements
}

func (postgres) taken() string {
	return `SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
			WHERE n.nspname = current_schema() AND c.relname = $1)
		OR EXISTS (SELECT 1 FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
			WHERE n.nspname = current_schema() AND t.typname = $1)`
}

func (postgres) selection(c Column) string {
	if c.Kind == JSON {
		return quote(c.Name) + "::text"
	}
	return quote(c.Name)
}

func (postgres) argument(value any) any {
	switch v := value.(type) {
	case time.Duration:
		return int64(v)
	case json.RawMessage:
		return string(v)
	}
	return value
}

func (postgres) time(stored any) (time.Time, error) {
	t, ok := stored.(time.Time)
	if !ok {
		return time.Time{}, fmt.Errorf("the database gave %T for a timestamp", stored)
	}
	return t.UTC(), nil
}

func (d postgres) rows(table string, l *Layout, shared bool) rowSQL {
	all := l.all()
	r := &postgresRows{columns: all, shared: shared}
	r.scanner = scanner{dialect: d, columns: all}
	selected := make([]string, len(all))
	for i, c := range all {
		selected[i] = d.selection(c)
	}
	list := strings.Join(selected, ", ")
	key, collate := pgTypes[l.Key.Kind].element, ""
	if l.Key.Kind == String {
		collate = ` COLLATE "C"`
	}
	name := quote(l.Key.Name)
	// Locked in the order of keys, by all transactions alike: else two of them
	// with the same keys could wait for each other.
	r.lock = fmt.Sprintf(`INSERT INTO %s AS t (%s) SELECT u.k FROM unnest($1::%s[]) AS u(k) ORDER BY u.k%s
		ON CONFLICT (%s) DO UPDATE SET "_live" = t."_live" RETURNING %s, "_live"`, quote(table), name, key, collate, name, list)
	r.load = fmt.Sprintf(`SELECT %s, "_live" FROM %s WHERE %s = ANY($1::%s[])`, list, quote(table), name, key)
	r.erase = fmt.Sprintf(`DELETE FROM %s WHERE %s = ANY($1::%s[])`, quote(table), name, key)
	r.write = upsertSQL(table, all, collate)
	return r
}

func upsertSQL(table string, all []Column, collate string) string {
	var targets, values, arrays, names, sets []string
	for i, c := range all {
		n := fmt.Sprintf("c%d", i)
		targets = append(targets, quote(c.Name))
		names = append(names, n)
		arrays = append(arrays, fmt.Sprintf("$%d::%s[]", i+1, pgTypes[c.Kind].element))
		if c.Kind == JSON {
			values = append(values, "u."+n+"::jsonb")
		} else {
			values = append(values, "u."+n)
		}
		if i > 0 {
			sets = append(sets, fmt.Sprintf("%s = excluded.%s", quote(c.Name), quote(c.Name)))
		}
	}
	return fmt.Sprintf(`INSERT INTO %s (%s, "_live") SELECT %s, true FROM unnest(%s) AS u(%s) ORDER BY u.c0%s
		ON CONFLICT (%s) DO UPDATE SET %s`, quote(table), strings.Join(targets, ", "), strings.Join(values, ", "),
		strings.Join(arrays, ", "), strings.Join(names, ", "), collate, targets[0],
		strings.Join(append(sets, `"_live" = true`), ", "))
}

type postgresRows struct {
	scanner
	columns                  []Column
	shared                   bool
	lock, load, write, erase string
}

func (r *postgresRows) stubs() bool { return r.shared }

func (r *postgresRows) read(ctx context.Context, tx *sql.Tx, keys []any) ([][]any, error) {
	query := r.load
	if r.shared {
		query = r.lock
		if missingKeysUnlocked() {
			query = r.load + " ORDER BY 1 FOR UPDATE"
		}
	}
	rows, err := tx.QueryContext(ctx, query, pgArray(r.columns[0].Kind, keys))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found [][]any
	for rows.Next() {
		var live bool
		values, err := r.scan(rows, &live)
		if err != nil {
			return nil, err
		}
		if live {
			found = append(found, values)
		}
	}
	return found, rows.Err()
}

func (r *postgresRows) upsert(ctx context.Context, tx *sql.Tx, rows [][]any) error {
	args := make([]any, len(r.columns))
	column := make([]any, len(rows))
	for i, c := range r.columns {
		for j := range rows {
			column[j] = rows[j][i]
		}
		args[i] = pgArray(c.Kind, column)
	}
	_, err := tx.ExecContext(ctx, r.write, args...)
	return err
}

func (r *postgresRows) remove(ctx context.Context, tx *sql.Tx, keys []any) error {
	_, err := tx.ExecContext(ctx, r.erase, pgArray(r.columns[0].Kind, keys))
	return err
}

// pgArray makes values of one kind an array argument; nil becomes NULL.
func pgArray(k Kind, values []any) any {
	switch k {
	case Int:
		return pgElements[int64](values)
	case Duration:
		out := make([]*int64, len(values))
		for i, v := range values {
			if d, ok := v.(time.Duration); ok {
				n := int64(d)
				out[i] = &n
			}
		}
		return out
	case Double:
		return pgElements[float64](values)
	case Bool:
		return pgElements[bool](values)
	case Bytes:
		out := make([][]byte, len(values))
		for i, v := range values {
			if b, ok := v.([]byte); ok {
				out[i] = append([]byte{}, b...) // an empty value is not NULL
			}
		}
		return out
	case Timestamp:
		return pgElements[time.Time](values)
	case JSON:
		out := make([]*string, len(values))
		for i, v := range values {
			if j, ok := v.(json.RawMessage); ok {
				s := string(j)
				out[i] = &s
			}
		}
		return out
	}
	return pgElements[string](values)
}

func pgElements[T any](values []any) []*T {
	out := make([]*T, len(values))
	for i, v := range values {
		if x, ok := v.(T); ok {
			out[i] = &x
		}
	}
	return out
}
