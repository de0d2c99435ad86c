package postgres_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leftfold/leftfold/api/postgres/pgtest"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/eventstore/postgres"
)

// TestAppendsToOverlappingShardsNeverDeadlock lets several processes that all
// hold the same leases append to the same shards, in orders of their own. Each
// batch is appended or refused; a deadlock would show as NotAttempted.
func TestAppendsToOverlappingShardsNeverDeadlock(t *testing.T) {
	const shards, writers, rounds = 6, 8, 40
	o := postgres.Options{URL: pgtest.URL(t), Schema: pgtest.Schema(t), AppendConnections: writers}
	s := reopen(t, o)
	ids := aggregate(t, s, shards)
	for _, id := range ids {
		claim(t, s, id, 0)
	}
	appended := make([]int, writers)
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 1))
			for range rounds {
				batches, err := continuations(t, s, ids, random)
				if err != nil {
					t.Errorf("writer %d: %v", w, err)
					return
				}
				for i, r := range s.Append(t.Context(), batches) {
					switch r.Status {
					case eventstore.Appended:
						appended[w]++
					case eventstore.Refused: // another writer was first
					default:
						t.Errorf("writer %d, shard %s: status %d, %v", w, batches[i].Lease.Shard, r.Status, r.Err)
						return
					}
				}
			}
		})
	}
	all.Wait()
	total, want := 0, 0
	for _, n := range appended {
		want += n
	}
	for _, id := range ids {
		total += len(log(t, s, id))
	}
	if total != want || total < rounds {
		t.Errorf("the logs hold %d events, %d batches of one were acknowledged, %d at least were expected", total, want, rounds)
	}
}

// continuations makes a batch of one event for each shard as it is now, in a
// random order.
func continuations(t *testing.T, s *postgres.Store, ids []eventstore.ShardID, random *rand.Rand) ([]eventstore.Batch, error) {
	var batches []eventstore.Batch
	for _, at := range random.Perm(len(ids)) {
		state, err := s.Shard(t.Context(), ids[at])
		if err != nil {
			return nil, err
		}
		o := &owner{t: t, lease: state.Lease, head: state.Head, hash: state.HeadHash,
			versions: map[string]int64{ids[at].String(): state.Head}}
		b := o.batch(ids[at].String(), `{"n":1}`, 1)
		if b.Events[0].RecordedAt.Before(state.HeadTime) {
			b.Events[0].RecordedAt = state.HeadTime
		}
		if b.Events[0].Hash, err = b.Events[0].Link(state.HeadHash); err != nil {
			return nil, err
		}
		batches = append(batches, b)
	}
	return batches, nil
}

func TestAnAppendThatWaitedForAChangeThatLeavesItsLeaseAloneIsAppended(t *testing.T) {
	s := open(t)
	o := claim(t, s, aggregate(t, s, 1)[0], 0)
	other := session(t, pgtest.URL(t), s)
	exec(t, other, "BEGIN")
	exec(t, other, "UPDATE shard SET address = 'elsewhere:1'")
	results := make(chan eventstore.AppendResult, 1)
	b := o.batch("anna", `{}`, 2)
	go func() { results <- one(t, s, b) }()
	watcher := session(t, pgtest.URL(t), s)
	eventually(t, "the append waits for the row", func() bool { return waiting(t, watcher, "Lock") == 1 })
	exec(t, other, "COMMIT")
	if r := receive(t, results); r.Status != eventstore.Appended {
		t.Fatalf("append: status %d, %v; want Appended", r.Status, r.Err)
	}
	if n := len(log(t, s, o.lease.Shard)); n != 2 {
		t.Errorf("%d events are in the log, want 2", n)
	}
}

func TestAnAppendThatWaitedForAClaimIsRefusedAndWritesNothing(t *testing.T) {
	s := open(t)
	ids := aggregate(t, s, 2)
	lost, kept := claim(t, s, ids[0], 0), claim(t, s, ids[1], 0)
	other := session(t, pgtest.URL(t), s)
	exec(t, other, "BEGIN")
	exec(t, other, "UPDATE shard SET epoch = epoch + 1 WHERE shard = 0")
	results := make(chan []eventstore.AppendResult, 1)
	batches := []eventstore.Batch{lost.batch("anna", `{}`, 1), kept.batch("berta", `{}`, 1)}
	batches[0].Outcomes = []eventstore.Outcome{{Entity: "anna", CommandID: "c", Answer: []byte("no"), Time: batches[0].Events[0].RecordedAt}}
	go func() { results <- s.Append(t.Context(), batches) }()
	watcher := session(t, pgtest.URL(t), s)
	eventually(t, "the append waits for the row", func() bool { return waiting(t, watcher, "Lock") == 1 })
	exec(t, other, "COMMIT")
	r := receive(t, results)
	if r[0].Status != eventstore.Refused || r[1].Status != eventstore.Appended {
		t.Fatalf("statuses %d and %d; want Refused and Appended", r[0].Status, r[1].Status)
	}
	stored, err := s.LoadEntity(t.Context(), ids[0].Aggregate, "anna", 1)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(log(t, s, ids[0])); n != 0 || len(stored.Outcomes) != 0 {
		t.Errorf("the refused batch left %d events and %d outcomes", n, len(stored.Outcomes))
	}
}

func TestProcessesThatStartTogetherMigrateOnce(t *testing.T) {
	server := pgtest.Start(t)
	for name, schema := range map[string]string{
		"in a plain schema":                     "together",
		"in a schema of quotes and semicolons":  `a"b'; DROP SCHEMA public; --`,
		"in a schema of upper case and accents": `Größe $user, "x"`,
	} {
		t.Run(name, func(t *testing.T) {
			stores := make([]*postgres.Store, 8)
			var all sync.WaitGroup
			for i := range stores {
				all.Go(func() {
					s, err := postgres.Open(context.Background(), postgres.Options{URL: server.URL(), Schema: schema})
					if err != nil {
						t.Errorf("process %d: %v", i, err)
						return
					}
					stores[i] = s
				})
			}
			all.Wait()
			for _, s := range stores {
				if s == nil {
					continue
				}
				aggregate(t, s, 4)
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
			s := reopen(t, postgres.Options{URL: server.URL(), Schema: schema})
			o := claim(t, s, aggregate(t, s, 4)[0], 0)
			o.mustAppend(s, o.batch("anna", `{}`, 1))
			admin := session(t, server.SuperuserURL(), s)
			var events int
			if err := admin.QueryRow(t.Context(), "SELECT count(*) FROM event").Scan(&events); err != nil || events != 1 {
				t.Errorf("schema %q holds %d events, %v; want 1", schema, events, err)
			}
		})
	}
}

func TestAnUnusableSchemaNameIsRefused(t *testing.T) {
	for name, schema := range map[string]string{
		"longer than PostgreSQL keeps names": strings.Repeat("a", 64),
		"with a NUL":                         "a\x00b",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := postgres.Open(t.Context(), postgres.Options{URL: pgtest.URL(t), Schema: schema}); err == nil {
				t.Errorf("schema %q was opened", schema)
			}
		})
	}
}

func TestBadDataSparesTheOtherBatches(t *testing.T) {
	s := open(t)
	ids := aggregate(t, s, 4)
	owners := make([]*owner, len(ids))
	for i, id := range ids {
		owners[i] = claim(t, s, id, 0)
	}
	owners[3].mustAppend(s, owners[3].batch("doris", `{}`, 1))
	owners[3].versions["doris"] = 0 // its memory is wrong from here on
	batches := []eventstore.Batch{
		owners[0].batch("anna", `{}`, 2),
		owners[1].batch("berta", `{}`, 1),
		owners[2].batch("clara", `{}`, 1),
		owners[3].batch("doris", `{}`, 1),
	}
	batches[1].Events[0].Data = []byte(`{"text":"\u0000"}`)
	batches[2].Events[0].Entity = "clara\xff"
	want := []eventstore.AppendStatus{eventstore.Appended, eventstore.Invalid, eventstore.Invalid, eventstore.Conflict}
	for i, r := range s.Append(t.Context(), batches) {
		if r.Status != want[i] {
			t.Errorf("batch %d: status %d, %v; want %d", i, r.Status, r.Err, want[i])
		}
	}
	for i, n := range []int{2, 0, 0, 1} {
		if got := len(log(t, s, ids[i])); got != n {
			t.Errorf("shard %d holds %d events, want %d", i, got, n)
		}
	}
}

func TestAMemoryThatIsWrongAboutTheBatchItselfIsInvalid(t *testing.T) {
	s := open(t)
	o := claim(t, s, aggregate(t, s, 2)[0], 0)
	for name, change := range map[string]func(*eventstore.Batch){
		"a gap in the sequence":       func(b *eventstore.Batch) { b.Events[1].Seq++ },
		"an event of another shard":   func(b *eventstore.Batch) { b.Events[0].Shard.Number = 1 },
		"an event of another epoch":   func(b *eventstore.Batch) { b.Events[0].Epoch-- },
		"a principal that is no text": func(b *eventstore.Batch) { b.Events[0].Meta.Principal = "\xff" },
	} {
		t.Run(name, func(t *testing.T) {
			b := o.batch("anna", `{}`, 2)
			change(&b)
			if r := one(t, s, b); r.Status != eventstore.Invalid || r.Err == nil {
				t.Errorf("status %d, %v; want Invalid and why", r.Status, r.Err)
			}
		})
	}
	if n := len(log(t, s, o.lease.Shard)); n != 0 {
		t.Errorf("%d events were written", n)
	}
}

// Who holds the row meanwhile may decide by it.
func TestAClaimThatHasToWaitKnowsTheDefinitionThatComesMeanwhile(t *testing.T) {
	s := open(t, func(o *postgres.Options) { o.StuckAfter = time.Minute })
	id := aggregate(t, s, 1)[0]
	holder, watcher := session(t, pgtest.URL(t), s), session(t, pgtest.URL(t), s)
	exec(t, holder, "BEGIN")
	exec(t, holder, "SELECT FROM shard FOR UPDATE")
	claimed := make(chan eventstore.ShardState, 1)
	go func() {
		state, err := s.Claim(t.Context(), request(id, 0))
		if err != nil {
			t.Error(err)
		}
		claimed <- state
	}()
	eventually(t, "the claim waits for the row", func() bool { return waiting(t, watcher, "Lock") == 1 })
	if _, err := s.AcceptDefinition(t.Context(), id.Aggregate, 0, eventstore.Acceptance{Definition: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	exec(t, holder, "COMMIT")
	if state := receive(t, claimed); state.Generation != 1 || state.Epoch != 1 {
		t.Errorf("generation %d, epoch %d; want 1 and 1", state.Generation, state.Epoch)
	}
}

func TestOnlyTheLastLeaseHolds(t *testing.T) {
	s := open(t)
	id := aggregate(t, s, 1)[0]
	first := claim(t, s, id, 0)
	second := claim(t, s, id, 1)
	held, err := s.Check(t.Context(), []eventstore.Tenure{{Lease: first.lease}, {Lease: second.lease}, {Lease: eventstore.Lease{Shard: eventstore.ShardID{Aggregate: 99}}}})
	if err != nil {
		t.Fatal(err)
	}
	if held[0] || !held[1] || held[2] {
		t.Errorf("leases held: %v; want only the second", held)
	}
	if _, err := s.Claim(t.Context(), request(id, 1)); !errors.Is(err, eventstore.ErrRefused) {
		t.Errorf("a claim at an old epoch: %v; want ErrRefused", err)
	}
	if r := one(t, s, eventstore.Batch{Lease: first.lease, Head: 0}); r.Status != eventstore.Refused {
		t.Errorf("an empty batch of the old owner: status %d; want Refused", r.Status)
	}
	if r := one(t, s, eventstore.Batch{Lease: second.lease, Head: 0}); r.Status != eventstore.Appended {
		t.Errorf("an empty batch of the owner: status %d, %v; want Appended", r.Status, r.Err)
	}
}
