package shard

import (
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
)

// The barrier keeps anyone from seeing a state that never was, or is no more.
//
// Sends to the store (appends and lease checks) are numbered when they are
// handed over. A request that comes while the last number is n needs the store's
// consent to a send n+1 or later: such a send began after the request had
// arrived, so if the store consents, this process was still the owner at some
// moment after the arrival, and what it has committed was the whole truth then.
// An answer also depends on the batches whose entries it was concluded from.

// waiter is an answer that is held back.
type waiter struct {
	request *request
	reply   reply
	depends int64 // the batch that has to be committed; 0: none
	// stamp: the answer's position is the head at the time of the answer.
	stamp bool
}

// await holds an answer until it may be given.
func (s *Shard) await(w *waiter) {
	if w.depends <= s.committed && w.request.need <= s.confirmed || w.request.kind == commandRequest && removed(barrierGuard) {
		s.conclude(w)
		return
	}
	s.needed = max(s.needed, w.request.need)
	s.waiters = append(s.waiters, w)
}

// releaseWaiters gives the answers that may be given now.
func (s *Shard) releaseWaiters() {
	all := s.waiters
	s.waiters = nil
	kept := all[:0]
	for _, w := range all {
		if w.depends <= s.committed && w.request.need <= s.confirmed {
			s.conclude(w)
		} else {
			kept = append(kept, w)
		}
	}
	clear(all[len(kept):])
	s.waiters = append(kept, s.waiters...)
}

func (s *Shard) conclude(w *waiter) {
	if w.request.kind != commandRequest {
		s.read(s.entity(w.request.cmd.Entity), w.request)
		return
	}
	if w.stamp {
		w.reply.answer.Seq = s.head
	}
	s.answer(w.request, w.reply)
}

// read answers a read, now or when it may be answered.
func (s *Shard) read(e *entity, r *request) {
	switch {
	case e.phase != ready:
		e.readers = append(e.readers, r)
		s.schedule(e)
	case r.kind == strongRead && r.need > s.confirmed && !removed(readGuard):
		s.await(&waiter{request: r})
	case e.committed.version == 0:
		s.answer(r, reply{err: problem.New(problem.NoSuchEntity, "the entity has no events")})
	default:
		s.answer(r, reply{at: e.committed, behavior: s.cur.Behavior})
	}
}

// checkBarrier asks the store about the lease when someone waits for a send that
// no append will make soon.
func (s *Shard) checkBarrier() {
	if len(s.waiters) == 0 || s.check != 0 || s.checkPaused || s.settling || s.revoked {
		return
	}
	covered := s.confirmed
	if s.inflight != nil {
		covered = max(covered, s.inflight.sentAt)
	}
	if len(s.gather.entries) > 0 {
		return // they ride the next append
	}
	if s.needed > covered {
		s.sent++
		s.check = s.sent
		s.askLease()
	}
}

func (s *Shard) askLease() {
	n, t := s.check, s.tenure()
	s.host.checker.submit(leaseCheck{tenure: t, done: func(holds bool, err error) {
		s.post(func() { s.checkDone(n, t.Lease, holds, err) })
	}})
}

// An unanswered check is asked again after this long, as long as someone waits.
const checkPause = 50 * time.Millisecond

func (s *Shard) checkDone(n int64, lease eventstore.Lease, holds bool, err error) {
	if s.ended || s.check != n {
		return
	}
	s.check = 0
	switch {
	case lease != s.Lease():
		// A claim of our own came between; flush asks again.
	case err != nil:
		s.checkPaused = true
		time.AfterFunc(checkPause, func() { s.post(func() { s.checkPaused = false }) })
	case !holds:
		s.revoke(lease)
	default:
		s.confirmed = max(s.confirmed, n)
		s.releaseWaiters()
	}
}

// revoke takes note that a lease does not hold any more, or that the log does not
// reach the head. What is in flight is still waited for, since it may have committed
// before.
func (s *Shard) revoke(lease eventstore.Lease) {
	if s.ended || s.settling || s.release || lease != s.Lease() {
		return
	}
	s.revoked = true
	if s.inflight == nil {
		s.lose("another process has claimed it")
	}
}
