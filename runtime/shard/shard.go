package shard

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
)

// State is where a shard is in its life; see the package comment.
type State uint8

// The states of a shard.
const (
	// Holding: owned, but its definition is behind the store's; commands wait.
	Holding State = iota + 1
	Serving
	// Settling: an append has an unknown outcome; a claim is under way.
	Settling
	// Draining: takes nothing more, and gives the shard away when all is written.
	Draining
	// Stopped: Done is closed, Err tells why.
	Stopped
)

// String is the state's name in lower case.
func (s State) String() string {
	switch s {
	case Holding:
		return "holding"
	case Serving:
		return "serving"
	case Settling:
		return "settling"
	case Draining:
		return "draining"
	case Stopped:
		return "stopped"
	}
	return "unknown"
}

// Shard is one shard that this process owns, or did. Its methods are safe for
// concurrent use.
type Shard struct {
	host      *Host
	id        eventstore.ShardID
	aggregate string
	slots     eventstore.SlotRange
	log       *slog.Logger

	box   mailbox
	feed  feed
	def   atomic.Pointer[Definition] // what callers parse under
	state atomic.Uint32
	// lease is what the periodic recheck compares with the store.
	lease atomic.Pointer[eventstore.Lease]
	// lastUse is when the entity that was used least recently was used, in
	// nanoseconds of Unix; 0 without entities.
	lastUse  atomic.Int64
	evicting atomic.Bool
	// leaving: the shard drains or has ended, and takes nothing any more.
	leaving atomic.Bool

	ctx    context.Context // ends with the shard; for the I/O it starts
	cancel context.CancelFunc
	work   sync.WaitGroup // that I/O
	done   chan struct{}
	err    error // why it stopped; valid once done is closed
	stop   sync.Once
	// caughtUp is closed when the shard serves for the first time.
	caughtUp chan struct{}
	// turned counts turns; written counts committed events.
	turned, written atomic.Int64
	pace            pace
	watch           watch

	loop // what only the shard's goroutine touches
}

// loop is the part of a shard that its goroutine owns.
type loop struct {
	// cur decides. next waits until nothing decided under cur is pending.
	cur  *Definition
	next *Definition
	// holdUntil is the generation that the definition must have reached.
	holdUntil int64

	head     int64 // committed
	headHash eventstore.Hash
	headTime time.Time

	entities map[string]*entity
	uses     useList
	turns    ring
	loads    map[*entity]struct{} // whose phase is loading

	// gather collects, inflight is with the committer or in settlement.
	gather, inflight *batch
	committed        int64 // number of the last committed batch
	ord              int64 // of the last decided request
	single           int   // so many commands go alone: one of them is bad
	conflicts        int   // in a row
	hasher           eventstore.Hasher

	// Sends are numbered. confirmed is the last of them that the store has
	// answered while this process was the owner; see barrier.go.
	sent, confirmed int64
	waiters         []*waiter
	needed          int64 // the latest send that a waiter needs, or needed
	check           int64 // the number of the check under way, 0: none
	checkPaused     bool

	settling bool
	revoked  bool // a check said that the lease is gone
	draining bool
	release  bool // the release is under way
	ended    bool
	why      error // with ended
	lost     error // what a look found whose lease was void; with work
	served   bool  // caughtUp is closed

	// deciding is the request whose decision is under way.
	deciding *request

	clock   time.Time // at the beginning of the turn, to order uses
	arrived []*request
	calls   []func()
	// bytes is what the shard's entities take; told is what the observer has heard.
	bytes int64
	told  struct {
		depth        int
		held, loaded int64
	}
}

// ID names the shard.
func (s *Shard) ID() eventstore.ShardID { return s.id }

// Aggregate is the name of its aggregate.
func (s *Shard) Aggregate() string { return s.aggregate }

// Slots are those whose entities it serves.
func (s *Shard) Slots() eventstore.SlotRange { return s.slots }

// State is where it is in its life now.
func (s *Shard) State() State { return State(s.state.Load()) }

// Lease is the one it serves under; a settlement renews it.
func (s *Shard) Lease() eventstore.Lease { return *s.lease.Load() }

// tenure is what the shard's goroutine goes by now.
func (s *Shard) tenure() eventstore.Tenure {
	return eventstore.Tenure{Lease: s.Lease(), Head: s.head, HeadHash: s.headHash}
}

// Definition is the one in force, with its defaults filled in.
func (s *Shard) Definition() Definition { return *s.def.Load() }

func (s *Shard) now() time.Time    { return s.host.cfg.Now().UTC().Truncate(time.Microsecond) }
func (s *Shard) limits() *Limits   { return &s.host.cfg.Limits }
func (s *Shard) post(f func())     { s.box.post(f) }
func (s *Shard) setState(st State) { s.state.Store(uint32(st)) }

// CaughtUp is closed when the shard serves under a definition as new as the
// store's; before that, commands wait.
func (s *Shard) CaughtUp() <-chan struct{} { return s.caughtUp }

// Needs is the generation of the definition that was accepted when the shard was
// claimed; under an older one it holds its commands.
func (s *Shard) Needs() int64 { return s.holdUntil }

// Done is closed when the shard has stopped, for whatever reason; then Err tells
// it: nil after a drain, ErrNotOwner, ErrStoreWentBack, ErrPanicked, ErrStuck,
// ErrClosed.
func (s *Shard) Done() <-chan struct{} { return s.done }

// Err is nil until Done is closed.
func (s *Shard) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

// run is the shard's goroutine.
func (s *Shard) run() {
	defer s.finish()
	for !s.ended {
		<-s.box.wake
		for s.guardedTurn() {
			// Another turn as long as there is work at hand.
		}
	}
}

// A turn decides so many commands before it looks for what has come meanwhile.
const turnCommands = 256

// turn takes what has come, decides what may be decided, sends what may be sent,
// and reports whether there is more at hand.
func (s *Shard) turn() bool {
	s.turned.Add(1)
	s.arrived, s.calls = s.box.take(s.arrived[:0], s.calls[:0])
	s.clock = s.host.cfg.Now()
	for i, f := range s.calls {
		s.calls[i] = nil
		if !s.ended {
			f()
		}
	}
	// Also when a call has just ended the shard: admit answers those, too.
	for i, r := range s.arrived {
		s.arrived[i] = nil
		s.admit(r)
	}
	if s.ended {
		return false
	}
	s.swapDefinition()
	for n := 0; n < turnCommands && s.mayDecide(); n++ {
		e := s.turns.next()
		if e == nil {
			break
		}
		if e.phase != ready || e.waiting() == 0 {
			continue
		}
		s.decideNext(e)
		s.deciding = nil
		if e.waiting() > 0 {
			s.turns.add(e)
		}
	}
	s.flush()
	s.observe()
	return !s.ended && s.mayDecide() && !s.turns.empty()
}

// mayDecide tells whether a command may be decided now, or has to wait.
func (s *Shard) mayDecide() bool {
	if s.ended || s.settling || s.revoked || s.draining || s.next != nil || s.holding() {
		return false
	}
	l, b := s.limits(), s.gather
	if s.single > 0 && (len(b.entries) > 0 || s.inflight != nil) {
		return false
	}
	return len(b.entries) < l.BatchCommands && len(b.events) < l.BatchEvents && b.bytes < l.BatchBytes
}

// admit gives a request that has just come its place.
func (s *Shard) admit(r *request) {
	r.need = s.sent + 1
	if s.ended || s.draining {
		s.answer(r, reply{err: notOwner("it is moving")})
		return
	}
	e := s.entity(r.cmd.Entity)
	if r.kind != commandRequest {
		s.read(e, r)
		return
	}
	if e.waiting() >= s.limits().EntityCommands {
		s.answer(r, reply{err: overloaded(problem.LimitEntityCommands, "too many commands wait for this entity")})
		return
	}
	e.push(r)
	s.schedule(e)
}

// schedule sees to it that the entity's queue is served: by its turn, or by a
// load first.
func (s *Shard) schedule(e *entity) {
	switch {
	case e.phase == ready:
		if e.waiting() > 0 {
			s.turns.add(e)
		}
	case e.phase == absent && !s.holding():
		s.load(e)
	}
}

// entity finds an entity or makes an absent one.
func (s *Shard) entity(id string) *entity {
	e := s.entities[id]
	if e == nil {
		e = &entity{id: id}
		s.entities[id] = e
		s.account(e, entityBytes+len(id))
		s.host.cfg.Observer.entitiesLoaded(s.aggregate, 1)
	}
	s.uses.use(e, s.clock)
	return e
}

// answer ends a request. Nothing may touch it afterwards.
func (s *Shard) answer(r *request, a reply) {
	s.box.release(r)
	r.reply = a
	if r.state.Swap(requestAnswered) != requestGone {
		r.done <- struct{}{}
	}
}

// observe tells what the shard keeps, where that has changed.
func (s *Shard) observe() {
	o := &s.host.cfg.Observer
	if f := o.MailboxDepth; f != nil {
		if n := int(s.box.count.Load()); n != s.told.depth {
			f(s.aggregate, n-s.told.depth)
			s.told.depth = n
		}
	}
	tellBytes(o.MailboxBytes, s.aggregate, s.box.bytes.Load(), &s.told.held)
	tellBytes(o.EntityBytes, s.aggregate, s.bytes, &s.told.loaded)
}

func tellBytes(f func(string, int64), aggregate string, now int64, told *int64) {
	if f != nil && now != *told {
		f(aggregate, now-*told)
		*told = now
	}
}
