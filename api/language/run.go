package language

import (
	"fmt"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// anyType is what the checker takes a name for whose own expression failed.
var anyType = types.DynType

// Command is a parsed and checked command. It is immutable.
type Command struct {
	Fields *Record

	def *command
}

// Name is the command's name.
func (c *Command) Name() string { return c.def.name }

// Event is an event as a command leads to it.
type Event struct {
	Type string
	Data *Record
}

// Parse reads a command's JSON body, fills in defaults and checks it. An empty
// body is one without fields. Errors are of type *Refusal.
func (a *Aggregate) Parse(name string, body []byte) (*Command, error) {
	def, ok := a.commands[name]
	if !ok {
		return nil, refuse(UnknownName, "aggregate %s has no command %s", a.name, name)
	}
	if len(body) == 0 {
		body = []byte("{}")
	}
	fields, refusal := decodeRecord(def.fields, body, true)
	if refusal != nil {
		return nil, refusal
	}
	if def.fields.checks {
		s := newScope(true)
		defer s.release()
		s.command = fields
		if refusal := checkRecord(s, fields); refusal != nil {
			return nil, refusal
		}
	}
	return &Command{Fields: fields, def: def}, nil
}

// checkRecord runs the checks of a record's fields, inner ones first.
func checkRecord(s *scope, r *Record) *Refusal {
	for i, v := range r.vals {
		f := &r.typ.Fields[i]
		if v == nil {
			continue // an absent field has nothing to check
		}
		if f.Type.hasChecks() {
			if refusal := checkInside(s, v); refusal != nil {
				return refusal.in(f.Name)
			}
		}
		if f.check == nil {
			continue
		}
		s.self = v
		ok, err := f.check.truth(s)
		if err != nil {
			return behaviorFailed(err).in(f.Name)
		}
		if !ok {
			return (&Refusal{Reason: CheckFailed, Detail: "does not pass the check " + f.check.text}).in(f.Name)
		}
	}
	return nil
}

func checkInside(s *scope, v ref.Val) *Refusal {
	switch w := v.(type) {
	case *Record:
		return checkRecord(s, w)
	case *List:
		for i, e := range w.vals {
			if refusal := checkInside(s, e); refusal != nil {
				return refusal.in(fmt.Sprintf("[%d]", i))
			}
		}
	case *Map:
		for k, e := range w.All {
			if refusal := checkInside(s, e); refusal != nil {
				return refusal.in(step(k))
			}
		}
	}
	return nil
}

// Decide gives the events that the command leads to in a state; none is
// success that changes nothing. Errors are of type *Refusal: the author's
// rejection, or BehaviorFailed.
func (a *Aggregate) Decide(state *Record, c *Command, meta Meta) ([]Event, error) {
	state, err := adopt(a.state, state)
	if err != nil {
		return nil, err
	}
	if a.commands[c.def.name] != c.def {
		// It was parsed under the definition before this one.
		if c, err = a.Parse(c.def.name, AppendJSON(nil, c.Fields)); err != nil {
			return nil, err
		}
	}
	s := newScope(true)
	defer s.release()
	s.state, s.command, s.meta = state, c.Fields, metaValue{meta}
	s.useLets(c.def.let)
	for i := range c.def.reject {
		if refusal := c.def.reject[i].try(s); refusal != nil {
			return nil, refusal
		}
	}
	var events []Event
	for i := range c.def.emit {
		if events, err = c.def.emit[i].run(s, events); err != nil {
			return nil, behaviorFailed(err)
		}
	}
	return events, nil
}

func (r *rejection) try(s *scope) *Refusal {
	rejected, err := r.when.truth(s)
	if err != nil {
		return behaviorFailed(err)
	}
	if !rejected {
		return nil
	}
	out := &Refusal{Reason: r.reason, Rejected: true, Detail: "the command is refused: " + r.reason}
	if r.message != nil {
		v, err := r.message.eval(s)
		if err != nil {
			return behaviorFailed(err)
		}
		text, ok := v.(types.String)
		if !ok {
			return behaviorFailed(r.message.failed(fmt.Errorf("is %s, needs string", v.Type().TypeName())))
		}
		if err := checkText(string(text)); err != nil {
			return behaviorFailed(r.message.failed(err))
		}
		out.Detail = string(text)
	}
	return out
}

// run appends the events of one emit.
func (e *emission) run(s *scope, events []Event) ([]Event, error) {
	if e.forEach == nil {
		return e.once(s, events)
	}
	err := e.forEach.each(s, func() (err error) {
		events, err = e.once(s, events)
		return err
	})
	return events, err
}

func (e *emission) once(s *scope, events []Event) ([]Event, error) {
	if e.when != nil {
		ok, err := e.when.truth(s)
		if err != nil || !ok {
			return events, err
		}
	}
	if len(events) == MaxEmitted {
		return nil, &limitError{OverEvents, fmt.Sprintf("the command leads to more than %d events", MaxEmitted)}
	}
	data := e.event.fields.zero
	if len(e.set) > 0 {
		var err error
		if data, err = assign(data, e.set, s); err != nil {
			return nil, err
		}
	}
	// Every byte of an event is work for all that comes after.
	if err := s.charge(uint64(encodedSize(data))); err != nil {
		return nil, err
	}
	return append(events, Event{Type: e.event.name, Data: data}), nil
}

// assign evaluates all values before it changes a copy of the record.
func assign(r *Record, set []assignment, s *scope) (*Record, error) {
	next := r.clone()
	for i := range set {
		v, err := set[i].value.eval(s)
		if err != nil {
			return nil, err
		}
		if err := next.set(set[i].field, v); err != nil {
			return nil, set[i].value.failed(err)
		}
	}
	return next, nil
}

// each runs f with every item of a forEach in scope: the elements of a list,
// the keys of a map in order.
func (l *loop) each(s *scope, f func() error) error {
	in, err := l.in.eval(s)
	if err != nil {
		return err
	}
	items, ok := in.(traits.Iterable)
	if !ok {
		return l.in.failed(fmt.Errorf("is %s, needs %s", in.Type().TypeName(), iterable.name))
	}
	s.as = l.as
	defer func() { s.as, s.item = "", nil }()
	for it := items.Iterator(); it.HasNext() == types.True; {
		s.item = it.Next()
		if err := s.charge(1); err != nil {
			return l.in.failed(err)
		}
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

// DecodeEvent reads an event's stored data.
func (a *Aggregate) DecodeEvent(typ string, data []byte) (*Record, error) {
	e, ok := a.events[typ]
	if !ok {
		return nil, refuse(BehaviorFailed, "aggregate %s has no event %s", a.name, typ)
	}
	r, refusal := decodeRecord(e.fields, data, false)
	if refusal != nil {
		return nil, refusal
	}
	return r, nil
}

// Try folds an event that is not written yet, under the limits: of cost, and
// of the state's size. Errors are of type *Refusal.
func (a *Aggregate) Try(state *Record, e Event, meta Meta) (*Record, error) {
	next, err := a.fold(state, e, meta, true)
	if err != nil {
		return nil, err
	}
	if size := encodedSize(next); size > MaxStateSize {
		r := refuse(StateTooLarge, "the state would have %d bytes, at most %d are allowed", size, MaxStateSize)
		r.Limit = OverState
		return nil, r
	}
	return next, nil
}

// Evolve folds a stored event, without limits.
func (a *Aggregate) Evolve(state *Record, e Event, meta Meta) (*Record, error) {
	return a.fold(state, e, meta, false)
}

func (a *Aggregate) fold(state *Record, e Event, meta Meta, limited bool) (*Record, error) {
	def, ok := a.events[e.Type]
	if !ok {
		return nil, refuse(BehaviorFailed, "aggregate %s has no event %s", a.name, e.Type)
	}
	state, err := adopt(a.state, state)
	if err != nil {
		return nil, err
	}
	data, err := adopt(def.fields, e.Data)
	if err != nil {
		return nil, err
	}
	if len(def.apply) == 0 {
		return state, nil
	}
	s := newScope(limited)
	defer s.release()
	s.state, s.event, s.meta = state, data, metaValue{meta}
	next, err := assign(state, def.apply, s)
	if err != nil {
		return nil, behaviorFailed(err)
	}
	return next, nil
}

// adopt takes a record of another compilation for one of this: definitions
// change while states and events are in memory, and even one that folds alike
// may list its fields in another order.
func adopt(t *RecordType, r *Record) (*Record, error) {
	if r.typ == t {
		return r, nil
	}
	v, err := conformRecord(t, r)
	if err != nil {
		return nil, refuse(BehaviorFailed, "a value of another definition does not fit: %v", err)
	}
	return v.(*Record), nil
}

// DecodeState reads a state that AppendJSON wrote.
func (a *Aggregate) DecodeState(data []byte) (*Record, error) {
	r, refusal := decodeRecord(a.state, data, false)
	if refusal != nil {
		return nil, refusal
	}
	return r, nil
}
