package shard

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leftfold/leftfold/runtime/behavior"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
)

// The mailbox is the only way into a shard's goroutine. Requests are bounded in
// number and bytes from their arrival to their answer; calls (results of I/O,
// control) are not, for each is the answer to something the shard started.

type requestKind uint8

const (
	commandRequest requestKind = iota
	strongRead
	localRead
)

// The life of a request, as its caller and the shard's goroutine see it:
//
//	waiting --begin--> decided --answer--> answered
//	   |  ^               |
//	   |  +---again-------+   (speculation was dropped: it is decided anew)
//	   +-------leave------+--> gone      (the caller's time ended)
//
// A caller that leaves a waiting request knows that nothing ran; one that leaves
// a decided request does not know.
const (
	requestWaiting int32 = iota
	requestDecided
	requestAnswered
	requestGone
)

type request struct {
	kind  requestKind
	cmd   Command
	print eventstore.Hash // zero for an id made at the door
	// searched: the log holds nothing of an earlier attempt.
	searched bool
	// def is the definition that the body was parsed under.
	def      *Definition
	parsed   behavior.Command
	parseErr error
	deadline time.Time // zero: none
	bytes    int

	// need is the first send that is later than the request's arrival; ord
	// orders the decided requests of a shard. Both belong to its goroutine.
	need int64
	ord  int64
	// verdict is the answer to a command that ran and could not be stored.
	verdict *problem.Problem

	state atomic.Int32
	reply reply
	done  chan struct{} // holds one
}

// reply is what the shard's goroutine hands to the caller's.
type reply struct {
	answer Answer
	err    error
	// refetch is the number of events, up to answer.Version, that the caller
	// has to read from the store: a repeat whose events left memory.
	refetch int64
	// search is the version from which on, backwards, the caller has to look for
	// an earlier attempt in the log; 0: no need.
	search int64
	// at and behavior are a read's result.
	at       fold
	behavior behavior.Behavior
}

// requestPool recycles requests with their channels. It belongs to a host, since
// a channel must not travel between test bubbles.
type requestPool struct{ sync.Pool }

func (p *requestPool) get(ctx context.Context, kind requestKind, c Command) *request {
	r, _ := p.Pool.Get().(*request)
	if r == nil {
		r = &request{done: make(chan struct{}, 1)}
	}
	r.kind, r.cmd = kind, c
	r.bytes = len(c.Entity) + len(c.Body) + len(c.ID) + len(c.Principal)
	r.deadline, _ = ctx.Deadline()
	r.state.Store(requestWaiting)
	return r
}

// put takes a request back from the caller that got its answer, or never handed
// it over.
func (p *requestPool) put(r *request) {
	done := r.done
	*r = request{done: done}
	p.Pool.Put(r)
}

// begin says that the request is being decided; false when its caller has left.
func (r *request) begin() bool { return r.state.CompareAndSwap(requestWaiting, requestDecided) }

// again takes a decision back; false when the caller has left: then it was told
// that the outcome is unknown, and deciding anew is of no use to anyone.
func (r *request) again() bool { return r.state.CompareAndSwap(requestDecided, requestWaiting) }

func (r *request) gone() bool { return r.state.Load() == requestGone }

// expired compares with the process's clock, as contexts do; the clock of
// commands may be another.
func (r *request) expired() bool {
	return !r.deadline.IsZero() && !time.Now().Before(r.deadline)
}

// wait blocks until the answer, the end of ctx, or the end of the shard, which
// answers all it knows of before. ok is false when the caller left first; decided
// then tells whether the command may have run.
func (r *request) wait(ctx context.Context, stopped <-chan struct{}) (ok, decided bool) {
	select {
	case <-r.done:
		return true, true
	case <-ctx.Done():
	case <-stopped:
	}
	switch r.state.Swap(requestGone) {
	case requestAnswered:
		<-r.done
		r.state.Store(requestAnswered)
		return true, true
	case requestDecided:
		return false, true
	}
	return false, false
}

type mailbox struct {
	maxCount int64
	maxBytes int64
	count    atomic.Int64
	bytes    atomic.Int64
	// held are the bytes of all mailboxes of the host, pending their requests.
	maxHeld int64
	held    *atomic.Int64
	pending *atomic.Int64

	mu      sync.Mutex
	arrived []*request
	calls   []func()
	closed  error
	wake    chan struct{} // holds one
}

// put hands a request over, or says why not.
func (m *mailbox) put(r *request) error {
	if m.count.Add(1) > m.maxCount {
		m.count.Add(-1)
		return overloaded(problem.LimitMailbox, "the shard holds as many commands as it can")
	}
	m.pending.Add(1)
	bytes, held := m.bytes.Add(int64(r.bytes)), m.held.Add(int64(r.bytes))
	if bytes > m.maxBytes {
		m.release(r)
		return overloaded(problem.LimitMailboxBytes, "the shard holds as many bytes of commands as it can")
	}
	if held > m.maxHeld {
		m.release(r)
		return overloaded(problem.LimitMailboxesBytes, "the shards hold as many bytes of commands as they can")
	}
	m.mu.Lock()
	if m.closed != nil {
		err := m.closed
		m.mu.Unlock()
		m.release(r)
		return err
	}
	m.arrived = append(m.arrived, r)
	m.mu.Unlock()
	m.signal()
	return nil
}

// post runs f on the shard's goroutine, unless the shard has ended.
func (m *mailbox) post(f func()) {
	m.mu.Lock()
	m.calls = append(m.calls, f)
	m.mu.Unlock()
	m.signal()
}

func (m *mailbox) signal() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// take swaps out what has come, into the given empty slices.
func (m *mailbox) take(r []*request, c []func()) ([]*request, []func()) {
	m.mu.Lock()
	r, m.arrived = m.arrived, r
	c, m.calls = m.calls, c
	m.mu.Unlock()
	return r, c
}

// close makes put answer err from now on.
func (m *mailbox) close(err error) {
	m.mu.Lock()
	if m.closed == nil {
		m.closed = err
	}
	m.mu.Unlock()
}

// release gives a request's place back.
func (m *mailbox) release(r *request) {
	m.count.Add(-1)
	m.pending.Add(-1)
	m.bytes.Add(-int64(r.bytes))
	m.held.Add(-int64(r.bytes))
}
