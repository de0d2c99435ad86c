// Package cel is the Behavior of a declared aggregate: api/language does the
// work, and this package speaks of it in the runtime's words.
//
// It must never decide anything itself: what an expression means is the same
// for lint, the operator and the runtime only because all ask api/language.
package cel

import (
	"encoding/json"
	"errors"

	"github.com/leftfold/leftfold/api/language"
	"github.com/leftfold/leftfold/runtime/behavior"
	"github.com/leftfold/leftfold/runtime/problem"
)

// typeVersion is the version of all event types until upcasting exists.
const typeVersion = 1

// Behavior carries out one declared aggregate. It is safe for concurrent use.
type Behavior struct {
	aggregate *language.Aggregate
}

var _ behavior.Behavior = (*Behavior)(nil)

// New gives the Behavior of a checked definition.
func New(a *language.Aggregate) *Behavior { return &Behavior{aggregate: a} }

// Parse implements behavior.Behavior.
func (b *Behavior) Parse(name string, body []byte) (behavior.Command, error) {
	c, err := b.aggregate.Parse(name, body)
	if err != nil {
		return behavior.Command{}, refused(err)
	}
	return behavior.Command{Name: name, Fields: c}, nil
}

// Zero implements behavior.Behavior.
func (b *Behavior) Zero() behavior.State { return b.aggregate.Zero() }

// Decide implements behavior.Behavior.
func (b *Behavior) Decide(s behavior.State, c behavior.Command, m behavior.Meta) ([]behavior.Event, error) {
	state, ok := s.(*language.Record)
	if !ok {
		return nil, foreign("state", s)
	}
	command, ok := c.Fields.(*language.Command)
	if !ok {
		return nil, foreign("command", c.Fields)
	}
	decided, err := b.aggregate.Decide(state, command, language.Meta(m))
	if err != nil {
		return nil, refused(err)
	}
	if len(decided) == 0 {
		return nil, nil
	}
	events := make([]behavior.Event, len(decided))
	for i, e := range decided {
		events[i] = behavior.Event{
			Type:        e.Type,
			TypeVersion: typeVersion,
			Data:        language.AppendJSON(make([]byte, 0, language.EncodedSize(e.Data)), e.Data),
			Value:       e.Data,
		}
	}
	return events, nil
}

// Try implements behavior.Behavior.
func (b *Behavior) Try(s behavior.State, e behavior.Event, m behavior.Meta) (behavior.State, error) {
	return b.fold(s, e, m, b.aggregate.Try)
}

// Evolve implements behavior.Behavior.
func (b *Behavior) Evolve(s behavior.State, e behavior.Event, m behavior.Meta) (behavior.State, error) {
	return b.fold(s, e, m, b.aggregate.Evolve)
}

func (b *Behavior) fold(
	s behavior.State, e behavior.Event, m behavior.Meta,
	with func(*language.Record, language.Event, language.Meta) (*language.Record, error),
) (behavior.State, error) {
	state, ok := s.(*language.Record)
	if !ok {
		return nil, foreign("state", s)
	}
	data, ok := e.Value.(*language.Record)
	if !ok {
		var err error
		if data, err = b.aggregate.DecodeEvent(e.Type, e.Data); err != nil {
			return nil, undecodable(err)
		}
	}
	next, err := with(state, language.Event{Type: e.Type, Data: data}, language.Meta(m))
	if err != nil {
		return nil, refused(err)
	}
	return next, nil
}

// EncodeState implements behavior.Behavior.
func (b *Behavior) EncodeState(s behavior.State) (json.RawMessage, error) {
	state, ok := s.(*language.Record)
	if !ok {
		return nil, foreign("state", s)
	}
	return language.AppendJSON(make([]byte, 0, language.EncodedSize(state)), state), nil
}

// DecodeState implements behavior.Behavior.
func (b *Behavior) DecodeState(data []byte) (behavior.State, error) {
	state, err := b.aggregate.DecodeState(data)
	if err != nil {
		return nil, undecodable(err)
	}
	return state, nil
}

// Size implements behavior.Behavior.
func (b *Behavior) Size(s behavior.State) int {
	state, ok := s.(*language.Record)
	if !ok {
		return 0
	}
	return language.MemorySize(state)
}

// Fingerprint implements behavior.Behavior.
func (b *Behavior) Fingerprint() [32]byte { return b.aggregate.Fingerprint() }

// refused gives a Refusal as the Problem that callers see.
func refused(err error) error {
	var r *language.Refusal
	if !errors.As(err, &r) {
		return problem.New(problem.BehaviorFailed, "%v", err)
	}
	return &problem.Problem{Reason: problem.Reason(r.Reason), Rejected: r.Rejected, Field: r.Field, Detail: r.Detail, Limit: problem.Limit(r.Limit)}
}

// undecodable is for stored data that the definition does not fit: the caller
// sent nothing wrong, whatever the reader found.
func undecodable(err error) error {
	return problem.New(problem.BehaviorFailed, "stored data does not fit the definition: %v", err)
}

func foreign(what string, v any) error {
	return problem.New(problem.BehaviorFailed, "a %s of another behaviour was given (%T)", what, v)
}
