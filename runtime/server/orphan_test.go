package server_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/leftfold/leftfold/runtime/control/controltest"
	"github.com/leftfold/leftfold/runtime/server"
)

// serves waits until a pod serves so many shards, and tells how long that took.
func (r *managedRig) serves(t *testing.T, shards int) time.Duration {
	t.Helper()
	begun := time.Now()
	eventually(t, func() string {
		if got := r.states(t); got["serving"] != shards {
			return fmt.Sprintf("%s serves %v", r.uid, got)
		}
		return ""
	})
	return time.Since(begun)
}

func TestPodsThatNeverHeardAnOperatorShareTheShards(t *testing.T) {
	t.Parallel()
	f := newFleet(t, postgresPlace(t))
	pods := []*managedRig{f.start(t, probe(t), brisk), f.start(t, probe(t), brisk)}
	eventually(t, func() string {
		a, b := pods[0].states(t), pods[1].states(t)
		if a["serving"]+b["serving"] != probeShards || a["unowned"] != 0 {
			return fmt.Sprintf("the pods serve %v and %v", a, b)
		}
		return ""
	})
	// The leader that comes learns it all.
	for _, r := range pods {
		want := r.states(t)["serving"]
		o := r.operator(t)
		seen := o.Until("the shards", func(s *controltest.Seen) bool { return count(s, serving) == want })
		for _, s := range seen.Shards {
			if !s.GetOrphan() {
				t.Errorf("a shard that was taken without an operator is reported as %v", s)
			}
		}
	}
	r := pods[0]
	if r.states(t)["serving"] > 0 && r.metric(t, `leftfold_failovers_total{reason="Orphaned"}`) == "" {
		t.Error("failovers_total does not tell of orphans")
	}
}

func TestAnEmbeddedStoresPodTakesAllShardsWithoutAnOperator(t *testing.T) {
	t.Parallel()
	f := newFleet(t, sqlitePlace(t))
	r := f.start(t, probe(t), brisk)
	r.serves(t, probeShards)
	r.add(t, "e-1")
	r.end(t, r.Stop)
	again := f.start(t, probe(t), brisk)
	again.serves(t, probeShards)
	if a := again.add(t, "e-1"); a.at("version") != "2" {
		t.Errorf("after a restart: %s", a.text)
	}
}

func TestShardsOfADeadPodAreTakenWhenNoOperatorIsThere(t *testing.T) {
	t.Parallel()
	f := newFleet(t, postgresPlace(t))
	first, second := f.start(t, probe(t), brisk), f.start(t, probe(t), brisk)
	a, b := first.operator(t), second.operator(t)
	grantAll(a)
	first.add(t, "e-1")
	// The operator goes, and then, while it is away, the pod's process does.
	a.Close()
	b.Close()
	lost := time.Now()
	first.Crash()
	took := second.serves(t, probeShards)
	t.Logf("all shards are served again %s after pod and operator were lost", took.Round(time.Millisecond))
	if limit := 500*time.Millisecond + 3*time.Second; time.Since(lost) > limit+time.Second {
		t.Errorf("it took %s, longer than the heartbeat timeout and three seconds", time.Since(lost))
	}
	if got := second.add(t, "e-1"); got.at("version") != "2" {
		t.Errorf("after the takeover: %s", got.text)
	}
	if got := second.metric(t, `leftfold_failovers_total{reason="Orphaned"}`); got != itoa(probeShards) {
		t.Errorf("failovers_total is %q", got)
	}
}

func TestNobodyTakesShardsWhileAnOperatorIsHeard(t *testing.T) {
	t.Parallel()
	f := newFleet(t, postgresPlace(t))
	first, second := f.start(t, probe(t), brisk), f.start(t, probe(t), brisk)
	a, b := first.operator(t), second.operator(t)
	grantAll(a)
	first.Crash()
	// Long enough for a pod without an operator to have taken them twice.
	for until := time.Now().Add(6 * time.Second); time.Now().Before(until); {
		b.Survey()
		if got := second.states(t); got["serving"] != 0 {
			t.Fatalf("shards were taken though an operator is heard: %v", got)
		}
	}
	grantAll(b) // who decides it
}

func TestALivingOwnersShardsAreLeftToIt(t *testing.T) {
	t.Parallel()
	f := newFleet(t, postgresPlace(t))
	// A machine that is busy with other things must not pass for a dead owner.
	calm := func(c *server.ManagedConfig) { c.HeartbeatTimeout = 2 * time.Second }
	first := f.start(t, probe(t), calm)
	grantAll(first.operator(t))
	epochs := first.epochs(t)
	second := f.start(t, probe(t), calm)
	// The second hears no operator at all, and has long enough to act.
	for until := time.Now().Add(8 * time.Second); time.Now().Before(until); {
		second.states(t)
		first.add(t, "e-1")
	}
	if got := first.epochs(t); got != epochs {
		t.Errorf("the epochs went from %s to %s", epochs, got)
	}
}
