package fault_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/eventstore/storetest"
	"github.com/leftfold/leftfold/runtime/eventstore/storetest/fault"
	"github.com/leftfold/leftfold/runtime/eventstore/storetest/memory"
)

func TestAWrapperWithoutFaultsIsTheStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) eventstore.Store { return fault.Wrap(memory.New(memory.Options{})) })
}

// owner appends one event at a time to one shard.
type owner struct {
	store *fault.Store
	row   eventstore.ShardState
}

func own(t *testing.T, s *fault.Store) *owner {
	t.Helper()
	a, err := s.EnsureAggregate(t.Context(), "account", 1)
	if err != nil {
		t.Fatal(err)
	}
	o := &owner{store: s}
	if o.row, err = s.Claim(t.Context(), request(a.ID, 0)); err != nil {
		t.Fatal(err)
	}
	return o
}

func request(a eventstore.AggregateID, expected int64) eventstore.ClaimRequest {
	return eventstore.ClaimRequest{Shard: eventstore.ShardID{Aggregate: a}, Expected: expected, Owner: "one", Token: eventstore.Token{byte(expected)}}
}

func (o *owner) batch(entity string) eventstore.Batch {
	at := time.UnixMicro(1_767_225_600_000_000 + o.row.Head)
	e := eventstore.Event{
		Shard: o.row.Shard, Seq: o.row.Head + 1, Entity: entity, Version: o.row.Head + 1, Epoch: o.row.Epoch, Type: "Deposited",
		Data: json.RawMessage(`{}`), Meta: eventstore.Meta{Time: at}, RecordedAt: at, CommandID: fmt.Sprint(o.row.Head + 1),
	}
	e.Hash, _ = e.Link(o.row.HeadHash) // an object and whole microseconds
	return eventstore.Batch{Lease: o.row.Lease, Head: o.row.Head, HeadHash: o.row.HeadHash, Events: []eventstore.Event{e}}
}

func (o *owner) send(ctx context.Context, entity string) eventstore.AppendStatus {
	b := o.batch(entity)
	r := o.store.Append(ctx, []eventstore.Batch{b})[0]
	if r.Status == eventstore.Appended {
		o.row.Head, o.row.HeadHash = b.Events[0].Seq, b.Events[0].Hash
	}
	return r.Status
}

// head is the shard's as it is behind the faults.
func head(t *testing.T, s eventstore.Store, id eventstore.ShardID) int64 {
	t.Helper()
	row, err := s.Shard(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return row.Head
}

func TestAppendFaults(t *testing.T) {
	for _, c := range []struct {
		kind   fault.Kind
		status eventstore.AppendStatus
		now    int64 // the head after the answer
		later  int64 // the head after the release
	}{
		{fault.Before, eventstore.NotAttempted, 0, 0},
		{fault.After, eventstore.Unknown, 1, 1},
		{fault.Lost, eventstore.Unknown, 0, 0},
		{fault.Late, eventstore.Unknown, 0, 1},
		{fault.Hang, eventstore.Unknown, 0, 0},
		{fault.Hold, eventstore.Unknown, 0, 1},
	} {
		t.Run(c.kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner := memory.New(memory.Options{})
				o := own(t, fault.Wrap(inner))
				h := o.store.Inject(fault.Fault{Kind: c.kind, Method: fault.Append})
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if got := o.send(ctx, "a"); got != c.status {
					t.Errorf("got status %d, want %d", got, c.status)
				}
				<-h.Reached()
				if got := head(t, inner, o.row.Shard); got != c.now {
					t.Errorf("the head is %d, want %d", got, c.now)
				}
				h.Release()
				if got := head(t, inner, o.row.Shard); got != c.later {
					t.Errorf("after the release the head is %d, want %d", got, c.later)
				}
				if h.Hits() != 1 || o.store.Calls(fault.Append) != 1 {
					t.Errorf("%d hits, %d calls", h.Hits(), o.store.Calls(fault.Append))
				}
				storetest.CheckInvariants(t, inner)
			})
		})
	}
}

func TestALateAppendIsFencedByAClaim(t *testing.T) {
	inner := memory.New(memory.Options{})
	o := own(t, fault.Wrap(inner))
	h := o.store.Inject(fault.Fault{Kind: fault.Late, Method: fault.Append})
	if got := o.send(t.Context(), "a"); got != eventstore.Unknown {
		t.Fatalf("got status %d", got)
	}
	if _, err := o.store.Claim(t.Context(), request(o.row.Shard.Aggregate, o.row.Epoch)); err != nil {
		t.Fatal(err)
	}
	h.Release()
	if got := head(t, inner, o.row.Shard); got != 0 {
		t.Errorf("the head is %d", got)
	}
}

func TestAHeldCallGoesOnAsIfNothingHadBeen(t *testing.T) {
	o := own(t, fault.Wrap(memory.New(memory.Options{})))
	h := o.store.Inject(fault.Fault{Kind: fault.Hold, Method: fault.Append})
	done := make(chan eventstore.AppendStatus)
	go func() { done <- o.send(t.Context(), "a") }()
	<-h.Reached()
	h.Release()
	if got := <-done; got != eventstore.Appended {
		t.Errorf("got status %d", got)
	}
}

func TestOtherCallsFailByKind(t *testing.T) {
	s := fault.Wrap(memory.New(memory.Options{}))
	o := own(t, s)
	claimed := func() int64 {
		row, err := s.Shard(t.Context(), o.row.Shard)
		if err != nil {
			t.Fatal(err)
		}
		return row.Epoch
	}
	for _, c := range []struct {
		kind  fault.Kind
		err   error
		epoch int64
	}{{fault.Before, eventstore.ErrNotAttempted, 1}, {fault.Lost, eventstore.ErrOutcomeUnknown, 1}, {fault.After, eventstore.ErrOutcomeUnknown, 2}} {
		s.Inject(fault.Fault{Kind: c.kind, Method: fault.Claim})
		if _, err := s.Claim(t.Context(), request(o.row.Shard.Aggregate, 1)); !errors.Is(err, c.err) || claimed() != c.epoch {
			t.Errorf("Claim, %s: %v, epoch %d", c.kind, err, claimed())
		}
		s.Inject(fault.Fault{Kind: c.kind, Method: fault.ReadShard})
		if events, err := s.ReadShard(t.Context(), o.row.Shard, 0, 1); !errors.Is(err, eventstore.ErrNotAttempted) || events != nil {
			t.Errorf("ReadShard, %s: %v, %v", c.kind, events, err)
		}
	}
}

func TestAScriptChoosesItsCalls(t *testing.T) {
	o := own(t, fault.Wrap(memory.New(memory.Options{})))
	of := func(entity string) func(fault.Call) bool {
		return func(c fault.Call) bool {
			return slices.ContainsFunc(c.Batches, func(b eventstore.Batch) bool { return b.Events[0].Entity == entity })
		}
	}
	o.store.Inject(fault.Fault{Kind: fault.Before, Method: fault.Append, When: of("b"), Skip: 1, Times: 2})
	always := o.store.Inject(fault.Fault{Kind: fault.Before, Method: fault.Append, When: of("c"), Times: -1})
	want := func(entity string, status eventstore.AppendStatus) {
		t.Helper()
		if got := o.send(t.Context(), entity); got != status {
			t.Errorf("%s: got status %d, want %d", entity, got, status)
		}
	}
	want("a", eventstore.Appended)
	want("b", eventstore.Appended)
	want("b", eventstore.NotAttempted)
	want("b", eventstore.NotAttempted)
	want("b", eventstore.Appended)
	want("c", eventstore.NotAttempted)
	want("c", eventstore.NotAttempted)
	always.Remove()
	want("c", eventstore.Appended)
	if always.Hits() != 2 {
		t.Errorf("%d hits", always.Hits())
	}
}

func TestPoisonedDataIsInvalidUntilCured(t *testing.T) {
	o := own(t, fault.Wrap(memory.New(memory.Options{})))
	o.store.Poison("a")
	if got := o.send(t.Context(), "a"); got != eventstore.Invalid {
		t.Errorf("got status %d, want Invalid", got)
	}
	if got := o.send(t.Context(), "b"); got != eventstore.Appended {
		t.Errorf("another entity: got status %d", got)
	}
	stale := *o
	stale.row.Epoch++
	if got := stale.send(t.Context(), "a"); got != eventstore.Refused {
		t.Errorf("without the lease: got status %d, want Refused", got)
	}
	o.store.Cure("a")
	if got := o.send(t.Context(), "a"); got != eventstore.Appended {
		t.Errorf("cured: got status %d", got)
	}
}

// An owner that settles every unknown outcome by a claim, under random faults,
// knows at the end exactly what is in the log.
func TestRandomFaultsLeaveTheContractWhole(t *testing.T) {
	for seed := range uint64(50) {
		inner := memory.New(memory.Options{})
		o := own(t, fault.Wrap(inner))
		o.store.Random(seed, fault.Rates{Before: 0.1, After: 0.1, Lost: 0.1, Late: 0.2})
		met := map[eventstore.AppendStatus]int{}
		for range 60 {
			status := o.send(t.Context(), "a")
			met[status]++
			if status == eventstore.Unknown {
				o.settle(t)
			} else if status != eventstore.Appended && status != eventstore.NotAttempted {
				t.Fatalf("seed %d: got status %d", seed, status)
			}
		}
		o.settle(t)
		o.store.Settle()
		if got := head(t, inner, o.row.Shard); got != o.row.Head {
			t.Errorf("seed %d: the head is %d, the owner's %d", seed, got, o.row.Head)
		}
		if met[eventstore.Unknown] == 0 || met[eventstore.NotAttempted] == 0 || met[eventstore.Appended] == 0 {
			t.Errorf("seed %d: met only %v", seed, met)
		}
		storetest.CheckInvariants(t, inner)
	}
}

// settle claims until a claim is answered.
func (o *owner) settle(t *testing.T) {
	t.Helper()
	epoch := o.row.Epoch
	for range 200 {
		row, err := o.store.Claim(t.Context(), request(o.row.Shard.Aggregate, epoch))
		switch {
		case err == nil:
			o.row = row
			return
		case errors.Is(err, eventstore.ErrRefused):
			epoch++ // an own claim went through unanswered
		}
	}
	t.Fatal("no claim was answered")
}

func TestTheSameSeedGivesTheSameFaults(t *testing.T) {
	run := func() (statuses []eventstore.AppendStatus) {
		o := own(t, fault.Wrap(memory.New(memory.Options{})))
		o.store.Random(7, fault.Rates{Before: 0.3, Methods: map[fault.Method]bool{fault.Append: true}})
		for range 50 {
			statuses = append(statuses, o.send(t.Context(), "a"))
		}
		return statuses
	}
	if a, b := run(), run(); !slices.Equal(a, b) {
		t.Errorf("got %v and %v", a, b)
	}
}
