package storetest

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

var appendTests = []test{
	{"a batch continues the shard, and moves its head, hash and time", func(t *testing.T, s eventstore.Store) {
		o := single(t, s)
		var log []eventstore.Event
		for range 3 {
			log = append(log, o.append(t, deposit("a"), deposit("b"), deposit("a")).Events...)
			wantShard(t, s, o.lease.Shard, log...)
		}
		CheckInvariants(t, s)
	}},
	{"a batch under anything but the lease and the head is refused and leaves nothing", refused},
	{"a batch after another's claim is refused", func(t *testing.T, s eventstore.Store) {
		old := single(t, s)
		first := old.append(t, deposit("a")).Events
		owner := claim(t, s, old.lease.Shard)
		wantStatus(t, send(t, s, old.batch(deposit("a"))), eventstore.Refused)
		owner.versions["a"] = 1
		second := owner.append(t, deposit("a")).Events
		wantStatus(t, send(t, s, old.batch(deposit("a"))), eventstore.Refused)
		wantShard(t, s, old.lease.Shard, slices.Concat(first, second)...)
		CheckInvariants(t, s)
	}},
	{"the same batch sent again is refused", func(t *testing.T, s eventstore.Store) {
		o := single(t, s)
		b := o.append(t, deposit("a"))
		wantStatus(t, send(t, s, b), eventstore.Refused)
		wantShard(t, s, o.lease.Shard, b.Events...)
	}},
	{"an empty batch proves the lease and the head, and moves nothing", func(t *testing.T, s eventstore.Store) {
		o := single(t, s)
		wantStatus(t, send(t, s, o.batch()), eventstore.Appended)
		events := o.append(t, deposit("a")).Events
		wantStatus(t, send(t, s, o.batch()), eventstore.Appended)
		wantShard(t, s, o.lease.Shard, events...)
		behind := o.batch()
		behind.Head, behind.HeadHash = 0, eventstore.Hash{}
		wantStatus(t, send(t, s, behind), eventstore.Refused)
		claim(t, s, o.lease.Shard)
		wantStatus(t, send(t, s, o.batch()), eventstore.Refused)
	}},
	{"an append of no batches has no results", func(t *testing.T, s eventstore.Store) {
		if got := s.Append(t.Context(), nil); len(got) != 0 {
			t.Errorf("got %v", got)
		}
	}},
	{"batches of one append do not affect each other", mixed},
	{"an event whose version the entity has is a conflict, and nothing of its batch stays", conflict},
	{"a version that is twice in a batch is a conflict", func(t *testing.T, s eventstore.Store) {
		o := single(t, s)
		twice := deposit("a")
		twice.Version = 1
		wantStatus(t, send(t, s, o.batch(twice, twice)), eventstore.Conflict)
		wantShard(t, s, o.lease.Shard)
	}},
	{"aggregates share no entities", func(t *testing.T, s eventstore.Store) {
		o := single(t, s)
		_, ids := aggregate(t, s, "other", 1)
		other := claim(t, s, ids[0])
		o.append(t, deposit("a"))
		other.append(t, deposit("a"), deposit("a"))
		CheckInvariants(t, s)
	}},
	{"data that no store can hold is invalid, leaves nothing, and spares the other batches", invalid},
	{"outcomes are written with the batch, with or without events", outcomesWithBatch},
	{"an outcome replaces the one with the same entity and command id", func(t *testing.T, s eventstore.Store) {
		o := single(t, s)
		first, second := outcome("a", "c", 0, 1), outcome("a", "c", 1, 2)
		second.Answer, second.RequestHash = []byte{0, 0xff}, eventstore.Hash{7}
		for _, row := range []eventstore.Outcome{first, second} {
			b := o.batch()
			b.Outcomes = []eventstore.Outcome{row}
			wantStatus(t, send(t, s, b), eventstore.Appended)
			wantOutcomes(t, s, o.lease.Shard.Aggregate, "a", row)
		}
	}},
	{"an append changes nothing in its batches", func(t *testing.T, s eventstore.Store) {
		o := single(t, s)
		b := o.batch(deposit("a"), deposit("b"))
		b.Outcomes = []eventstore.Outcome{outcome("a", "c", 1, 1)}
		sent := b
		sent.Events, sent.Outcomes = slices.Clone(b.Events), slices.Clone(b.Outcomes)
		for i := range sent.Events {
			sent.Events[i].Data = slices.Clone(b.Events[i].Data)
		}
		wantStatus(t, send(t, s, sent), eventstore.Appended)
		if d := cmp.Diff(b, sent); d != "" {
			t.Error(d)
		}
	}},
	{"64 shards with 1,000 events each are appended at once", func(t *testing.T, s eventstore.Store) {
		a, ids := aggregate(t, s, "account", 64)
		var batches []eventstore.Batch
		for i, id := range ids {
			batches = append(batches, claim(t, s, id).batch(deposits(fmt.Sprint("entity ", i), 1000)...))
		}
		for _, r := range sendAll(t, s, batches...) {
			wantStatus(t, r, eventstore.Appended)
		}
		rows, err := s.Shards(t.Context(), a.ID)
		if err != nil {
			t.Fatal(err)
		}
		for i, row := range rows {
			if last := batches[i].Events[999]; row.Head != 1000 || row.HeadHash != last.Hash {
				t.Errorf("shard %s has head %d %s, want 1000 %s", row.Shard, row.Head, row.HeadHash, last.Hash)
			}
		}
		wantShard(t, s, ids[0], batches[0].Events...)
		wantShard(t, s, ids[63], batches[63].Events...)
	}},
}

func refused(t *testing.T, s eventstore.Store) {
	a, ids := aggregate(t, s, "account", 3)
	for range 2 {
		claim(t, s, ids[0])
	}
	o := claim(t, s, ids[0]) // epoch 3
	log := o.append(t, deposits("a", 2)...).Events
	for name, change := range map[string]func(*eventstore.Batch){
		"a lower epoch":           func(b *eventstore.Batch) { b.Lease.Epoch-- },
		"a higher epoch":          func(b *eventstore.Batch) { b.Lease.Epoch++ },
		"another token":           func(b *eventstore.Batch) { b.Lease.Token[0]++ },
		"no token":                func(b *eventstore.Batch) { b.Lease.Token = eventstore.Token{} },
		"a lower head":            func(b *eventstore.Batch) { b.Head, b.HeadHash = 1, log[0].Hash },
		"a head before the first": func(b *eventstore.Batch) { b.Head, b.HeadHash = 0, eventstore.Hash{} },
		"a higher head":           func(b *eventstore.Batch) { b.Head++ },
		"another hash":            func(b *eventstore.Batch) { b.HeadHash[31]++ },
		"a shard never claimed": func(b *eventstore.Batch) {
			*b = eventstore.Batch{Lease: eventstore.Lease{Shard: ids[2]}}
		},
		"an unknown shard": func(b *eventstore.Batch) {
			*b = eventstore.Batch{Lease: eventstore.Lease{Shard: eventstore.ShardID{Aggregate: a.ID, Number: 200}, Epoch: 1}}
		},
	} {
		b := eventstore.Batch{Lease: o.lease, Head: o.head, HeadHash: o.hash}
		change(&b)
		// The events fit what the batch says of itself, so that nothing but the
		// shard's row can refuse them.
		as := &owner{store: s, lease: b.Lease, head: b.Head, hash: b.HeadHash, at: o.at, versions: map[string]int64{"a": 2}}
		full := as.batch(deposit("a"))
		full.Outcomes = []eventstore.Outcome{outcome("a", "c", 2, 1)}
		for _, batch := range []eventstore.Batch{b, full} {
			if r := send(t, s, batch); r.Status != eventstore.Refused {
				t.Errorf("%s, %d events: got %s (%v), want Refused", name, len(batch.Events), status(r.Status), r.Err)
			}
		}
	}
	wantShard(t, s, ids[0], log...)
	wantOutcomes(t, s, a.ID, "a")
	CheckInvariants(t, s)
	o.append(t, deposit("a"))
}

func mixed(t *testing.T, s eventstore.Store) {
	_, ids := aggregate(t, s, "account", 6)
	owners := make([]*owner, len(ids))
	for i, id := range ids {
		owners[i] = claim(t, s, id)
		owners[i].append(t, deposit(fmt.Sprint(i)))
	}
	claim(t, s, ids[1])
	batches := make([]eventstore.Batch, len(ids))
	for i, o := range owners {
		batches[i] = o.batch(deposits(fmt.Sprint(i), 2)...)
		batches[i].Outcomes = []eventstore.Outcome{outcome(fmt.Sprint(i), "c", 3, 1)}
	}
	bad := deposit("2")
	bad.Data = json.RawMessage(`{"a":"\u0000"}`)
	batches[2] = owners[2].batch(deposit("2"), bad)
	taken := deposit("3")
	taken.Version = 1
	batches[3] = owners[3].batch(taken)
	slices.Reverse(batches) // the order must not matter

	want := []eventstore.AppendStatus{
		eventstore.Appended, eventstore.Appended, eventstore.Conflict,
		eventstore.Invalid, eventstore.Refused, eventstore.Appended,
	}
	for i, r := range sendAll(t, s, batches...) {
		if r.Status != want[i] {
			t.Errorf("batch of shard %s: got %s (%v), want %s", batches[i].Lease.Shard, status(r.Status), r.Err, status(want[i]))
		}
	}
	for i, id := range ids {
		appended := i == 0 || i >= 4
		if row := rowOf(t, s, id); (row.Head == 3) != appended || (row.Head == 1) == appended {
			t.Errorf("shard %s has head %d", id, row.Head)
		}
		if rows := loading(t, s, id.Aggregate, fmt.Sprint(i)).Outcomes; (len(rows) == 1) != appended {
			t.Errorf("shard %s has %d outcomes", id, len(rows))
		}
	}
	CheckInvariants(t, s)
}

func conflict(t *testing.T, s eventstore.Store) {
	_, ids := aggregate(t, s, "account", 2)
	o, other := claim(t, s, ids[0]), claim(t, s, ids[1])
	log := o.append(t, deposits("a", 2)...).Events
	for name, o := range map[string]*owner{"in the same shard": o, "in another shard": other} {
		taken := deposit("a")
		taken.Version = 2
		b := o.batch(deposit("b"), taken, deposit("b"))
		b.Outcomes = []eventstore.Outcome{outcome("b", "c", 0, 1)}
		if r := send(t, s, b); r.Status != eventstore.Conflict {
			t.Errorf("%s: got %s (%v), want Conflict", name, status(r.Status), r.Err)
		}
	}
	wantShard(t, s, ids[0], log...)
	wantShard(t, s, ids[1])
	wantOutcomes(t, s, ids[0].Aggregate, "b")
	o.append(t, deposit("a"))
	other.append(t, deposit("b"))
	CheckInvariants(t, s)
}

func invalid(t *testing.T, s eventstore.Store) {
	_, ids := aggregate(t, s, "account", 2)
	o, spared := claim(t, s, ids[0]), claim(t, s, ids[1])
	data := func(text string) func(*eventstore.Batch) {
		return func(b *eventstore.Batch) { b.Events[1].Data = json.RawMessage(text) }
	}
	for name, damage := range map[string]func(*eventstore.Batch){
		"U+0000 in a string":            data(`{"a":"\u0000"}`),
		"U+0000 in a key":               data(`{"\u0000":1}`),
		"a lone surrogate":              data(`{"a":"\ud800"}`),
		"no JSON":                       data(`{"a":`),
		"an exponent beyond any use":    data(`{"a":1e999999999}`),
		"no data":                       data(``),
		"invalid UTF-8":                 data("{\"a\":\"\xff\"}"),
		"U+0000 in an entity":           func(b *eventstore.Batch) { b.Events[1].Entity = "a\x00" },
		"an entity that is not UTF-8":   func(b *eventstore.Batch) { b.Events[1].Entity = "\xc3" },
		"U+0000 in a command id":        func(b *eventstore.Batch) { b.Events[1].CommandID = "\x00" },
		"a principal that is not UTF-8": func(b *eventstore.Batch) { b.Events[1].Meta.Principal = "\xff" },
		"U+0000 in an outcome":          func(b *eventstore.Batch) { b.Outcomes[0].CommandID = "\x00" },
	} {
		b := o.batch(deposits("a", 3)...)
		b.Outcomes = []eventstore.Outcome{outcome("a", "c", 0, 1)}
		damage(&b)
		good := spared.batch(deposit("b"))
		for i, r := range sendAll(t, s, b, good) {
			if want := []eventstore.AppendStatus{eventstore.Invalid, eventstore.Appended}[i]; r.Status != want {
				t.Errorf("%s: batch %d got %s (%v), want %s", name, i, status(r.Status), r.Err, status(want))
			}
		}
		spared.done(good)
	}
	wantShard(t, s, ids[0])
	wantOutcomes(t, s, ids[0].Aggregate, "a")
	o.append(t, deposit("a"))
	CheckInvariants(t, s)
}

func outcomesWithBatch(t *testing.T, s eventstore.Store) {
	o := single(t, s)
	b := o.batch(deposit("a"))
	b.Outcomes = []eventstore.Outcome{outcome("a", "c1", 1, 1), outcome("b", "c1", 0, 2)}
	wantStatus(t, send(t, s, b), eventstore.Appended)
	o.done(b)
	alone := o.batch()
	alone.Outcomes = []eventstore.Outcome{outcome("a", "c2", 1, 3)}
	wantStatus(t, send(t, s, alone), eventstore.Appended)
	wantOutcomes(t, s, o.lease.Shard.Aggregate, "a", b.Outcomes[0], alone.Outcomes[0])
	wantOutcomes(t, s, o.lease.Shard.Aggregate, "b", b.Outcomes[1])
	wantShard(t, s, o.lease.Shard, b.Events...)
}
