package shard

import (
	"fmt"
	"log/slog"
	"sort"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
)

// batch is what a shard appends at once: the commands decided while the batch
// before it was in flight.
type batch struct {
	// num numbers the batches of a shard; dependencies are told by it.
	num     int64
	entries []*entry
	// events are those of all entries, in order. Seq, Epoch, RecordedAt and Hash
	// are set when the batch is sealed, for only then it is known what precedes.
	events []eventstore.Event
	bytes  int
	slab   []entry // where the next entries come from

	sealed eventstore.Batch
	// sentAt is the number of the send. flying: the store has it, and has not
	// given a definite answer.
	sentAt  int64
	started time.Time
	flying  bool
	// unsure: an earlier append of the same outcome rows may have committed.
	unsure  bool
	failed  time.Time // of the first definite failure
	retries int
}

// entry is one decided command of a batch, with events or with an outcome row.
type entry struct {
	request *request
	joined  []*request // repeats that came while it was pending
	entity  *entity
	at      time.Time
	after   fold
	// first and count tell its events in batch.events.
	first, count int
	refusal      *problem.Problem // nil with count 0: empty success
}

// What a new batch has room for at once: as much as the one before it, for load
// seldom changes from one to the next, but no more than this, for an idle shard
// keeps it.
const batchRoom = 128

func newBatch(num int64, like *batch) *batch {
	b := &batch{num: num}
	if like != nil {
		entries, events := min(len(like.entries)+1, batchRoom), min(len(like.events)+1, batchRoom)
		b.entries = make([]*entry, 0, entries)
		b.events = make([]eventstore.Event, 0, events)
		b.slab = make([]entry, entries)
	}
	return b
}

// Entries are allocated together: as many as the batch before had, then so many
// at a time.
const slabEntries = 16

// newEntry adds an entry, at an address that stays.
func (b *batch) newEntry() *entry {
	if len(b.slab) == 0 {
		b.slab = make([]entry, slabEntries)
	}
	en := &b.slab[0]
	b.slab = b.slab[1:]
	b.entries = append(b.entries, en)
	return en
}

// flush sends what has gathered, if nothing is in flight, and looks after those
// who wait for the barrier.
func (s *Shard) flush() {
	if s.ended {
		return
	}
	if s.inflight == nil && len(s.gather.entries) > 0 && !s.settling && !s.revoked {
		b := s.gather
		s.gather, s.inflight = newBatch(b.num+1, b), b
		s.dispatch(b)
	}
	s.checkBarrier()
	s.releaseIfDrained()
}

// dispatch seals the batch in flight and sends it.
func (s *Shard) dispatch(b *batch) {
	if bad, err := s.seal(b); err != nil {
		s.log.Error("an event cannot be stored; its command fails",
			slog.String("command", bad.request.cmd.Name), slog.Any("error", err))
		s.failEntry(bad)
		return
	}
	s.send(b)
}

// seal makes the batch continue the log under the present lease. It copies the
// events, since an abandoned append may still read what was sealed before.
func (s *Shard) seal(b *batch) (bad *entry, err error) {
	recorded := s.now()
	if recorded.Before(s.headTime) {
		recorded = s.headTime
	}
	if b.sealed.Events != nil {
		b.events = append([]eventstore.Event(nil), b.events...)
	}
	prev := s.headHash
	for _, en := range b.entries {
		for i := en.first; i < en.first+en.count; i++ {
			ev := &b.events[i]
			ev.Seq, ev.Epoch, ev.RecordedAt = s.head+int64(i)+1, s.Lease().Epoch, recorded
			if ev.Hash, err = s.hasher.Link(prev, ev); err != nil {
				return en, fmt.Errorf("hash event %s: %w", ev.Type, err)
			}
			prev = ev.Hash
		}
	}
	b.sealed = eventstore.Batch{Lease: s.Lease(), Head: s.head, HeadHash: s.headHash, Events: b.events}
	for _, en := range b.entries {
		if en.count == 0 {
			b.sealed.Outcomes = append(b.sealed.Outcomes, eventstore.Outcome{
				Entity: en.entity.id, CommandID: en.request.cmd.ID, RequestHash: en.request.print,
				Version: en.after.version, Time: en.at,
				Answer: encodeOutcome(s.head+int64(len(b.events)), en.refusal),
			})
		}
	}
	return nil, nil
}

// send hands the sealed batch to the committer.
func (s *Shard) send(b *batch) {
	s.sent++
	b.sentAt, b.flying, b.started = s.sent, true, time.Now()
	s.host.committer.submit(submission{batch: b.sealed, bytes: b.bytes, pending: &s.box.count, done: func(r eventstore.AppendResult) {
		s.post(func() { s.appendDone(b, r) })
	}})
}

// appendDone is the store's word on the batch in flight.
func (s *Shard) appendDone(b *batch, r eventstore.AppendResult) {
	if s.ended || s.inflight != b {
		return
	}
	switch r.Status {
	case eventstore.Appended:
		s.appended(b)
		if s.revoked {
			s.lose("another process has claimed it")
		}
	case eventstore.Refused:
		b.flying = false
		s.lose("the store refused its epoch")
	case eventstore.NotAttempted:
		b.flying = false
		if removed(resendGuard) {
			s.skip(b)
			return
		}
		s.sendLater(b, r.Err)
	case eventstore.Invalid:
		b.flying = false
		s.isolate(b, r.Err)
	case eventstore.Conflict:
		b.flying = false
		s.log.Error("the store has other rows where this batch would go; the shard loads everything anew", slog.Any("error", r.Err))
		s.settle()
	default:
		if removed(settleGuard) {
			b.flying = false
			s.sendLater(b, r.Err)
			return
		}
		s.log.Warn("an append has an unknown outcome; claiming the shard anew to settle it", slog.Any("error", r.Err))
		s.settle()
	}
}

// appended takes over a batch that is durable.
func (s *Shard) appended(b *batch) {
	b.flying = false
	s.inflight = nil
	s.committed = b.num
	s.confirmed = max(s.confirmed, b.sentAt)
	s.conflicts = 0
	if s.single > 0 {
		s.single--
	}
	if n := len(b.events); n > 0 {
		last := &b.events[n-1]
		s.head, s.headHash, s.headTime = last.Seq, last.Hash, last.RecordedAt
		s.host.acknowledged(s.id, last.Seq, last.Hash)
		s.written.Add(int64(n))
	}
	s.feed.push(b.events)
	for _, en := range b.entries {
		s.commitEntry(b, en)
	}
	s.releaseWaiters()
	if f := s.host.cfg.Observer.CommitDone; f != nil {
		f(s.aggregate, time.Since(b.started), len(b.events))
	}
}

func (s *Shard) commitEntry(b *batch, en *entry) {
	e := en.entity
	a := Answer{Entity: e.id, Version: en.after.version, Shard: s.id, Seq: b.sealed.Head + int64(len(b.events))}
	if en.count > 0 {
		end := en.first + en.count
		a.Events = b.events[en.first:end:end]
		last := &b.events[end-1]
		a.Seq = last.Seq
		e.committed, e.seq, e.hash = en.after, last.Seq, last.Hash
	}
	e.pending--
	e.window.committed(en.after.version, a.Seq)
	s.trim(e)
	s.resize(e)

	out := reply{answer: a}
	if en.refusal != nil {
		out.err = en.refusal
	}
	s.answer(en.request, out)
	for _, r := range en.joined {
		again := out
		again.answer.Replay = true
		if en.refusal != nil {
			p := *en.refusal
			p.Replay = true
			again.err = &p
		}
		s.await(&waiter{request: r, reply: again})
	}
	s.snapshotIfDue(e)
}

// trim lets the window forget, and the outcome rows with it.
func (s *Shard) trim(e *entity) {
	d := s.cur
	e.window.trim(s.clock, d.DedupCommands, d.DedupFor, func(r *record) {
		s.host.pruner.add(s.id.Aggregate, eventstore.Outcome{
			Entity: e.id, CommandID: r.id, Time: time.UnixMicro(r.at).UTC(),
		})
	})
}

// dropSpeculation takes back everything that is not committed. It gives the
// requests of the batch in flight, and those decided after it or because of it,
// each in the order in which they were decided.
func (s *Shard) dropSpeculation() (inflight, later []*request) {
	collect := func(b *batch, into []*request) []*request {
		for _, en := range b.entries {
			en.entity.dropSpeculation()
			into = append(append(into, en.request), en.joined...)
		}
		return into
	}
	next := s.gather.num + 1
	if s.inflight != nil {
		inflight = collect(s.inflight, nil)
	}
	later = collect(s.gather, nil)
	kept := s.waiters[:0]
	for _, w := range s.waiters {
		if w.depends > s.committed {
			later = append(later, w.request)
		} else {
			kept = append(kept, w)
		}
	}
	clear(s.waiters[len(kept):])
	s.waiters = kept
	s.inflight, s.gather = nil, newBatch(next, nil)
	for _, rs := range [][]*request{inflight, later} {
		sort.Slice(rs, func(i, j int) bool { return rs[i].ord < rs[j].ord })
	}
	return inflight, later
}

// decideAgain puts dropped requests back before all others.
func (s *Shard) decideAgain(rs []*request) {
	var order []*entity
	byEntity := make(map[*entity][]*request)
	for _, r := range rs {
		switch {
		case s.draining:
			s.answer(r, reply{err: notOwner("it is moving")})
		case !r.again():
			s.box.release(r)
		default:
			e := s.entity(r.cmd.Entity)
			if byEntity[e] == nil {
				order = append(order, e)
			}
			byEntity[e] = append(byEntity[e], r)
		}
	}
	for _, e := range order {
		e.pushFront(byEntity[e])
		s.schedule(e)
	}
}

// Give-ups and losses answer many requests alike.
func (s *Shard) answerAll(rs []*request, err error) {
	for _, r := range rs {
		s.answer(r, reply{err: err})
	}
}
