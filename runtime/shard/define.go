package shard

// Define gives the shard another definition. It takes effect between two
// commands: at once when folding stays the same; otherwise as soon as what was
// decided under the present one is committed, and then every entity is folded
// anew from the log when it is next asked for. A definition of a lower
// generation than the present one is ignored.
func (s *Shard) Define(d Definition) {
	def := d.withDefaults()
	s.post(func() {
		if s.ended || def.Generation < s.cur.Generation || s.next != nil && def.Generation < s.next.Generation {
			return
		}
		s.next = def
	})
}

func (s *Shard) holding() bool { return s.cur.Generation < s.holdUntil }

// swapDefinition puts the next definition in force, if it may be.
func (s *Shard) swapDefinition() {
	if s.next == nil {
		return
	}
	refold := s.next.Behavior.Fingerprint() != s.cur.Behavior.Fingerprint()
	if refold && (s.inflight != nil || len(s.gather.entries) > 0) {
		return
	}
	held := s.holding()
	s.cur, s.next = s.next, nil
	s.def.Store(s.cur)
	if refold {
		for _, e := range s.entities {
			if e.phase == ready {
				s.forget(e)
			}
		}
	}
	if refold || held {
		s.scheduleAll()
	}
	s.showState()
}

// scheduleAll sees to the queues of all entities, those first that have waited for longest.
func (s *Shard) scheduleAll() {
	for e := s.uses.oldest; e != nil; e = e.newer {
		if e.waiting() > 0 || len(e.readers) > 0 {
			s.schedule(e)
		}
	}
}

// showState publishes the state that follows from the shard's own marks.
func (s *Shard) showState() {
	switch {
	case s.ended:
	case s.draining:
		s.setState(Draining)
	case s.settling:
		s.setState(Settling)
	case s.holding():
		s.setState(Holding)
	default:
		s.setState(Serving)
		if !s.served {
			s.served = true
			close(s.caughtUp)
		}
	}
}
