package liveness

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Tracker watches the members and shards of one runtime. Not for concurrent use.
type Tracker struct {
	settings Settings
	last     time.Time // the last step; zero before the first
	members  map[string]*member
	shards   map[ShardID]*shard

	ages   map[string]time.Duration
	agesAt time.Time // zero: the store's heartbeats were never read

	out []Verdict
}

// New makes a Tracker that knows nobody.
func New(settings Settings) *Tracker {
	return &Tracker{
		settings: settings.withDefaults(),
		members:  map[string]*member{},
		shards:   map[ShardID]*shard{},
	}
}

// Step takes what was observed since the last step, and tells what becomes true by
// it and by the time. To be called at least every Settings.Interval, and at once
// for anything but a Pong. Verdicts that observations call for come first, in their
// order; then those of time, members before shards, in order of their names.
func (t *Tracker) Step(now time.Time, observations []Observation) []Verdict {
	t.out = nil
	gap := now.Sub(t.last)
	late := !t.last.IsZero() && (gap > t.settings.LateStep || gap < 0)
	t.last = now
	for _, o := range observations {
		o.observe(t, now)
	}
	if late {
		t.restartClocks(now)
	}
	t.judgeSilence(now)
	t.judgePods(now)
	t.judgeShards(now)
	return t.out
}

// Held lists the verdicts that are held now, by member.
func (t *Tracker) Held() []Verdict {
	var held []Verdict
	for _, id := range slices.Sorted(maps.Keys(t.members)) {
		m := t.members[id]
		if m.silenceHeld != "" {
			held = append(held, Verdict{Member: id, Kind: Held, Reason: m.silenceHeld, Since: m.heard})
		}
		if !m.deletionHeld.IsZero() {
			held = append(held, Verdict{Member: id, Kind: Held, Reason: MostPodsFail, Since: m.deletionHeld})
		}
	}
	return held
}

func (t *Tracker) tell(v Verdict) { t.out = append(t.out, v) }

// sorted lists members in order of their names.
func (t *Tracker) sorted() []*member {
	return slices.SortedFunc(maps.Values(t.members), func(a, b *member) int { return cmp.Compare(a.id, b.id) })
}

// living counts the members that are not known to be dead, of which halves are
// taken.
func (t *Tracker) living() int {
	living := 0
	for _, m := range t.members {
		if m.state != dead {
			living++
		}
	}
	return living
}

func (o Heartbeats) observe(t *Tracker, now time.Time) {
	t.ages, t.agesAt = maps.Clone(o.Ages), now
}
