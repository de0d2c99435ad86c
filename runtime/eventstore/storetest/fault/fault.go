package fault

import (
	"context"
	"fmt"
	"sync"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// Kind is a way to fail.
type Kind uint8

const (
	// Before: nothing is done, and the answer says so (ErrNotAttempted).
	Before Kind = iota + 1
	// After: the work is done, the answer is lost (ErrOutcomeUnknown).
	After
	// Lost: the work is not done and never will be, and the answer is lost with
	// it (ErrOutcomeUnknown): the caller cannot tell it from After.
	Lost
	// Late: the answer is lost at once, and the work is done when the Handle is
	// released; by then the store may refuse it.
	Late
	// Hang: nothing happens until ctx ends or the Handle is released; then like
	// Lost.
	Hang
	// Hold: nothing happens until the Handle is released; then the call goes on
	// as if nothing had been. When ctx ends first, the caller gets
	// ErrOutcomeUnknown, and the release does the work still.
	Hold
)

// String is the constant's name.
func (k Kind) String() string {
	switch k {
	case Before:
		return "Before"
	case After:
		return "After"
	case Lost:
		return "Lost"
	case Late:
		return "Late"
	case Hang:
		return "Hang"
	case Hold:
		return "Hold"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Method names a method of eventstore.Store.
type Method string

// The methods that can fail.
const (
	Claim            Method = "Claim"
	Release          Method = "Release"
	Append           Method = "Append"
	Check            Method = "Check"
	Shard            Method = "Shard"
	Shards           Method = "Shards"
	ReadShard        Method = "ReadShard"
	ReadEntity       Method = "ReadEntity"
	LoadEntity       Method = "LoadEntity"
	SaveSnapshots    Method = "SaveSnapshots"
	DeleteOutcomes   Method = "DeleteOutcomes"
	EnsureAggregate  Method = "EnsureAggregate"
	Aggregates       Method = "Aggregates"
	Revisions        Method = "Revisions"
	AcceptDefinition Method = "AcceptDefinition"
	AmendDefinition  Method = "AmendDefinition"
	RaiseFloor       Method = "RaiseFloor"
	EventTypes       Method = "EventTypes"
	Heartbeat        Method = "Heartbeat"
	Leave            Method = "Leave"
	Members          Method = "Members"
)

// writes are the methods whose loss leaves the outcome unknown; the others only
// read, and fail with ErrNotAttempted whatever the Kind.
var writes = map[Method]bool{
	Claim: true, Release: true, Append: true, SaveSnapshots: true, DeleteOutcomes: true,
	EnsureAggregate: true, AcceptDefinition: true, AmendDefinition: true, RaiseFloor: true, Heartbeat: true, Leave: true,
}

// Call is one call, as a Fault's When sees it.
type Call struct {
	Method Method
	// Batches are those of an Append.
	Batches []eventstore.Batch
	// Shard and Entity are the arguments of the methods that have one.
	Shard  eventstore.ShardID
	Entity string
}

// Fault says which calls fail, and how.
type Fault struct {
	Kind   Kind
	Method Method          // empty: all
	When   func(Call) bool // nil: always
	Skip   int             // so many calls that fit pass first
	Times  int             // so many fail then; 0: one; negative: all
}

// Handle is a Fault in force.
type Handle struct {
	store   *Store
	fault   Fault
	random  bool
	reached chan struct{}

	mu       sync.Mutex // also orders late work: Release has done it when it returns
	hits     int
	released chan struct{}
	late     []func()
}

// Reached is closed when the fault has met its first call.
func (h *Handle) Reached() <-chan struct{} { return h.reached }

// Hits is how many calls it has met.
func (h *Handle) Hits() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.hits
}

// Release lets held and hanging calls go on, and does the late work, in order,
// before it returns. It may be called again for what came since.
func (h *Handle) Release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.released)
	h.released = make(chan struct{})
	for _, work := range h.late {
		work()
	}
	h.late = nil
}

// Remove takes the fault out of force; calls that it holds stay held.
func (h *Handle) Remove() {
	h.store.mu.Lock()
	defer h.store.mu.Unlock()
	for i, other := range h.store.script {
		if other == h {
			h.store.script = append(h.store.script[:i:i], h.store.script[i+1:]...)
			return
		}
	}
}

// hit counts a call, and gives the channel on which it waits.
func (h *Handle) hit() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.hits++; h.hits == 1 {
		close(h.reached)
	}
	return h.released
}

func (h *Handle) later(work func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.late = append(h.late, work)
}

// Inject puts a fault in force. Of several that fit a call, the oldest takes it.
func (s *Store) Inject(f Fault) *Handle {
	if f.Times == 0 {
		f.Times = 1
	}
	h := &Handle{store: s, fault: f, reached: make(chan struct{}), released: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = append(s.script, h)
	return h
}

// scripted finds the fault that takes the call.
func (s *Store) scripted(c Call) *Handle {
	for i, h := range s.script {
		f := &h.fault
		if f.Method != "" && f.Method != c.Method || f.When != nil && !f.When(c) {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		if f.Times--; f.Times == 0 {
			s.script = append(s.script[:i:i], s.script[i+1:]...)
		}
		return h
	}
	return nil
}

// do runs one call through the fault it meets, if any. When it returns an error,
// that is the call's answer, and what work has computed must not be looked at.
func (s *Store) do(ctx context.Context, c Call, work func(context.Context)) error {
	for _, overdue := range s.overdue() {
		overdue()
	}
	s.mu.Lock()
	s.calls[c.Method]++
	h := s.scripted(c)
	if h == nil {
		h = s.chance(c)
	}
	s.mu.Unlock()
	if h == nil {
		work(ctx)
		return nil
	}
	kind, released := h.fault.Kind, h.hit()
	lost := fmt.Errorf("%w: injected %s of %s", eventstore.ErrOutcomeUnknown, kind, c.Method)
	if !writes[c.Method] {
		lost = fmt.Errorf("%w: injected %s of %s", eventstore.ErrNotAttempted, kind, c.Method)
	}
	switch kind {
	case Before:
		return fmt.Errorf("%w: injected %s of %s", eventstore.ErrNotAttempted, kind, c.Method)
	case After:
		work(ctx)
	case Late:
		h.later(func() { work(context.WithoutCancel(ctx)) })
		if h.random {
			s.wait(h)
		}
	case Hang:
		select {
		case <-released:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", lost, ctx.Err())
		}
	case Hold:
		select {
		case <-released:
			work(ctx)
			return nil
		case <-ctx.Done():
			h.later(func() { work(context.WithoutCancel(ctx)) })
			return fmt.Errorf("%w: %w", lost, ctx.Err())
		}
	}
	return lost
}
