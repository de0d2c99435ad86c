package shard

import (
	"time"

	"github.com/leftfold/leftfold/runtime/behavior"
	"github.com/leftfold/leftfold/runtime/eventstore"
)

// fold is an entity at one of its versions. Its state is immutable.
type fold struct {
	state   behavior.State
	version int64
	time    time.Time // of the event at version
}

// An entity is absent (nothing known), loading, or ready.
type phase uint8

const (
	absent phase = iota
	loading
	ready
)

// entity is one entity in memory. It belongs to its shard's goroutine.
//
// committed is what the store has; seq and hash are those of its last event.
// spec is what commands see: committed, with what was decided since. pending
// counts the entries between the two, and batch is the number of the last batch
// that has one of them: whatever was concluded from spec depends on it.
type entity struct {
	id    string
	phase phase

	committed fold
	seq       int64
	hash      eventstore.Hash
	spec      fold
	pending   int
	batch     int64
	window    window

	// queue[front:] are commands that wait for their turn, readers are reads
	// that wait for the load.
	queue   []*request
	front   int
	readers []*request
	queued  bool // in the shard's ring of entities whose turn comes

	// snapshot is the version of the last snapshot that was asked for.
	snapshot   int64
	snapshotAt time.Time

	size         int
	keys         int64 // of window.keys, what is booked
	used         time.Time
	newer, older *entity // in the order of use
}

// What an entity costs besides its id, state and window.
const entityBytes = 512

func (e *entity) waiting() int { return len(e.queue) - e.front }

func (e *entity) push(r *request) { e.queue = append(e.queue, r) }

// pushFront puts commands back before all others, in the given order.
func (e *entity) pushFront(rs []*request) {
	queue := make([]*request, 0, len(rs)+e.waiting())
	queue = append(queue, rs...)
	e.queue, e.front = append(queue, e.queue[e.front:]...), 0
}

func (e *entity) pop() *request {
	r := e.queue[e.front]
	e.queue[e.front] = nil
	if e.front++; e.front == len(e.queue) {
		e.queue, e.front = e.queue[:0], 0
	}
	return r
}

// busy tells that the entity may not leave memory.
func (e *entity) busy() bool {
	return e.phase == loading || e.pending > 0 || e.waiting() > 0 || len(e.readers) > 0
}

// forget drops what is known of the entity; it has to be loaded again.
func (e *entity) forget() {
	e.phase = absent
	e.committed, e.spec = fold{}, fold{}
	e.pending, e.batch = 0, 0
	e.window = window{}
}

// dropSpeculation goes back to what is committed.
func (e *entity) dropSpeculation() {
	e.spec = e.committed
	e.pending, e.batch = 0, 0
	e.window.dropPending()
}

// useList is the order in which entities were used; the zero value is empty.
type useList struct{ newest, oldest *entity }

func (l *useList) remove(e *entity) {
	if e.newer != nil {
		e.newer.older = e.older
	} else if l.newest == e {
		l.newest = e.older
	}
	if e.older != nil {
		e.older.newer = e.newer
	} else if l.oldest == e {
		l.oldest = e.newer
	}
	e.newer, e.older = nil, nil
}

func (l *useList) use(e *entity, now time.Time) {
	e.used = now
	if l.newest == e {
		return
	}
	l.remove(e)
	e.older = l.newest
	if l.newest != nil {
		l.newest.newer = e
	}
	l.newest = e
	if l.oldest == nil {
		l.oldest = e
	}
}

// ring is the queue of entities whose turn comes: each gives one command a turn
// and goes to the back, so that no entity waits for another's backlog.
type ring struct {
	entities []*entity
	front    int
}

func (q *ring) add(e *entity) {
	if e.queued {
		return
	}
	e.queued = true
	q.entities = append(q.entities, e)
}

func (q *ring) next() *entity {
	if q.front == len(q.entities) {
		return nil
	}
	e := q.entities[q.front]
	q.entities[q.front] = nil
	q.front++
	if q.front > 64 && q.front > len(q.entities)/2 {
		n := copy(q.entities, q.entities[q.front:])
		clear(q.entities[n:])
		q.entities, q.front = q.entities[:n], 0
	}
	e.queued = false
	return e
}

func (q *ring) empty() bool { return q.front == len(q.entities) }
