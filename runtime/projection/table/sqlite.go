package table

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

type sqlite struct{}

var sqliteTypes = map[Kind]string{
	String: "TEXT", Int: "INTEGER", Double: "REAL", Bool: "INTEGER",
	Bytes: "BLOB", Timestamp: "TEXT", Duration: "INTEGER", JSON: "TEXT",
}

// sqliteTime has a fixed width, so that text order is time order.
const sqliteTime = "2006-01-02T15:04:05.000000Z"

func (sqlite) create(table string, l *Layout) []string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE %s (%s %s NOT NULL PRIMARY KEY", quote(table), quote(l.Key.Name), sqliteTypes[l.Key.Kind])
	for _, c := range l.Columns {
		fmt.Fprintf(&b, ", %s %s", quote(c.Name), sqliteTypes[c.Kind])
		if !c.Optional {
			b.WriteString(" NOT NULL")
		}
	}
	b.WriteString(") STRICT, WITHOUT ROWID")
	statements := []string{b.String()}
	for i, c := range l.Columns {
		if c.Indexed && c.Kind != JSON {
			statements = append(statements, fmt.Sprintf("CREATE INDEX %s ON %s (%s, %s)",
				quote(fmt.Sprintf("%s_%d", table, i)), quote(table), quote(c.Name), quote(l.Key.Name)))
		}
	}
	return statements
}

// taken compares without case, as SQLite does with names.
func (sqlite) taken() string {
	return `SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = $1 COLLATE NOCASE) OR lower($1) LIKE 'sqlite\_%' ESCAPE '\'`
}

func (sqlite) selection(c Column) string { return quote(c.Name) }

func (sqlite) argument(value any) any {
	switch v := value.(type) {
	case time.Time:
		return v.UTC().Format(sqliteTime)
	case time.Duration:
		return int64(v)
	case json.RawMessage:
		return string(v)
	case bool:
		if v {
			return int64(1)
		}
		return int64(0)
	case []byte:
		return append([]byte{}, v...) // an empty value is not NULL
	}
	return value
}

func (sqlite) time(stored any) (time.Time, error) {
	text, ok := stored.(string)
	if !ok {
		return time.Time{}, fmt.Errorf("the database gave %T for a timestamp", stored)
	}
	return time.Parse(sqliteTime, text)
}

func (d sqlite) rows(table string, l *Layout, _ bool) rowSQL {
	all := l.all()
	r := &sqliteRows{dialect: d, scanner: scanner{dialect: d, columns: all}}
	var marks, sets []string
	for i, c := range all {
		marks = append(marks, fmt.Sprintf("$%d", i+1))
		if i > 0 {
			sets = append(sets, fmt.Sprintf("%s = excluded.%s", quote(c.Name), quote(c.Name)))
		}
	}
	key := quote(l.Key.Name)
	r.load = fmt.Sprintf("SELECT %s FROM %s WHERE %s IN ", quoteAll(all), quote(table), key)
	r.write = fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s) ON CONFLICT (%s) DO UPDATE SET %s", quote(table), quoteAll(all),
		strings.Join(marks, ", "), key, strings.Join(sets, ", "))
	r.erase = fmt.Sprintf("DELETE FROM %s WHERE %s = $1", quote(table), key)
	return r
}

type sqliteRows struct {
	scanner            scanner
	dialect            sqlite
	load, write, erase string
}

func (r *sqliteRows) stubs() bool { return false }

// sqliteChunk is how many keys are read by one statement: well under the limit
// on parameters.
const sqliteChunk = 500

func (r *sqliteRows) read(ctx context.Context, tx *sql.Tx, keys []any) ([][]any, error) {
	var found [][]any
	for len(keys) > 0 {
		n := min(len(keys), sqliteChunk)
		some, err := r.readChunk(ctx, tx, keys[:n])
		if err != nil {
			return nil, err
		}
		found, keys = append(found, some...), keys[n:]
	}
	return found, nil
}

func (r *sqliteRows) readChunk(ctx context.Context, tx *sql.Tx, keys []any) ([][]any, error) {
	args := make([]any, len(keys))
	for i, k := range keys {
		args[i] = r.dialect.argument(k)
	}
	rows, err := tx.QueryContext(ctx, r.load+"(?"+strings.Repeat(", ?", len(keys)-1)+")", args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found [][]any
	for rows.Next() {
		values, err := r.scanner.scan(rows)
		if err != nil {
			return nil, err
		}
		found = append(found, values)
	}
	return found, rows.Err()
}

func (r *sqliteRows) upsert(ctx context.Context, tx *sql.Tx, rows [][]any) error {
	statement, err := tx.PrepareContext(ctx, r.write)
	if err != nil {
		return err
	}
	defer statement.Close()
	for _, row := range rows {
		args := make([]any, len(row))
		for i, v := range row {
			args[i] = r.dialect.argument(v)
		}
		if _, err := statement.ExecContext(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

func (r *sqliteRows) remove(ctx context.Context, tx *sql.Tx, keys []any) error {
	statement, err := tx.PrepareContext(ctx, r.erase)
	if err != nil {
		return err
	}
	defer statement.Close()
	for _, k := range keys {
		if _, err := statement.ExecContext(ctx, r.dialect.argument(k)); err != nil {
			return err
		}
	}
	return nil
}
