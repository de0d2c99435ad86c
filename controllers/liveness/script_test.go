package liveness_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leftfold/leftfold/controllers/liveness"
)

const (
	ms     = time.Millisecond
	second = time.Second
)

var (
	epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	first = liveness.ShardID{Aggregate: "account", Number: 1}
	next  = liveness.ShardID{Aggregate: "account", Number: 2}
)

// watch is a tracker with a clock that ticks on time.
type watch struct {
	*testing.T
	tracker *liveness.Tracker
	now     time.Time
	quiet   map[string]bool // members that do not answer pings
	members []string
	ages    map[string]time.Duration // what the store says at every tick; nil: it is not read
}

// watching joins members that answer every ping.
func watching(t *testing.T, members ...string) *watch {
	t.Helper()
	w := &watch{T: t, tracker: liveness.New(liveness.Settings{}), now: epoch, members: members, quiet: map[string]bool{}}
	var joined []liveness.Observation
	for _, m := range members {
		joined = append(joined, liveness.Joined{Member: m})
	}
	w.sees(joined...)
	return w
}

// silence makes members answer no more pings.
func (w *watch) silence(members ...string) {
	for _, m := range members {
		w.quiet[m] = true
	}
}

// sees is a step at the current time.
func (w *watch) sees(observations ...liveness.Observation) []string {
	return told(w.tracker.Step(w.now, observations))
}

// wants fails unless the verdicts are these, as told writes them.
func (w *watch) wants(got []string, want ...string) {
	w.Helper()
	if diff := cmp.Diff(append([]string{}, want...), append([]string{}, got...)); diff != "" {
		w.Fatalf("after %v (-want +got):\n%s", w.now.Sub(epoch), diff)
	}
}

// pass lets time pass, with a tick every 100 ms in which members answer.
func (w *watch) pass(d time.Duration) (got []string) {
	for end := w.now.Add(d); w.now.Before(end); {
		w.now = w.now.Add(100 * ms)
		var observations []liveness.Observation
		for _, m := range w.members {
			if !w.quiet[m] {
				observations = append(observations, liveness.Pong{Member: m})
			}
		}
		if w.ages != nil {
			observations = append(observations, liveness.Heartbeats{Ages: w.ages})
		}
		got = append(got, told(w.tracker.Step(w.now, observations))...)
	}
	return got
}

// told writes verdicts as "member Kind Reason since", and those of shards as
// "member/shard Kind Reason since Place #try avoid".
func told(verdicts []liveness.Verdict) []string {
	var lines []string
	for _, v := range verdicts {
		who := v.Member
		if v.Shard != (liveness.ShardID{}) {
			who = fmt.Sprintf("%s/%s-%d", v.Member, v.Shard.Aggregate, v.Shard.Number)
		}
		line := fmt.Sprintf("%s %s %s %v", who, v.Kind, v.Reason, v.Since.Sub(epoch))
		if v.Try > 0 {
			line += fmt.Sprintf(" %s#%d %v", v.Place, v.Try, v.Avoid)
		}
		lines = append(lines, line)
	}
	return lines
}

func refused(m string) liveness.Observation  { return liveness.Refused{Member: m} }
func redialed(m string) liveness.Observation { return liveness.Refused{Member: m, Redial: true} }
func pong(m string) liveness.Observation     { return liveness.Pong{Member: m} }

func failed(m string, s liveness.ShardID) liveness.Observation {
	return liveness.ShardFailed{Member: m, Shard: s, Cause: liveness.Panicked, Detail: "index out of range"}
}

func served(m string, s liveness.ShardID) liveness.Observation {
	return liveness.ShardServed{Member: m, Shard: s}
}
