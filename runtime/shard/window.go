package shard

import (
	"hash/maphash"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
)

// A window is what an entity remembers of its last commands, so that a repeated
// id gets the first answer and nothing runs twice.
//
//	recent: the last ids of any kind, oldest first: N of them, or doorIDs when
//	        all that is older was made at the door. Its tail may be pending:
//	        decided, not yet committed. Nothing leaves it for a pending record,
//	        since that may yet be dropped.
//	older:  ids given by callers, pushed out of recent before they were M
//	        minutes old. An id made at the door never gets here: whoever could
//	        repeat it does so at once, and then the log tells (see retry.go).
//
// After a restart the window is rebuilt from the snapshot's copy, the events
// and the outcome rows; see load.go.
type window struct {
	recent  []record
	sums    []uint64 // of the ids in recent, apart, so that a search touches little memory
	first   int      // recent[:first] is free space
	pending int      // the last so many of recent
	older   map[string]record
	aged    []agedID // the ids of older, oldest first
	// keys is what older and aged take, in bytes.
	keys int64
}

type agedID struct {
	id string
	at int64
}

// record is the memory of one command. A record without events and without a
// refusal is a success that changed nothing.
type record struct {
	id    string
	print [16]byte
	keyed bool
	at    int64 // the command's time, microseconds of Unix
	// version and seq are the entity's version and the shard's sequence after
	// the command; events is how many of them it wrote, the last at seq.
	version int64
	seq     int64
	events  int64
	refusal *problem.Problem
	// entry is where the command waits for its commit; nil once committed.
	entry *entry
}

var idSeed = maphash.MakeSeed()

func newRecord(id string, print eventstore.Hash, at time.Time) record {
	return record{
		id: id, print: [16]byte(print[:16]),
		keyed: print != eventstore.Hash{}, at: at.UnixMicro(),
	}
}

// matches tells whether the same command came again under its id.
func (r *record) matches(print eventstore.Hash) bool { return r.print == [16]byte(print[:16]) }

// hasRow tells whether the record is held by an outcome row.
func (r *record) hasRow() bool { return r.keyed && r.events == 0 }

// find gives the record of an id, nil when it is not remembered. The result is
// valid until the window changes.
func (w *window) find(id string, now time.Time, keep time.Duration) *record {
	sum := maphash.String(idSeed, id)
	for i := len(w.sums) - 1; i >= w.first; i-- {
		if w.sums[i] == sum && w.recent[i].id == id {
			return &w.recent[i]
		}
	}
	if r, ok := w.older[id]; ok && r.at > now.Add(-keep).UnixMicro() {
		return &r
	}
	return nil
}

// doorIDs is how many ids are kept of an entity that is sent to without keys.
// Nobody was promised anything about them, and they are most of what a busy entity
// takes in memory: with N of them, a thousand such entities took 43 MiB, were
// thrown out for it, and loaded again for every command.
const doorIDs = 16

// begin appends a pending record.
func (w *window) begin(r record) {
	w.makeRoom()
	w.recent = append(w.recent, r)
	w.sums = append(w.sums, maphash.String(idSeed, r.id))
	w.pending++
}

// makeRoom sees to free places at the end: the space at the beginning is used again,
// unless that is too little or far too much. Slices that double would be half empty
// most of the time.
func (w *window) makeRoom() {
	if len(w.recent) < cap(w.recent) {
		return
	}
	kept, sums := w.recent[w.first:], w.sums[w.first:]
	if want := len(kept) + len(kept)/4 + 2; want > cap(w.recent) || want < cap(w.recent)/2 {
		w.recent = append(make([]record, 0, want), kept...)
		w.sums = append(make([]uint64, 0, want), sums...)
	} else {
		n := copy(w.recent, kept)
		clear(w.recent[n:])
		copy(w.sums, sums)
		w.recent, w.sums = w.recent[:n], w.sums[:n]
	}
	w.first = 0
}

// committed turns the oldest pending record into a remembered one.
func (w *window) committed(version, seq int64) {
	r := &w.recent[len(w.recent)-w.pending]
	r.version, r.seq, r.entry = version, seq, nil
	w.pending--
}

// dropPending forgets what was not committed.
func (w *window) dropPending() {
	n := len(w.recent) - w.pending
	clear(w.recent[n:])
	w.recent, w.sums = w.recent[:n], w.sums[:n]
	w.pending = 0
}

// remember appends a committed record, for rebuilding.
func (w *window) remember(r record) {
	w.begin(r)
	w.committed(r.version, r.seq)
}

// trim lets go of what has left the window, and calls row for each record whose
// outcome row is of no more use.
func (w *window) trim(now time.Time, last int, keep time.Duration, row func(*record)) {
	horizon := now.Add(-keep).UnixMicro()
	for {
		kept := len(w.recent) - w.first - w.pending
		if kept <= min(last, doorIDs) || kept <= last && w.recent[w.first].keyed {
			break
		}
		r := &w.recent[w.first]
		if r.keyed && r.at > horizon {
			if w.older == nil {
				w.older = make(map[string]record)
			}
			w.keys += r.cost()
			if old, ok := w.older[r.id]; ok {
				w.keys -= old.cost()
			}
			w.older[r.id] = *r
			w.aged = append(w.aged, agedID{r.id, r.at})
		} else if r.hasRow() {
			row(r)
		}
		*r = record{}
		w.first++
	}
	for len(w.aged) > 0 && w.aged[0].at <= horizon {
		a := w.aged[0]
		w.aged = w.aged[1:]
		// The id may live again, under a later time.
		if r, ok := w.older[a.id]; ok && r.at == a.at {
			if r.hasRow() {
				row(&r)
			}
			w.keys -= r.cost()
			delete(w.older, a.id)
		}
	}
}

// each calls f for every committed record, oldest first.
func (w *window) each(f func(*record)) {
	for _, a := range w.aged {
		if r, ok := w.older[a.id]; ok && r.at == a.at {
			f(&r)
		}
	}
	for i := w.first; i < len(w.recent)-w.pending; i++ {
		f(&w.recent[i])
	}
}

// A record's share of memory, its id included: measured, rounded up.
const recordBytes = 160

// size is what the last commands take.
func (w *window) size() int { return recordBytes * cap(w.recent) }

// cost is what a record in older takes, with its place in aged: a map keeps a
// third of its places free, and a slice that grows a quarter.
func (r *record) cost() int64 {
	n := 2*recordBytes + len(r.id)
	if r.refusal != nil {
		n += recordBytes + len(r.refusal.Detail)
	}
	return int64(n)
}
