package table

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/projection"
)

const (
	// maxRemembered and maxRememberedBytes bound the rows that a writer keeps from
	// batch to batch. There is a writer for each shard that is owned, so rows of a
	// usual size meet the number first, and large ones the bytes. Four times as many
	// of a million rows took 30 MiB of a process with 16 shards.
	maxRemembered      = 1024
	maxRememberedBytes = 512 << 10
	// rowBytes is what a row that is kept takes besides what the Rules say.
	rowBytes = 128
)

// writer folds the events of one shard into one table.
type writer struct {
	target    *Target
	table     string
	aggregate string
	sql       rowSQL
	// remembered are rows as the last transaction left them, by keyID; used only
	// where no one else can reach them. staged becomes part of it on commit.
	remembered map[any]known
	bytes      int // of remembered
	staged     map[any]*slot
}

type known struct {
	row    Content
	exists bool
	bytes  int // once it is remembered
}

// slot is a row while a batch is folded.
type slot struct {
	key    any
	stored bool // the table has it
	known       // as folded so far
	dirty  bool
}

// plan is what one event of a batch touches.
type plan struct {
	event   *eventstore.Event
	touches []Touch
}

// Apply implements projection.Writer.
func (w *writer) Apply(ctx context.Context, tx *sql.Tx, events []eventstore.Event) ([]projection.Failure, error) {
	w.staged = nil
	plans, failures := w.plan(events)
	slots, err := w.read(ctx, tx, plans)
	if err != nil {
		return nil, err
	}
	failures = w.fold(plans, slots, failures)
	if err := w.write(ctx, tx, slots); err != nil {
		return nil, err
	}
	w.staged = slots
	out := make([]projection.Failure, 0, len(failures))
	for _, f := range failures {
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b projection.Failure) int { return cmp.Compare(a.Seq, b.Seq) })
	return out, nil
}

// Committed implements projection.Writer.
func (w *writer) Committed() {
	if w.target.Shared {
		w.staged = nil
		return
	}
	bytes := 0
	for _, s := range w.staged {
		s.bytes = rowBytes + w.target.Rules.Size(s.row)
		bytes += s.bytes
	}
	// All or nothing of what was: a row that is not replaced must not stay.
	if len(w.remembered)+len(w.staged) > maxRemembered || w.bytes+bytes > maxRememberedBytes {
		clear(w.remembered)
		w.bytes = 0
	}
	for id, s := range w.staged {
		if len(w.remembered) == maxRemembered {
			break
		}
		if w.bytes+s.bytes <= maxRememberedBytes {
			w.bytes += s.bytes - w.remembered[id].bytes
			w.remembered[id] = s.known
		}
	}
	w.staged = nil
}

// Forget implements projection.Writer.
func (w *writer) Forget() {
	w.remembered, w.bytes, w.staged = map[any]known{}, 0, nil
}

// failing is the first failed event of each entity.
type failing map[string]projection.Failure

func (f failing) add(e *eventstore.Event, err error) {
	f[e.Entity] = projection.Failure{Entity: e.Entity, Version: e.Version, Seq: e.Seq, Err: fmt.Errorf("%s: %w", e.Type, err)}
}

// plan finds what each event touches. An entity's events behind one that fails
// are left out.
func (w *writer) plan(events []eventstore.Event) ([]plan, failing) {
	plans, failures := make([]plan, 0, len(events)), failing{}
	for i := range events {
		e := &events[i]
		if _, failed := failures[e.Entity]; failed {
			continue
		}
		touches, err := w.target.Rules.Touches(w.aggregate, e)
		if err != nil {
			failures.add(e, err)
			continue
		}
		if len(touches) > 0 {
			plans = append(plans, plan{event: e, touches: touches})
		}
	}
	return plans, failures
}

// read gives a slot for every key that is touched, locked where that is needed.
func (w *writer) read(ctx context.Context, tx *sql.Tx, plans []plan) (map[any]*slot, error) {
	slots := map[any]*slot{}
	var keys []any
	for _, p := range plans {
		for _, t := range p.touches {
			id := keyID(t.Key)
			if slots[id] != nil {
				continue
			}
			s := &slot{key: t.Key}
			s.row = w.target.Rules.Zero()
			slots[id] = s
			if k, ok := w.remembered[id]; ok {
				s.known, s.stored = k, k.exists
			} else {
				keys = append(keys, t.Key)
			}
		}
	}
	if len(keys) == 0 {
		return slots, nil
	}
	slices.SortFunc(keys, compareKeys)
	rows, err := w.sql.read(ctx, tx, keys)
	if err != nil {
		return nil, fmt.Errorf("read rows of %s: %w", w.table, err)
	}
	for _, values := range rows {
		s := slots[keyID(values[0])]
		if s == nil {
			return nil, fmt.Errorf("%s gave a row with key %v that was not asked for", w.table, values[0])
		}
		if s.row, err = w.target.Rules.Decode(values[1:]); err != nil {
			return nil, fmt.Errorf("row %v of %s: %w", values[0], w.table, err)
		}
		s.exists, s.stored = true, true
	}
	return slots, nil
}

// fold carries the touches out, in the order of events. An event that fails
// changes nothing.
func (w *writer) fold(plans []plan, slots map[any]*slot, failures failing) failing {
	type before struct {
		slot *slot
		was  slot
	}
	var undo []before
	for _, p := range plans {
		if f, failed := failures[p.event.Entity]; failed && f.Seq < p.event.Seq {
			continue
		}
		undo = undo[:0]
		for _, t := range p.touches {
			s := slots[keyID(t.Key)]
			row, change, err := w.target.Rules.Apply(t, s.row, s.exists)
			if err != nil {
				for i := len(undo) - 1; i >= 0; i-- {
					*undo[i].slot = undo[i].was
				}
				failures.add(p.event, err)
				break
			}
			if change == Unchanged {
				continue
			}
			undo = append(undo, before{slot: s, was: *s})
			s.dirty = true
			if change == Deleted {
				s.known = known{row: w.target.Rules.Zero()}
			} else {
				s.known = known{row: row, exists: true}
			}
		}
	}
	return failures
}

// write brings the table in line with the slots.
func (w *writer) write(ctx context.Context, tx *sql.Tx, slots map[any]*slot) error {
	var rows [][]any
	var gone []any
	for _, s := range slots {
		switch {
		case s.exists && s.dirty:
			values, err := w.target.Rules.Encode(s.row)
			if err != nil {
				return fmt.Errorf("row %v of %s: %w", s.key, w.table, err)
			}
			rows = append(rows, append([]any{s.key}, values...))
		case !s.exists && (s.stored || w.sql.stubs()):
			gone = append(gone, s.key)
		}
	}
	if len(rows) > 0 {
		slices.SortFunc(rows, func(a, b []any) int { return compareKeys(a[0], b[0]) })
		if err := w.sql.upsert(ctx, tx, rows); err != nil {
			return fmt.Errorf("write rows of %s: %w", w.table, err)
		}
	}
	if len(gone) > 0 {
		slices.SortFunc(gone, compareKeys)
		if err := w.sql.remove(ctx, tx, gone); err != nil {
			return fmt.Errorf("delete rows of %s: %w", w.table, err)
		}
	}
	return nil
}

// compareKeys orders keys of one kind as the database does.
func compareKeys(a, b any) int {
	switch x := a.(type) {
	case string:
		if y, ok := b.(string); ok {
			return strings.Compare(x, y)
		}
	case int64:
		if y, ok := b.(int64); ok {
			return cmp.Compare(x, y)
		}
	case float64:
		if y, ok := b.(float64); ok {
			return cmp.Compare(x, y)
		}
	case bool:
		if y, ok := b.(bool); ok && x != y {
			if x {
				return 1
			}
			return -1
		}
	case []byte:
		if y, ok := b.([]byte); ok {
			return bytes.Compare(x, y)
		}
	case time.Time:
		if y, ok := b.(time.Time); ok {
			return x.Compare(y)
		}
	case time.Duration:
		if y, ok := b.(time.Duration); ok {
			return cmp.Compare(x, y)
		}
	}
	return 0
}
