package shard

import (
	"sync"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// feed keeps a shard's last committed events, so that a projection which has
// caught up never reads the store. events are dense: the last one is at head.
//
// All feeds of a host together keep no more than it may: beyond that each one
// goes down to an equal share, when it grows and every second.
type feed struct {
	maxEvents int
	maxBytes  int64
	host      *Host
	aggregate string

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
	var grown int64
	for i := range events {
		grown += eventBytes(&events[i])
	}
	f.book(grown)
	f.head = events[len(events)-1].Seq
	f.trim(f.maxBytes)
	f.shareLocked()
	f.notify()
}

// What an event takes in a feed besides its data: its fields, its short texts, and
// the free space of a slice that grows.
const feedEventBytes = 512

func eventBytes(e *eventstore.Event) int64 { return feedEventBytes + int64(len(e.Data)) }

// trim lets the oldest events go until no more than so many bytes are left; the
// last event stays.
func (f *feed) trim(bytes int64) {
	var gone int64
	for n := len(f.events) - f.first; n > f.maxEvents || n > 1 && f.bytes-gone > bytes; n-- {
		e := &f.events[f.first]
		gone += eventBytes(e)
		*e = eventstore.Event{}
		f.first++
	}
	f.book(-gone)
	if f.first > len(f.events)/2 {
		n := copy(f.events, f.events[f.first:])
		clear(f.events[n:])
		f.events, f.first = f.events[:n], 0
		if cap(f.events) > 4*n+64 {
			f.events = append(make([]eventstore.Event, 0, 2*n), f.events...)
		}
	}
}

// relieve brings the feed down to its share when all of them keep too much.
func (f *feed) relieve() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shareLocked()
}

func (f *feed) shareLocked() {
	most := f.host.cfg.Limits.FeedsBytes
	if f.host.feeds.Load() > most {
		f.trim(most / int64(max(1, len(*f.host.serving.Load()))))
	}
}

// drop lets all events go, for a shard that has ended.
func (f *feed) drop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.book(-f.bytes)
	f.events, f.first = nil, 0
}

func (f *feed) book(bytes int64) {
	if bytes == 0 {
		return
	}
	f.bytes += bytes
	f.host.feeds.Add(bytes)
	if told := f.host.cfg.Observer.FeedBytes; told != nil {
		told(f.aggregate, bytes)
	}
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
