package simulation

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/eventstore/storetest"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

// outcome is what a run leaves to be judged.
type outcome struct {
	seed       uint64
	logs       map[string][]eventstore.Event // by entity, as stored
	states     map[string][]account          // by entity and version
	history    []*operation
	violations []violation
	took       time.Duration // virtual
}

// finish holds the log, the answers, the reads and the repeats against each
// other, on a calm store.
func (w *world) finish() *outcome {
	ctx := context.Background()
	if err := storetest.Invariants(ctx, w.store); err != nil {
		w.fail("the store's invariants: %v", err)
	}
	out := &outcome{seed: w.seed, logs: w.logs(), states: make(map[string][]account), history: w.history, took: time.Since(w.began)}
	for entity, log := range out.logs {
		out.states[entity] = fold(log)
		for version, s := range out.states[entity] {
			if s.Balance < 0 {
				w.failOn(entity, "the balance of %s is %d at version %d: a command was decided on a state that never was", entity, s.Balance, version)
			}
		}
	}
	for _, op := range w.history {
		if op.kind == write {
			w.checkWrite(op, out.logs[op.command.Entity])
		} else if op.view != nil {
			w.checkView(op, out.states[op.command.Entity])
		}
	}
	w.checkProjections()
	w.checkFresh(out)
	out.violations = w.violations
	return out
}

func (w *world) logs() map[string][]eventstore.Event {
	logs := make(map[string][]eventstore.Event)
	for _, id := range w.id {
		events, err := w.store.ReadShard(context.Background(), id, 0, 1<<20)
		if err != nil {
			w.fail("read shard %s: %v", id, err)
		}
		for _, e := range events {
			logs[e.Entity] = append(logs[e.Entity], e)
		}
	}
	return logs
}

// checkWrite: what was acknowledged is there, once; what was refused, or never
// attempted, is not.
func (w *world) checkWrite(op *operation, log []eventstore.Event) {
	entity := op.command.Entity
	var found []eventstore.Event
	for _, e := range log {
		if e.CommandID == op.command.ID {
			found = append(found, e)
		}
	}
	for i := 1; i < len(found); i++ {
		if found[i].Version != found[i-1].Version+1 || found[i].Seq != found[i-1].Seq+1 {
			w.failOn(entity, "it ran twice, at versions %d and %d: %s", found[i-1].Version, found[i].Version, op)
		}
	}
	switch {
	case op.answer != nil:
		same := slices.EqualFunc(found, op.answer.Events, func(a, b eventstore.Event) bool { return a.Hash == b.Hash })
		if !same {
			w.failOn(entity, "%d events were acknowledged, and %d are there, or others: %s", len(op.answer.Events), len(found), op)
		}
	case (op.refusal != nil || !op.unsure) && len(found) > 0:
		w.failOn(entity, "it was refused, or never attempted, and has %d events from version %d on: %s", len(found), found[0].Version, op)
	}
}

func accountIn(v *shard.View) account {
	var a account
	_ = json.Unmarshal(v.State, &a) // the bank's own
	return a
}

// checkView: whoever reads sees a state that was.
func (w *world) checkView(op *operation, states []account) {
	v := op.view
	if v.Version >= int64(max(len(states), 1)) {
		w.failOn(op.command.Entity, "the log ends at version %d: %s", len(states)-1, op)
	} else if v.Version > 0 && accountIn(v) != states[v.Version] {
		w.failOn(op.command.Entity, "the log says %+v: %s", states[v.Version], op)
	} else if op.kind == readAt && v.Version != op.command.Expect.Version {
		w.failOn(op.command.Entity, "version %d was asked for: %s", op.command.Expect.Version, op)
	}
}

// checkProjections: what came from memory is what the log has.
func (w *world) checkProjections() {
	for n, p := range w.projection {
		log, _ := w.store.ReadShard(context.Background(), w.id[n], 0, 1<<20) // the model's reads do not fail
		for i, e := range p.seen {
			if i >= len(log) || e.Hash != log[i].Hash || e.Seq != log[i].Seq {
				w.failOn(e.Entity, "a projection of shard %d was fed an event as the %d that the log does not have there: %+v", n, i+1, e)
				break
			}
		}
	}
}

// checkFresh asks a host that has nothing in memory: for every entity, and for
// every command again.
func (w *world) checkFresh(out *outcome) {
	ctx := context.Background()
	h := w.newHost(places, w.source("fresh"))
	defer h.Close(ctx)
	shards := make([]*shard.Shard, len(w.id))
	for n, id := range w.id {
		s, err := h.Open(ctx, shard.Spec{ID: id, Aggregate: "account", Definition: w.def})
		if err != nil {
			w.fail("a fresh host cannot open shard %d: %v", n, err)
			return
		}
		shards[n] = s
	}
	call := func(f func(ctx context.Context)) {
		ctx, cancel := context.WithTimeout(ctx, 10*callTimeout)
		defer cancel()
		f(ctx)
	}
	for n := range entities {
		entity := fmt.Sprint("e", n)
		states := out.states[entity]
		if len(states) == 0 {
			continue
		}
		call(func(ctx context.Context) {
			v, err := shards[n%len(shards)].Read(ctx, entity, true)
			if err != nil {
				w.failOn(entity, "a fresh host cannot read %s: %v", entity, err)
			} else if v.Version != int64(len(states)-1) || accountIn(&v) != states[v.Version] {
				w.failOn(entity, "a fresh host has %s at version %d as %s; the log ends at %d with %+v", entity, v.Version, v.State, len(states)-1, states[len(states)-1])
			}
		})
	}
	for _, op := range w.history {
		if op.kind == write && op.command.Keyed && op.answered() {
			again := &operation{kind: write, command: op.command}
			call(func(ctx context.Context) {
				a, err := shards[op.shard].Handle(ctx, op.command)
				if err == nil {
					again.answer = &a
				} else {
					again.refusal = problem.From(err)
				}
			})
			(&client{world: w}).same(op, again)
		}
	}
}

// report is what a person needs to see of a failed run: the seed, what is wrong,
// and the history of the entity that shows it first.
func (o *outcome) report() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %d violations; -seed=%d repeats it\n", o.seed, len(o.violations), o.seed)
	for i, v := range o.violations {
		if i == 5 {
			fmt.Fprintf(&b, "  and %d more\n", len(o.violations)-i)
			break
		}
		fmt.Fprintf(&b, "  %s\n", v.text)
	}
	if i := slices.IndexFunc(o.violations, func(v violation) bool { return v.entity != "" }); i >= 0 {
		o.tell(&b, o.violations[i].entity)
		return b.String()
	}
	for _, entity := range slices.Sorted(maps.Keys(o.logs)) { // it is about none: all may tell
		o.tell(&b, entity)
	}
	return b.String()
}

// tell writes down an entity's log and history.
func (o *outcome) tell(b *strings.Builder, entity string) {
	fmt.Fprintf(b, "the log of %s:\n", entity)
	for v, e := range o.logs[entity] {
		fmt.Fprintf(b, "  version %d, seq %d, epoch %d, command %s: %s %s -> %d\n", e.Version, e.Seq, e.Epoch, e.CommandID, e.Type, e.Data, o.states[entity][v+1].Balance)
	}
	fmt.Fprintf(b, "its history (begun, ended, who: what -> answer; tries):\n")
	for _, op := range o.history {
		if op.command.Entity == entity {
			fmt.Fprintf(b, "  %s\n", op)
		}
	}
}
