package simulation

import (
	"fmt"
	"math"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
)

// Every entity's history is linearizable: there is an order of all commands and
// strong reads, each at some moment between its beginning and its answer, in
// which every answer is that of the state at that moment. The log tells which of
// the unanswered commands took effect, and what the states were.

// seen is what an answer says of the entity's state.
type seen struct {
	// from..to are the versions between which its events are; alike without.
	from, to int64
	// fits tells whether the answer fits the state at a version; nil: any.
	fits func(version int64) bool
}

// linearizable checks every entity, and adds what it finds to the violations. It
// belongs outside of virtual time, which does not pass while it thinks.
func (o *outcome) linearizable() {
	for entity, states := range o.states {
		var ops []porcupine.Operation
		for _, op := range o.history {
			if op.command.Entity != entity {
				continue
			}
			s, ok := o.sight(op, states)
			if !ok {
				continue
			}
			end := int64(op.ended)
			if !op.answered() {
				end = math.MaxInt64
			}
			ops = append(ops, porcupine.Operation{ClientId: op.client, Input: op, Output: s, Call: int64(op.begun), Return: end})
		}
		model := porcupine.Model{
			Init: func() any { return int64(0) },
			Step: func(state, _, output any) (bool, any) {
				version, s := state.(int64), output.(seen)
				if s.from != s.to {
					return version == s.from, s.to
				}
				return s.fits(version), version
			},
		}
		switch porcupine.CheckOperationsTimeout(model, ops, 20*time.Second) {
		case porcupine.Illegal:
			o.violations = append(o.violations, violation{entity, fmt.Sprintf("the history of %s is not linearizable", entity)})
		case porcupine.Unknown:
			o.violations = append(o.violations, violation{entity, fmt.Sprintf("whether the history of %s is linearizable could not be told in time", entity)})
		}
	}
}

// sight is what an operation's answer says; not ok when it says nothing, or is
// not promised to be linearizable.
func (o *outcome) sight(op *operation, states []account) (s seen, ok bool) {
	switch {
	case op.kind == strongRead && op.view != nil:
		v := op.view
		return seen{fits: func(version int64) bool { return version == v.Version }}, true
	case op.kind != write:
		return seen{}, false
	case op.refusal != nil:
		return seen{fits: func(version int64) bool { return refusalFits(op.refusal, version, states) }}, true
	case op.answer != nil && len(op.answer.Events) == 0:
		return seen{fits: func(version int64) bool { return version == op.answer.Version }}, true
	}
	var events []eventstore.Event
	for _, e := range o.logs[op.command.Entity] {
		if e.CommandID == op.command.ID {
			events = append(events, e)
		}
	}
	if len(events) == 0 {
		return seen{}, false // it has no effect, and nobody was told anything
	}
	return seen{from: events[0].Version - 1, to: events[len(events)-1].Version}, true
}

func refusalFits(p *problem.Problem, version int64, states []account) bool {
	at := states[version]
	if p.Reason == problem.VersionMismatch {
		return p.Version == version
	}
	if p.Detail != fmt.Sprintf("balance %d", at.Balance) {
		return false
	}
	switch p.Reason {
	case "NotOpen":
		return !at.Open
	case "AlreadyOpen", "InsufficientFunds":
		return at.Open
	}
	return true
}
