package liveness

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// shard is what is known of one that has failed. The zero time means: not so.
type shard struct {
	id        ShardID
	tries     int       // restarts in a row, with the one that is due
	first     time.Time // the first failure in the row
	due       time.Time // when the restart is to be told
	servedBy  string    // who serves it again; empty: nobody
	served    time.Time // since when
	stalled   bool
	failedOn  map[string]bool
	last      ShardFailed
	elsewhere bool // where it failed last is no place to restart it
}

func (o ShardFailed) observe(t *Tracker, now time.Time) {
	m := t.present(o.Member)
	if m == nil {
		return
	}
	if o.Cause != WentBack { // that is no fault of the pod's, and it may be the only one that knows
		m.shardFailed(o.Shard, now)
	}
	s := t.shards[o.Shard]
	if s == nil {
		s = &shard{id: o.Shard, first: now, failedOn: map[string]bool{}}
		t.shards[o.Shard] = s
	}
	switch {
	case s.stalled, !s.due.IsZero():
		return // told before
	case s.servedBy != "" && s.servedBy != o.Member:
		return // of the past: another has it
	}
	s.last, s.servedBy, s.elsewhere = o, "", s.failedOn[o.Member]
	s.failedOn[o.Member] = true
	if o.Cause == WentBack {
		s.stalled = true
		t.tell(s.verdict(StallShard, StoreWentBack, s.tries))
		return
	}
	s.tries++
	if s.tries > t.settings.MaxRestarts {
		s.stalled = true
		t.tell(s.verdict(StallShard, RestartsExhausted, t.settings.MaxRestarts))
		return
	}
	s.due = now.Add(t.settings.backoff(s.tries))
}

// backoff before a restart: none before the first.
func (s Settings) backoff(try int) time.Duration {
	if try <= 1 {
		return 0
	}
	wait := s.Backoff
	for range try - 2 {
		if wait *= 2; wait >= s.MaxBackoff {
			break
		}
	}
	return min(wait, s.MaxBackoff)
}

func (o ShardServed) observe(t *Tracker, now time.Time) {
	m := t.present(o.Member)
	if m == nil {
		return
	}
	m.shardServed(o.Shard)
	s := t.shards[o.Shard]
	if s == nil {
		return
	}
	if s.servedBy == "" {
		s.served = now
	}
	s.servedBy, s.due, s.stalled = o.Member, time.Time{}, false
}

func (o ShardReleased) observe(t *Tracker, _ time.Time) {
	if m := t.members[o.Member]; m != nil {
		delete(m.serves, o.Shard)
		delete(m.fails, o.Shard)
	}
	if s := t.shards[o.Shard]; s != nil && s.servedBy == o.Member {
		s.servedBy = ""
	}
}

func (o Retry) observe(t *Tracker, now time.Time) {
	s := t.shards[o.Shard]
	switch {
	case s == nil, s.knownBy(s.last.Member) && t.present(s.last.Member) == nil:
	case s.servedBy == "" && (s.stalled || !s.due.IsZero()):
		s.tries, s.stalled, s.first, s.due = 1, false, now, now
		s.elsewhere = t.present(s.last.Member) == nil
		clear(s.failedOn)
	default:
		delete(t.shards, o.Shard)
	}
}

// knownBy: the shard waits for a person, since the member knows that events are gone.
func (s *shard) knownBy(member string) bool {
	return s.stalled && s.last.Cause == WentBack && s.last.Member == member
}

// shardsMoveOn: a member is given up, so no restart happens there.
func (t *Tracker) shardsMoveOn(id string) {
	for _, s := range t.shards {
		s.memberLeft(id)
	}
	clear(t.members[id].serves)
	clear(t.members[id].fails)
	t.members[id].failing = time.Time{}
}

func (s *shard) memberLeft(id string) {
	if s.last.Member == id {
		s.elsewhere = true
	}
	if s.servedBy == id {
		s.servedBy = ""
	}
}

// judgeShards tells restarts whose time has come, and forgets what is long past.
func (t *Tracker) judgeShards(now time.Time) {
	for _, s := range slices.SortedFunc(maps.Values(t.shards), compareShards) {
		switch {
		case !s.due.IsZero() && !now.Before(s.due):
			s.due = time.Time{}
			t.tell(s.verdict(RestartShard, ShardHasFailed, s.tries))
		case s.servedBy != "" && now.Sub(s.served) >= t.settings.Forgive:
			delete(t.shards, s.id)
		}
	}
}

func compareShards(a, b *shard) int {
	return cmp.Or(cmp.Compare(a.id.Aggregate, b.id.Aggregate), cmp.Compare(a.id.Number, b.id.Number))
}

func (s *shard) verdict(kind Kind, reason Reason, try int) Verdict {
	v := Verdict{
		Member: s.last.Member, Kind: kind, Reason: reason, Since: s.first,
		Shard: s.id, Try: try, Avoid: slices.Sorted(maps.Keys(s.failedOn)),
		Cause: s.last.Cause, Detail: s.last.Detail,
	}
	if kind == RestartShard {
		if v.Place = SamePod; s.elsewhere {
			v.Place = AnotherPod
		}
	}
	return v
}
