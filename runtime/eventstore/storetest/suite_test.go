package storetest

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/eventstore/storetest/memory"
)

// broken are stores that each break one rule, by the part of the suite that has to
// see it.
var broken = map[string]func(eventstore.Store) eventstore.Store{
	"Claim/ignores the expected epoch":      func(s eventstore.Store) eventstore.Store { return carelessClaim{s} },
	"Claim/never releases":                  func(s eventstore.Store) eventstore.Store { return noRelease{s} },
	"Claim/says that every lease holds":     func(s eventstore.Store) eventstore.Store { return trusting{s} },
	"Claim/compares leases alone":           func(s eventstore.Store) eventstore.Store { return headless{s} },
	"Append/ignores the token":              func(s eventstore.Store) eventstore.Store { return patched{s, takeToken} },
	"Append/ignores the epoch":              func(s eventstore.Store) eventstore.Store { return patched{s, takeEpoch} },
	"Append/ignores the head":               func(s eventstore.Store) eventstore.Store { return patched{s, takeHead} },
	"Append/loses outcomes":                 func(s eventstore.Store) eventstore.Store { return patched{s, loseOutcomes} },
	"Append/fails all batches with one":     func(s eventstore.Store) eventstore.Store { return allOrNothing{s} },
	"Append/takes what is no JSON":          func(s eventstore.Store) eventstore.Store { return patched{s, repair} },
	"Read/folds case":                       func(s eventstore.Store) eventstore.Store { return foldingCase{s} },
	"Read/ignores the limit":                func(s eventstore.Store) eventstore.Store { return noLimit{s} },
	"Fidelity/rounds numbers to doubles":    func(s eventstore.Store) eventstore.Store { return rounding{s} },
	"Fidelity/gives back local times":       func(s eventstore.Store) eventstore.Store { return local{s} },
	"Keeper/lowers snapshots":               func(s eventstore.Store) eventstore.Store { return lowering{s} },
	"Keeper/deletes outcomes that live":     func(s eventstore.Store) eventstore.Store { return deleting{s} },
	"Catalog/accepts any definition":        func(s eventstore.Store) eventstore.Store { return accepting{s} },
	"Catalog/amends what it has not seen":   func(s eventstore.Store) eventstore.Store { return amending{s} },
	"Catalog/raises no floor":               func(s eventstore.Store) eventstore.Store { return bottomless{s} },
	"Catalog/forgets the number of shards":  func(s eventstore.Store) eventstore.Store { return forgetting{s} },
	"Membership/believes the sender's age":  func(s eventstore.Store) eventstore.Store { return believing{s} },
	"Context/lies about what was attempted": func(s eventstore.Store) eventstore.Store { return lying{s} },
	"Close/can be closed once only":         func(s eventstore.Store) eventstore.Store { return &closingOnce{Store: s} },
	"Race/shows a claim an old head":        func(s eventstore.Store) eventstore.Store { return lateCommit{s} },
}

// breakage, when set, makes TestBrokenStores run the suite on the broken stores.
const breakage = "LEFTFOLD_TEST_BROKEN_STORES"

func TestTheSuiteSeesEveryBreach(t *testing.T) {
	child := exec.Command(os.Args[0], "-test.run=^TestBrokenStores$", "-test.skip=TestBrokenStores/Append/./64_shards")
	child.Env = append(os.Environ(), breakage+"=1")
	out, err := child.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("the suite passes broken stores, or did not run: %v", err)
	}
	for name := range broken {
		if !strings.Contains(string(out), "--- FAIL: TestBrokenStores/"+strings.ReplaceAll(name, " ", "_")+"/") {
			t.Errorf("%s: not seen", name)
		}
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
}

// TestBrokenStores is no test but the process of TestTheSuiteSeesEveryBreach.
func TestBrokenStores(t *testing.T) {
	if os.Getenv(breakage) == "" {
		return
	}
	var s suite
	for name, breakIt := range broken {
		part, _, _ := strings.Cut(name, "/")
		for _, g := range s.groups() {
			if g.name == part {
				t.Run(name, func(t *testing.T) {
					g.run(t, func(*testing.T) eventstore.Store { return breakIt(memory.New(memory.Options{})) })
				})
			}
		}
	}
}

type carelessClaim struct{ eventstore.Store }

func (s carelessClaim) Claim(ctx context.Context, r eventstore.ClaimRequest) (eventstore.ShardState, error) {
	if row, err := s.Shard(ctx, r.Shard); err == nil {
		r.Expected = row.Epoch
	}
	return s.Store.Claim(ctx, r)
}

type noRelease struct{ eventstore.Store }

func (noRelease) Release(context.Context, eventstore.Tenure) error { return nil }

// headless believes every owner what it says of the log.
type headless struct{ eventstore.Store }

func (s headless) asStored(ctx context.Context, t eventstore.Tenure) eventstore.Tenure {
	if row, err := s.Shard(ctx, t.Shard); err == nil {
		t.Head, t.HeadHash = row.Head, row.HeadHash
	}
	return t
}

func (s headless) Release(ctx context.Context, t eventstore.Tenure) error {
	return s.Store.Release(ctx, s.asStored(ctx, t))
}

func (s headless) Check(ctx context.Context, all []eventstore.Tenure) ([]bool, error) {
	all = slices.Clone(all)
	for i := range all {
		all[i] = s.asStored(ctx, all[i])
	}
	return s.Store.Check(ctx, all)
}

type trusting struct{ eventstore.Store }

func (trusting) Check(_ context.Context, t []eventstore.Tenure) ([]bool, error) {
	return slices.Repeat([]bool{true}, len(t)), nil
}

// patched changes batches on their way, given the shard's row.
type patched struct {
	eventstore.Store
	patch func(*eventstore.Batch, eventstore.ShardState)
}

func (s patched) Append(ctx context.Context, batches []eventstore.Batch) []eventstore.AppendResult {
	batches = slices.Clone(batches)
	for i := range batches {
		if row, err := s.Shard(ctx, batches[i].Lease.Shard); err == nil {
			s.patch(&batches[i], row)
		}
	}
	return s.Store.Append(ctx, batches)
}

func takeToken(b *eventstore.Batch, row eventstore.ShardState) { b.Lease.Token = row.Token }

func takeEpoch(b *eventstore.Batch, row eventstore.ShardState) {
	if len(b.Events) == 0 {
		b.Lease.Epoch = row.Epoch
	}
}

func takeHead(b *eventstore.Batch, row eventstore.ShardState) {
	if len(b.Events) == 0 {
		b.Head, b.HeadHash = row.Head, row.HeadHash
	}
}

func loseOutcomes(b *eventstore.Batch, _ eventstore.ShardState) { b.Outcomes = nil }

func repair(b *eventstore.Batch, _ eventstore.ShardState) {
	b.Events = slices.Clone(b.Events)
	prev := b.HeadHash
	for i := range b.Events {
		if _, err := eventstore.AppendCanonical(nil, b.Events[i].Data); err != nil {
			b.Events[i].Data = []byte("{}")
		}
		b.Events[i].Hash, _ = b.Events[i].Link(prev)
		prev = b.Events[i].Hash
	}
}

type allOrNothing struct{ eventstore.Store }

func (s allOrNothing) Append(ctx context.Context, batches []eventstore.Batch) []eventstore.AppendResult {
	for _, b := range batches {
		for _, e := range b.Events {
			if _, err := eventstore.AppendCanonical(nil, e.Data); err != nil {
				return slices.Repeat([]eventstore.AppendResult{{Status: eventstore.Invalid, Err: err}}, len(batches))
			}
		}
	}
	return s.Store.Append(ctx, batches)
}

type foldingCase struct{ eventstore.Store }

func (s foldingCase) ReadEntity(ctx context.Context, a eventstore.AggregateID, entity string, after int64, limit int) ([]eventstore.Event, error) {
	return s.Store.ReadEntity(ctx, a, strings.ToLower(entity), after, limit)
}

type noLimit struct{ eventstore.Store }

func (s noLimit) ReadShard(ctx context.Context, id eventstore.ShardID, after int64, _ int) ([]eventstore.Event, error) {
	return s.Store.ReadShard(ctx, id, after, 1<<30)
}

type rounding struct{ eventstore.Store }

func (s rounding) ReadShard(ctx context.Context, id eventstore.ShardID, after int64, limit int) ([]eventstore.Event, error) {
	events, err := s.Store.ReadShard(ctx, id, after, limit)
	for i := range events {
		events[i].Data = []byte(strings.ReplaceAll(string(events[i].Data), "9007199254740993", "9007199254740992"))
	}
	return events, err
}

type local struct{ eventstore.Store }

func (s local) ReadShard(ctx context.Context, id eventstore.ShardID, after int64, limit int) ([]eventstore.Event, error) {
	events, err := s.Store.ReadShard(ctx, id, after, limit)
	for i := range events {
		events[i].RecordedAt = events[i].RecordedAt.In(time.FixedZone("", 60))
	}
	return events, err
}

type lowering struct{ eventstore.Store }

func (s lowering) SaveSnapshots(ctx context.Context, snapshots []eventstore.Snapshot) error {
	for _, n := range snapshots {
		other := n
		other.Behavior[31]++
		if err := s.Store.SaveSnapshots(ctx, []eventstore.Snapshot{other}); err != nil {
			return err
		}
	}
	return s.Store.SaveSnapshots(ctx, snapshots)
}

type deleting struct{ eventstore.Store }

func (s deleting) DeleteOutcomes(ctx context.Context, a eventstore.AggregateID, outcomes []eventstore.Outcome) error {
	for _, o := range outcomes {
		stored, err := s.LoadEntity(ctx, a, o.Entity, 1)
		if err != nil {
			return err
		}
		for _, row := range stored.Outcomes {
			if row.CommandID == o.CommandID {
				o.Time = row.Time
			}
		}
		if err := s.Store.DeleteOutcomes(ctx, a, []eventstore.Outcome{o}); err != nil {
			return err
		}
	}
	return nil
}

type accepting struct{ eventstore.Store }

func (s accepting) AcceptDefinition(ctx context.Context, id eventstore.AggregateID, expected int64, accept eventstore.Acceptance) (eventstore.Aggregate, error) {
	a, err := s.Store.AcceptDefinition(ctx, id, expected, accept)
	for try := int64(0); errors.Is(err, eventstore.ErrRefused) && try < 20; try++ {
		a, err = s.Store.AcceptDefinition(ctx, id, try, accept)
	}
	return a, err
}

type amending struct{ eventstore.Store }

func (s amending) AmendDefinition(ctx context.Context, id eventstore.AggregateID, expected int64, source eventstore.Source, before []byte) (eventstore.Aggregate, error) {
	a, err := s.Store.AmendDefinition(ctx, id, expected, source, before)
	for try := int64(0); errors.Is(err, eventstore.ErrRefused) && try < 20; try++ {
		a, err = s.Store.AmendDefinition(ctx, id, try, source, before)
	}
	return a, err
}

type bottomless struct{ eventstore.Store }

func (bottomless) RaiseFloor(context.Context, eventstore.AggregateID, int64) error { return nil }

type forgetting struct{ eventstore.Store }

func (s forgetting) EnsureAggregate(ctx context.Context, name string, shards int) (eventstore.Aggregate, error) {
	all, err := s.Aggregates(ctx)
	if err != nil {
		return eventstore.Aggregate{}, err
	}
	for _, a := range all {
		if a.Name == name {
			return a, nil
		}
	}
	return s.Store.EnsureAggregate(ctx, name, shards)
}

type believing struct{ eventstore.Store }

func (s believing) Members(ctx context.Context) ([]eventstore.Member, error) {
	all, err := s.Store.Members(ctx)
	for i := range all {
		all[i].Age += time.Hour
	}
	return all, err
}

type lying struct{ eventstore.Store }

func (s lying) Append(ctx context.Context, batches []eventstore.Batch) []eventstore.AppendResult {
	results := s.Store.Append(context.WithoutCancel(ctx), batches)
	if ctx.Err() != nil {
		return slices.Repeat([]eventstore.AppendResult{{Status: eventstore.NotAttempted, Err: ctx.Err()}}, len(batches))
	}
	return results
}

type closingOnce struct {
	eventstore.Store
	closed bool
}

func (s *closingOnce) Close() error {
	if s.closed {
		return errors.New("closed already")
	}
	s.closed = true
	return s.Store.Close()
}

// lateCommit answers a claim with a head from before what is in the log.
type lateCommit struct{ eventstore.Store }

func (s lateCommit) Claim(ctx context.Context, r eventstore.ClaimRequest) (eventstore.ShardState, error) {
	row, err := s.Store.Claim(ctx, r)
	if err == nil {
		row.Head, row.HeadHash, row.HeadTime = 0, eventstore.Hash{}, time.Time{}
	}
	return row, err
}
