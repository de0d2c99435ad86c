package postgres_test

import (
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/eventstore/postgres"
)

// owner is a shard's owner, as far as these tests need one: it knows the head
// and makes batches that continue it.
type owner struct {
	t     testing.TB
	lease eventstore.Lease
	head  int64
	hash  eventstore.Hash
	// versions are the entities' heads.
	versions map[string]int64
}

// claim makes an owner of the shard, whose epoch must be expected.
func claim(t testing.TB, s *postgres.Store, id eventstore.ShardID, expected int64) *owner {
	t.Helper()
	state, err := s.Claim(t.Context(), request(id, expected))
	if err != nil {
		t.Fatalf("claim %s: %v", id, err)
	}
	return &owner{t: t, lease: state.Lease, head: state.Head, hash: state.HeadHash, versions: map[string]int64{}}
}

func request(id eventstore.ShardID, expected int64) eventstore.ClaimRequest {
	r := eventstore.ClaimRequest{Shard: id, Expected: expected, Owner: "test-process", Address: "127.0.0.1:1"}
	_, _ = rand.Read(r.Token[:]) // never fails, says crypto/rand
	return r
}

// batch continues the log by n events of one entity. It does not move the owner.
func (o *owner) batch(entity, data string, n int) eventstore.Batch {
	o.t.Helper()
	b := eventstore.Batch{Lease: o.lease, Head: o.head, HeadHash: o.hash}
	prev := o.hash
	now := time.Now().UTC().Truncate(time.Microsecond)
	for i := range int64(n) {
		e := eventstore.Event{
			Shard: o.lease.Shard, Seq: o.head + 1 + i, Epoch: o.lease.Epoch,
			Entity: entity, Version: o.versions[entity] + 1 + i,
			Type: "Deposited", TypeVersion: 1, Data: []byte(data),
			Meta:      eventstore.Meta{Time: now, Principal: "someone \"quoted\""},
			CommandID: fmt.Sprintf("%s-%d", entity, o.head+1+i), Generation: 1, RecordedAt: now,
		}
		var err error
		if e.Hash, err = e.Link(prev); err != nil {
			o.t.Fatalf("link: %v", err)
		}
		prev = e.Hash
		b.Events = append(b.Events, e)
	}
	return b
}

// committed moves the owner past the batch.
func (o *owner) committed(b eventstore.Batch) {
	for _, e := range b.Events {
		o.head, o.hash, o.versions[e.Entity] = e.Seq, e.Hash, e.Version
	}
}

// aggregate makes an aggregate and returns its shards' ids.
func aggregate(t testing.TB, s *postgres.Store, shards int) []eventstore.ShardID {
	t.Helper()
	a, err := s.EnsureAggregate(t.Context(), "account", shards)
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]eventstore.ShardID, shards)
	for i := range ids {
		ids[i] = eventstore.ShardID{Aggregate: a.ID, Number: int32(i)}
	}
	return ids
}

// one sends a single batch.
func one(t testing.TB, s *postgres.Store, b eventstore.Batch) eventstore.AppendResult {
	t.Helper()
	return s.Append(t.Context(), []eventstore.Batch{b})[0]
}

// mustAppend sends the batch, requires that it is appended, and moves the owner.
func (o *owner) mustAppend(s *postgres.Store, b eventstore.Batch) {
	o.t.Helper()
	if r := one(o.t, s, b); r.Status != eventstore.Appended {
		o.t.Fatalf("append: status %d, %v", r.Status, r.Err)
	}
	o.committed(b)
}

// log reads the shard's whole log and verifies its chain.
func log(t testing.TB, s *postgres.Store, id eventstore.ShardID) []eventstore.Event {
	t.Helper()
	events, err := s.ReadShard(t.Context(), id, 0, 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	if err := eventstore.VerifyChain(eventstore.Hash{}, events); err != nil {
		t.Fatalf("shard %s: %v", id, err)
	}
	return events
}

func TestAnOwnersEventsComeBackAsTheyWere(t *testing.T) {
	s := open(t)
	id := aggregate(t, s, 4)[2]
	o := claim(t, s, id, 0)
	o.mustAppend(s, o.batch("anna", `{"b":1.50,"a":[-0,1e3,9007199254740993],"text":"\u00e9\n"}`, 2))
	o.mustAppend(s, o.batch("böb/../%", `{}`, 1))
	events := log(t, s, id)
	if len(events) != 3 || events[2].Entity != "böb/../%" || events[0].Meta.Principal != "someone \"quoted\"" {
		t.Fatalf("read %+v", events)
	}
	stale := o.batch("anna", `{}`, 1)
	stale.Head--
	stale.Events[0].Seq--
	if r := one(t, s, stale); r.Status != eventstore.Refused {
		t.Errorf("append at an old head: status %d, %v; want Refused", r.Status, r.Err)
	}
}
