package sqlite

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// entry is a batch that can be stored, with its events' data in canonical form.
type entry struct {
	index int // in the call's batches
	batch *eventstore.Batch
	data  []string
}

// storable refuses what another store could not hold. SQLite would take any
// bytes; an event that cannot be moved to PostgreSQL, or shown as JSON, is no use.
func storable(b *eventstore.Batch) (entry, error) {
	e := entry{batch: b, data: make([]string, len(b.Events))}
	var scratch []byte
	for i := range b.Events {
		event := &b.Events[i]
		var err error
		if scratch, err = eventstore.AppendCanonical(scratch[:0], event.Data); err == nil {
			err = texts(event.Entity, event.Type, event.Meta.Principal, event.CommandID)
		}
		if err != nil {
			return entry{}, fmt.Errorf("event %d of shard %s: %w", event.Seq, event.Shard, err)
		}
		e.data[i] = string(scratch)
	}
	for _, o := range b.Outcomes {
		if err := texts(o.Entity, o.CommandID); err != nil {
			return entry{}, fmt.Errorf("outcome of a command for shard %s: %w", b.Lease.Shard, err)
		}
	}
	return e, nil
}

var errText = errors.New("a text is not UTF-8 or holds U+0000")

func texts(all ...string) error {
	for _, s := range all {
		if !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 {
			return errText
		}
	}
	return nil
}

// notNil makes nil an empty value, as NULL is neither.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
