package language

import (
	"fmt"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Projection is a checked definition of a table, ready to run. It is immutable
// and safe for concurrent use.
type Projection struct {
	name    string
	sources []Source
	key     Column
	columns []Column
	row     *RecordType
	rules   map[eventRef][]rule
	events  map[eventRef]*RecordType

	entityKeyed bool
	fingerprint [32]byte
}

// eventRef names an event of a source.
type eventRef struct{ aggregate, event string }

// Source is an aggregate whose events a projection reads.
type Source struct {
	Aggregate string
	// Events are the names of the wanted events; none means all.
	Events []string
}

// Column is a column of the table.
type Column struct {
	Name     string
	Type     *Type
	Indexed  bool
	Optional bool
}

// rule is a compiled rule.
type rule struct {
	key     *expression
	forEach *loop       // nil for once
	when    *expression // nil for always
	set     []assignment
	remove  bool
}

// Name is the projection's name.
func (p *Projection) Name() string { return p.name }

// Sources gives the aggregates and events that are read.
func (p *Projection) Sources() []Source { return p.sources }

// Key is the column that tells rows apart: string, int, bool, timestamp or
// duration.
func (p *Projection) Key() Column { return p.key }

// Columns are the other columns, in the order of the definition. They are the
// fields of Row, in the same order.
func (p *Projection) Columns() []Column { return p.columns }

// Row is the type of a row without its key.
func (p *Projection) Row() *RecordType { return p.row }

// EntityKeyed tells that every row's key is the entity of one source, so that
// no two shards ever meet in a row.
func (p *Projection) EntityKeyed() bool { return p.entityKeyed }

// Fingerprint covers all that the rows depend on. Definitions with the same
// one make the same rows of the same events.
func (p *Projection) Fingerprint() [32]byte { return p.fingerprint }

// Wants tells whether an event has a rule. Events without one change nothing.
func (p *Projection) Wants(aggregate, event string) bool {
	return len(p.rules[eventRef{aggregate, event}]) > 0
}

// DecodeEvent reads the stored data of a wanted event.
func (p *Projection) DecodeEvent(aggregate, event string, data []byte) (*Record, error) {
	t, ok := p.events[eventRef{aggregate, event}]
	if !ok {
		return nil, refuse(BehaviorFailed, "projection %s does not read event %s of aggregate %s", p.name, event, aggregate)
	}
	r, refusal := decodeRecord(t, data, false)
	if refusal != nil {
		return nil, refusal
	}
	return r, nil
}

// Touch is one row that an event may change: a rule, the row's key and, under
// forEach, the item.
type Touch struct {
	// Key is the row's key, of the key column's type.
	Key ref.Val

	rule  *rule
	event *Record
	meta  Meta
	item  ref.Val
}

// Keys gives the rows that an event may change, in the order in which Apply is
// to be called for them. The same row may come several times. Errors are of
// type *Refusal.
func (p *Projection) Keys(aggregate string, e Event, meta Meta) ([]Touch, error) {
	rules := p.rules[eventRef{aggregate, e.Type}]
	if len(rules) == 0 {
		return nil, nil
	}
	s := newScope(true)
	defer s.release()
	s.event, s.meta = e.Data, metaValue{meta}
	touches := make([]Touch, 0, len(rules))
	for i := range rules {
		r := &rules[i]
		touch := func() error {
			key, err := p.keyOf(r, s)
			if err != nil {
				return err
			}
			touches = append(touches, Touch{Key: key, rule: r, event: e.Data, meta: meta, item: s.item})
			return nil
		}
		var err error
		if r.forEach == nil {
			err = touch()
		} else {
			err = r.forEach.each(s, touch)
		}
		if err != nil {
			return nil, behaviorFailed(err)
		}
	}
	return touches, nil
}

func (p *Projection) keyOf(r *rule, s *scope) (ref.Val, error) {
	v, err := r.key.eval(s)
	if err != nil {
		return nil, err
	}
	if v, err = conform(p.key.Type, v); err != nil {
		return nil, r.key.failed(err)
	}
	return v, nil
}

// Change is what became of a row.
type Change struct {
	// Row is the row after the rule; the row before it when nothing changed.
	Row *Record
	// Delete tells that the row is to be removed.
	Delete bool
	// Changed is false when the rule left everything as it was.
	Changed bool
}

// Apply carries a rule out on its row. row is nil, or anything, when the row
// does not exist; it then reads as zero. Errors are of type *Refusal.
func (p *Projection) Apply(t Touch, row *Record, exists bool) (Change, error) {
	if !exists || row == nil {
		row = p.row.zero
	}
	row, err := adopt(p.row, row)
	if err != nil {
		return Change{}, err
	}
	s := newScope(true)
	defer s.release()
	s.event, s.row, s.meta = t.event, row, metaValue{t.meta}
	if t.rule.forEach != nil {
		s.as, s.item = t.rule.forEach.as, t.item
	}
	if t.rule.when != nil {
		ok, err := t.rule.when.truth(s)
		if err != nil {
			return Change{}, behaviorFailed(err)
		}
		if !ok {
			return Change{Row: row}, nil
		}
	}
	if t.rule.remove {
		return Change{Row: p.row.zero, Delete: exists, Changed: exists}, nil
	}
	next, err := assign(row, t.rule.set, s)
	if err != nil {
		return Change{}, behaviorFailed(err)
	}
	if size := encodedSize(next); size > MaxStateSize {
		return Change{}, refuse(StateTooLarge, "the row would have %d bytes, at most %d are allowed", size, MaxStateSize)
	}
	if exists && next.Equal(row) == types.True {
		return Change{Row: row}, nil
	}
	return Change{Row: next, Changed: true}, nil
}

// NewRecord makes a record of values in the order of the type's fields; nil
// leaves a field at its zero, or absent when it is optional.
func NewRecord(t *RecordType, vals []ref.Val) (*Record, error) {
	if len(vals) != len(t.Fields) {
		return nil, fmt.Errorf("%d values for the %d fields of %s", len(vals), len(t.Fields), t.Name)
	}
	r := t.zero.clone()
	for i, v := range vals {
		if v == nil {
			continue
		}
		if err := r.set(i, v); err != nil {
			return nil, fmt.Errorf("field %s: %w", t.Fields[i].Name, err)
		}
	}
	return r, nil
}
