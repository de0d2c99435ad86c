package liveness

import "time"

// state of a member; doc.go draws how one leads to another.
type state int

const (
	alive state = iota
	suspect
	unreachable
	dead
)

// member is what is known of one. The zero time means: not so.
type member struct {
	id           string
	state        state
	heard        time.Time // the last sign of life, or when its clock was started
	refused      time.Time // of a refusal whose redial is under way
	silenceHeld  Reason    // why Unreachable is held; empty: it is not
	draining     bool
	notReady     time.Time
	failing      time.Time // since when none of its shards serves, and some failed
	serves       map[ShardID]bool
	fails        map[ShardID]bool
	deletionHeld time.Time // DeletePod is held: since when it would be due
	deleted      bool      // DeletePod was told
}

func (o Joined) observe(t *Tracker, now time.Time) {
	if t.members[o.Member] == nil {
		t.members[o.Member] = &member{
			id: o.Member, heard: now, serves: map[ShardID]bool{}, fails: map[ShardID]bool{},
		}
	}
}

func (o Left) observe(t *Tracker, now time.Time) {
	delete(t.members, o.Member)
	for _, s := range t.shards {
		if s.knownBy(o.Member) { // nobody does any more
			s.tries, s.stalled, s.first, s.due = 1, false, now, now
		}
		s.memberLeft(o.Member)
	}
}

func (o Pong) observe(t *Tracker, now time.Time) {
	m := t.members[o.Member]
	if m == nil {
		return
	}
	if m.state == dead || m.state == unreachable {
		t.tell(Verdict{Member: m.id, Kind: Recovered, Reason: HeardAgain, Since: now})
	}
	m.state, m.heard, m.refused, m.silenceHeld = alive, now, time.Time{}, ""
}

func (o Refused) observe(t *Tracker, now time.Time) {
	m := t.members[o.Member]
	switch {
	case m == nil || m.state == dead:
	case m.refused.IsZero():
		// The first one, or a redial that a Pong has overtaken. An unreachable
		// member stays so meanwhile.
		m.refused = now
		if m.state == alive {
			m.state = suspect
		}
		t.tell(Verdict{Member: m.id, Kind: Redial, Reason: ConnectionRefused, Since: now})
	case o.Redial:
		m.state, m.silenceHeld = dead, ""
		t.tell(Verdict{Member: m.id, Kind: Dead, Reason: ProcessDied, Since: m.refused})
		t.shardsMoveOn(m.id)
	}
}

func (o Drains) observe(t *Tracker, now time.Time) {
	if m := t.members[o.Member]; m != nil && !m.draining {
		m.draining = true
		t.tell(Verdict{Member: m.id, Kind: Draining, Reason: Reason(o.Cause), Since: now})
	}
}

// present: what a member says of its shards counts; one that was given up has lost
// them, until a Pong brings it back.
func (t *Tracker) present(id string) *member {
	if m := t.members[id]; m != nil && (m.state == alive || m.state == suspect) {
		return m
	}
	return nil
}

// restartClocks gives every member the whole timeout from now on, since the
// observer stood still. Members that were told to be unreachable stay so.
func (t *Tracker) restartClocks(now time.Time) {
	for _, m := range t.members {
		if m.state == alive || m.state == suspect {
			m.heard, m.silenceHeld = now, ""
		}
	}
}

// judgeSilence finds members that were silent for the timeout.
func (t *Tracker) judgeSilence(now time.Time) {
	silent := 0
	for _, m := range t.members {
		// What cuts several off at once shows at each by its last ping, which are up
		// to an interval apart.
		if m.state != dead && now.Sub(m.heard) >= t.settings.nearlySilent() {
			silent++
		}
	}
	most := 2*silent > t.living()
	for _, m := range t.sorted() {
		if m.state == unreachable || !t.silent(m, now) {
			continue
		}
		if most {
			if reason := t.storeObjects(m, now); reason != "" {
				t.holdSilence(m, reason)
				continue
			}
		}
		m.state, m.refused, m.silenceHeld = unreachable, time.Time{}, ""
		t.tell(Verdict{Member: m.id, Kind: Unreachable, Reason: Silent, Since: m.heard})
		t.shardsMoveOn(m.id)
	}
}

func (t *Tracker) silent(m *member, now time.Time) bool {
	return m.state != dead && now.Sub(m.heard) >= t.settings.Timeout
}

// storeObjects says why the store's heartbeats do not confirm a member's silence;
// empty: they do.
func (t *Tracker) storeObjects(m *member, now time.Time) Reason {
	known := now.Sub(t.agesAt)
	if t.agesAt.IsZero() || known >= t.settings.Timeout {
		return AwaitsStore
	}
	if age, ok := t.ages[m.id]; ok && age+known < t.settings.StoreTimeout {
		return StoreHearsIt
	}
	return ""
}

func (t *Tracker) holdSilence(m *member, reason Reason) {
	if m.silenceHeld != reason {
		m.silenceHeld = reason
		t.tell(Verdict{Member: m.id, Kind: Held, Reason: reason, Since: m.heard})
	}
}
