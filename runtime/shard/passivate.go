package shard

import "github.com/leftfold/leftfold/runtime/problem"

// Entities leave memory when they were idle for long, and when all shards of the
// host together keep more bytes than they may: then the shard whose least used
// entity is the oldest of all lets it go. A busy entity stays.

// tick is the host's call of every second.
func (s *Shard) tick() {
	if s.ended {
		return
	}
	idle := s.cur.PassivateAfter
	for e := s.uses.oldest; e != nil && s.clock.Sub(e.used) >= idle; e = s.uses.oldest {
		s.evictOrKeep(e)
	}
	s.publishOldest()
	s.feed.relieve()
	if s.holding() {
		for _, e := range s.entities {
			s.sweep(e)
		}
	}
	for e := range s.loads {
		s.sweep(e)
	}
	for _, e := range s.turns.entities[s.turns.front:] {
		s.sweep(e)
	}
	s.sweepWaiters()
}

// evictOrKeep lets an entity go, or makes it the newest when it is busy.
func (s *Shard) evictOrKeep(e *entity) bool {
	if e.busy() {
		s.uses.use(e, s.clock)
		return false
	}
	s.remove(e)
	return true
}

// remove takes an entity out of memory.
func (s *Shard) remove(e *entity) {
	delete(s.entities, e.id)
	s.uses.remove(e)
	s.account(e, 0)
	s.bookKeys(e, 0)
	s.host.cfg.Observer.entitiesLoaded(s.aggregate, -1)
}

// forget makes an entity absent; it is loaded again when somebody asks.
func (s *Shard) forget(e *entity) {
	e.forget()
	s.account(e, entityBytes+len(e.id))
	s.bookKeys(e, 0)
}

// resize measures an entity anew.
func (s *Shard) resize(e *entity) {
	s.account(e, entityBytes+len(e.id)+s.cur.Behavior.Size(e.committed.state)+e.window.size())
	s.bookKeys(e, e.window.keys)
}

// bookKeys books the bytes of the keys that an entity remembers for their age.
func (s *Shard) bookKeys(e *entity, bytes int64) {
	grown := bytes - e.keys
	if grown == 0 {
		return
	}
	e.keys = bytes
	s.host.keys.Add(grown)
	if f := s.host.cfg.Observer.KeyBytes; f != nil {
		f(s.aggregate, grown)
	}
}

// keysFull tells by which limit no new key can be remembered for the entity; ""
// when one can. Before it says so it forgets what has grown old: nothing else
// would, while all are refused.
func (s *Shard) keysFull(e *entity) problem.Limit {
	full := func() problem.Limit {
		l := s.limits()
		switch {
		case e.window.keys == 0:
			return ""
		case e.window.keys >= l.EntityKeyBytes:
			return problem.LimitEntityKeys
		case s.host.keys.Load() >= l.KeyBytes:
			return problem.LimitKeys
		}
		return ""
	}
	if full() == "" {
		return ""
	}
	s.trim(e)
	s.resize(e)
	return full()
}

// account books an entity's bytes, and sees to the budget.
func (s *Shard) account(e *entity, size int) {
	grown := size - e.size
	e.size = size
	s.bytes += int64(grown)
	if s.host.memory.Add(int64(grown)) > s.limits().MemoryBytes && grown > 0 {
		s.publishOldest()
		s.host.relieve()
	}
}

func (s *Shard) publishOldest() {
	var t int64
	if s.uses.oldest != nil {
		t = s.uses.oldest.used.UnixNano()
	}
	s.lastUse.Store(t)
}

// evict lets entities go until the host keeps no more than it may, or others
// have older ones.
func (s *Shard) evict() {
	s.evicting.Store(false)
	if s.ended {
		return
	}
	before := len(s.entities)
	for n := before; n > 0 && s.host.memory.Load() > s.limits().MemoryBytes; n-- {
		s.evictOrKeep(s.uses.oldest)
		if n%64 == 0 {
			s.publishOldest()
			if s.host.oldest() != s {
				break
			}
		}
	}
	s.publishOldest()
	// Only on progress: shards whose entities are all busy must not chase each other.
	if len(s.entities) < before && s.host.memory.Load() > s.limits().MemoryBytes {
		s.host.relieve()
	}
}

// sweep drops the requests of an entity whose callers have left, so that a long
// outage does not fill the mailbox with the dead.
func (s *Shard) sweep(e *entity) {
	alive := func(r *request) bool {
		if r.gone() {
			s.box.release(r)
			return false
		}
		if r.expired() {
			s.answer(r, reply{err: notAttempted("the request's time ran out while it waited")})
			return false
		}
		return true
	}
	queue := e.queue[:0]
	for _, r := range e.queue[e.front:] {
		if alive(r) {
			queue = append(queue, r)
		}
	}
	clear(e.queue[len(queue):])
	e.queue, e.front = queue, 0
	readers := e.readers[:0]
	for _, r := range e.readers {
		if alive(r) {
			readers = append(readers, r)
		}
	}
	clear(e.readers[len(readers):])
	e.readers = readers
}

func (s *Shard) sweepWaiters() {
	kept := s.waiters[:0]
	for _, w := range s.waiters {
		if w.request.gone() {
			s.box.release(w.request)
			continue
		}
		kept = append(kept, w)
	}
	clear(s.waiters[len(kept):])
	s.waiters = kept
}

// relieve asks the shard with the entity that was used least recently to let
// entities go.
func (h *Host) relieve() {
	if s := h.oldest(); s != nil && s.evicting.CompareAndSwap(false, true) {
		s.post(s.evict)
	}
}

// oldest is the shard with the entity that was used least recently.
func (h *Host) oldest() *Shard {
	var found *Shard
	var least int64
	for _, s := range *h.serving.Load() {
		if t := s.lastUse.Load(); t != 0 && (found == nil || t < least) {
			found, least = s, t
		}
	}
	return found
}
