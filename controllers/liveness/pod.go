package liveness

import "time"

func (o Readiness) observe(t *Tracker, now time.Time) {
	m := t.members[o.Member]
	switch {
	case m == nil:
	case o.Ready:
		m.notReady = time.Time{}
	case m.notReady.IsZero():
		m.notReady = now
	}
}

// judgePods finds pods that do not help themselves. When most are like that the
// cause is elsewhere (the database, the node's disk, a definition), and deleting
// them would only add restarts to it. One that drains is on its way already.
func (t *Tracker) judgePods(now time.Time) {
	hopeless := 0
	for _, m := range t.members {
		if reason, _ := t.hopeless(m, now); reason != "" && m.state != dead {
			hopeless++
		}
	}
	living := t.living()
	most := living > 1 && 2*hopeless > living
	for _, m := range t.sorted() {
		reason, since := t.hopeless(m, now)
		held := reason != "" && !m.draining && !m.deleted && most && m.state != dead
		switch {
		case reason == "":
			m.deleted = false
		case m.draining || m.deleted:
		case held && m.deletionHeld.IsZero():
			t.tell(Verdict{Member: m.id, Kind: Held, Reason: MostPodsFail, Since: since})
		case !held:
			m.deleted = true
			t.tell(Verdict{Member: m.id, Kind: DeletePod, Reason: reason, Since: since})
		}
		if m.deletionHeld = (time.Time{}); held {
			m.deletionHeld = since
		}
	}
}

// hopeless says why a pod should be deleted, and since when; empty: it should not.
func (t *Tracker) hopeless(m *member, now time.Time) (reason Reason, since time.Time) {
	switch {
	case !m.notReady.IsZero() && now.Sub(m.notReady) >= t.settings.NotReady:
		return NotReadyForLong, m.notReady
	case !m.failing.IsZero() && now.Sub(m.failing) >= t.settings.Failing:
		return AllShardsFail, m.failing
	default:
		return "", time.Time{}
	}
}

// shardFailed notes since when all shards of a member fail. One alone proves
// nothing against the pod: that shard fails elsewhere too, or it is cured there.
func (m *member) shardFailed(id ShardID, now time.Time) {
	delete(m.serves, id)
	m.fails[id] = true
	if m.failing.IsZero() && len(m.serves) == 0 && len(m.fails) > 1 {
		m.failing = now
	}
}

func (m *member) shardServed(id ShardID) {
	m.serves[id] = true
	delete(m.fails, id)
	m.failing = time.Time{}
}
