package storetest

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// dawn is when the suite's first events are recorded.
var dawn = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// owner is the least that an owner of a shard has to be: it knows its lease and
// head, numbers its entities' events and links its batches.
type owner struct {
	store    eventstore.Store
	lease    eventstore.Lease
	head     int64
	hash     eventstore.Hash
	at       time.Time
	versions map[string]int64
}

func (o *owner) tenure() eventstore.Tenure {
	return eventstore.Tenure{Lease: o.lease, Head: o.head, HeadHash: o.hash}
}

// aggregate makes an aggregate and gives the ids of its shards.
func aggregate(t *testing.T, s eventstore.Store, name string, shards int) (eventstore.Aggregate, []eventstore.ShardID) {
	t.Helper()
	a, err := s.EnsureAggregate(t.Context(), name, shards)
	if err != nil {
		t.Fatalf("EnsureAggregate: %v", err)
	}
	ids := make([]eventstore.ShardID, shards)
	for i := range ids {
		ids[i] = eventstore.ShardID{Aggregate: a.ID, Number: int32(i)}
	}
	return a, ids
}

func newToken() eventstore.Token {
	var token eventstore.Token
	_, _ = rand.Read(token[:]) // never fails
	return token
}

func request(id eventstore.ShardID, expected int64) eventstore.ClaimRequest {
	return eventstore.ClaimRequest{Shard: id, Expected: expected, Owner: "one", Address: "127.0.0.1:1", Token: newToken()}
}

func rowOf(t *testing.T, s eventstore.Store, id eventstore.ShardID) eventstore.ShardState {
	t.Helper()
	row, err := s.Shard(t.Context(), id)
	if err != nil {
		t.Fatalf("Shard(%s): %v", id, err)
	}
	return row
}

// claim makes an owner of a shard, whoever owned it before.
func claim(t *testing.T, s eventstore.Store, id eventstore.ShardID) *owner {
	t.Helper()
	row, err := s.Claim(t.Context(), request(id, rowOf(t, s, id).Epoch))
	if err != nil {
		t.Fatalf("Claim(%s): %v", id, err)
	}
	return ownerOf(s, row)
}

func ownerOf(s eventstore.Store, row eventstore.ShardState) *owner {
	o := &owner{store: s, lease: row.Lease, head: row.Head, hash: row.HeadHash, at: row.HeadTime, versions: map[string]int64{}}
	if o.at.Before(dawn) {
		o.at = dawn
	}
	return o
}

// single makes an aggregate with one shard, and owns it.
func single(t *testing.T, s eventstore.Store) *owner {
	t.Helper()
	_, ids := aggregate(t, s, "account", 1)
	return claim(t, s, ids[0])
}

// deposit is an event without a place yet.
func deposit(entity string) eventstore.Event {
	return eventstore.Event{
		Entity: entity, Type: "Deposited", TypeVersion: 1, Data: json.RawMessage(`{"amount":100,"note":"é"}`),
		Meta: eventstore.Meta{Principal: "somebody"}, CommandID: "command-" + entity, RequestHash: eventstore.Hash{1, 2}, Generation: 1,
	}
}

func deposits(entity string, n int) []eventstore.Event {
	events := make([]eventstore.Event, n)
	for i := range events {
		events[i] = deposit(entity)
	}
	return events
}

// batch gives the events their place behind the head. Versions, times and hashes
// that are set already stay. The owner does not move.
func (o *owner) batch(events ...eventstore.Event) eventstore.Batch {
	b := eventstore.Batch{Lease: o.lease, Head: o.head, HeadHash: o.hash}
	prev, at := o.hash, o.at
	versions := map[string]int64{}
	for i, e := range events {
		e.Shard, e.Seq, e.Epoch = o.lease.Shard, o.head+int64(i)+1, o.lease.Epoch
		if e.Version == 0 {
			versions[e.Entity]++
			e.Version = o.versions[e.Entity] + versions[e.Entity]
		}
		if e.RecordedAt.IsZero() {
			at = at.Add(time.Microsecond)
			e.RecordedAt = at
		}
		if e.Meta.Time.IsZero() {
			e.Meta.Time = e.RecordedAt
		}
		if link, err := e.Link(prev); err == nil { // some tests want what has none
			e.Hash = link
		}
		prev = e.Hash
		b.Events = append(b.Events, e)
	}
	return b
}

// done moves the owner behind a batch that was appended.
func (o *owner) done(b eventstore.Batch) {
	for _, e := range b.Events {
		o.head, o.hash, o.at = e.Seq, e.Hash, e.RecordedAt
		o.versions[e.Entity] = max(o.versions[e.Entity], e.Version)
	}
}

// send appends one batch and gives what became of it.
func send(t *testing.T, s eventstore.Store, b eventstore.Batch) eventstore.AppendResult {
	t.Helper()
	return sendAll(t, s, b)[0]
}

func sendAll(t *testing.T, s eventstore.Store, batches ...eventstore.Batch) []eventstore.AppendResult {
	t.Helper()
	results := s.Append(t.Context(), batches)
	if len(results) != len(batches) {
		t.Fatalf("Append: %d results for %d batches", len(results), len(batches))
	}
	for i, r := range results {
		if clean := r.Status == eventstore.Appended || r.Status == eventstore.Refused; clean != (r.Err == nil) {
			t.Errorf("Append: result %d is %s with error %v", i, status(r.Status), r.Err)
		}
	}
	return results
}

// append appends events and fails the test when that does not work.
func (o *owner) append(t *testing.T, events ...eventstore.Event) eventstore.Batch {
	t.Helper()
	b := o.batch(events...)
	wantStatus(t, send(t, o.store, b), eventstore.Appended)
	o.done(b)
	return b
}

var statuses = map[eventstore.AppendStatus]string{
	eventstore.Appended: "Appended", eventstore.Refused: "Refused", eventstore.Conflict: "Conflict",
	eventstore.Invalid: "Invalid", eventstore.NotAttempted: "NotAttempted", eventstore.Unknown: "Unknown",
}

func status(s eventstore.AppendStatus) string {
	if name := statuses[s]; name != "" {
		return name
	}
	return fmt.Sprintf("AppendStatus(%d)", s)
}

func wantStatus(t *testing.T, got eventstore.AppendResult, want eventstore.AppendStatus) {
	t.Helper()
	if got.Status != want {
		t.Fatalf("Append: got %s (%v), want %s", status(got.Status), got.Err, status(want))
	}
}

// wantShard fails unless the shard's log is exactly these events' hashes, and its
// row agrees.
func wantShard(t *testing.T, s eventstore.Store, id eventstore.ShardID, want ...eventstore.Event) {
	t.Helper()
	got, err := s.ReadShard(t.Context(), id, 0, len(want)+10)
	if err != nil {
		t.Fatalf("ReadShard(%s): %v", id, err)
	}
	wantEvents(t, got, want)
	row := rowOf(t, s, id)
	var head eventstore.Event
	if len(want) > 0 {
		head = want[len(want)-1]
	}
	if row.Head != head.Seq || row.HeadHash != head.Hash || !row.HeadTime.Equal(head.RecordedAt) {
		t.Fatalf("shard %s: head %d %s %s, want %d %s %s", id, row.Head, row.HeadHash, row.HeadTime, head.Seq, head.Hash, head.RecordedAt)
	}
}

func wantEvents(t *testing.T, got, want []eventstore.Event) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d events, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i].Shard != want[i].Shard || got[i].Seq != want[i].Seq || got[i].Hash != want[i].Hash {
			t.Fatalf("event %d: shard %s, seq %d, hash %s; want %s, %d, %s", i,
				got[i].Shard, got[i].Seq, got[i].Hash, want[i].Shard, want[i].Seq, want[i].Hash)
		}
	}
}
