package shard

import (
	"sync"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// feed keeps a shard's last committed events, so that a projection which has
// caught up never reads the store. events are dense: the last one is at head.
type feed struct {
	maxEvents int
	maxBytes  int64

	mu      sync.Mutex
	events  []eventstore.Event
	first   int // events[:first] is free space
	bytes   int64
	head    int64
	changed chan struct{} // closed at the next change; nil when nobody waits
}

// push adds committed events, which follow head.
func (f *feed) push(events []eventstore.Event) {
	if len(events) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, events...)
	for i := range events {
		f.bytes += int64(len(events[i].Data))
	}
	f.head = events[len(events)-1].Seq
	for n := len(f.events) - f.first; n > f.maxEvents || n > 1 && f.bytes > f.maxBytes; n-- {
		e := &f.events[f.first]
		f.bytes -= int64(len(e.Data))
		*e = eventstore.Event{}
		f.first++
	}
	if f.first >= f.maxEvents {
		n := copy(f.events, f.events[f.first:])
		clear(f.events[n:])
		f.events, f.first = f.events[:n], 0
	}
	f.notify()
}

func (f *feed) notify() {
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

// after gives up to max events behind seq. ok is false when they are not all in
// memory.
func (f *feed) after(seq int64, max int) (events []eventstore.Event, head int64, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	kept := int64(len(f.events) - f.first)
	if seq >= f.head {
		return nil, f.head, true
	}
	if seq < f.head-kept {
		return nil, f.head, false
	}
	from := f.events[f.first+int(seq-(f.head-kept)):]
	return append([]eventstore.Event(nil), from[:min(len(from), max)]...), f.head, true
}

func (f *feed) wait() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.changed == nil {
		f.changed = make(chan struct{})
	}
	return f.changed
}

// Committed gives up to max committed events with Seq > after, in order, and the
// head: the Seq of the last committed event. ok is false when some of them have
// left memory: then page through the store up to head.
func (s *Shard) Committed(after int64, max int) (events []eventstore.Event, head int64, ok bool) {
	return s.feed.after(after, max)
}

// Changed is closed at the next commit. Take it before asking Committed, so that
// nothing is missed in between. When the shard ends, Done closes instead.
func (s *Shard) Changed() <-chan struct{} { return s.feed.wait() }
