package server_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
	"github.com/leftfold/leftfold/runtime/control/controltest"
	"github.com/leftfold/leftfold/runtime/server"
)

func TestAPodServesWhatItIsGrantedAndNothingElse(t *testing.T) {
	onEachStore(t, func(t *testing.T, p place) {
		r := newFleet(t, p).start(t, probe(t))
		o := r.operator(t)
		if got := r.states(t); got["unowned"] != probeShards {
			t.Fatalf("before any grant the shards are %v", got)
		}
		o.Grant("probe", 2, 0)
		if got := o.Shard("probe", 2, serving); got.GetEpoch() != 1 || got.GetOrphan() {
			t.Errorf("the granted shard is reported as %v", got)
		}
		if got := r.states(t); got["serving"] != 1 || got["unowned"] != probeShards-1 {
			t.Errorf("after one grant the shards are %v", got)
		}
		grantAll(o)
		for i := range 8 {
			r.add(t, fmt.Sprintf("e-%d", i))
		}
		position := r.add(t, "e-1").str(t, "position")
		if a := r.ok(t, get("/v1/projections/counts/e-1?wait=10s&after="+position)); a.at("row", "count") != "2" {
			t.Errorf("the row is %s", a.text)
		}
	})
}

func TestAGrantFromAnotherEpochIsRefusedWithTheStoresRow(t *testing.T) {
	f := newFleet(t, postgresPlace(t))
	first, second := f.start(t, probe(t)), f.start(t, probe(t))
	a, b := first.operator(t), second.operator(t)
	a.Grant("probe", 0, 0)
	a.Shard("probe", 0, serving)
	b.Grant("probe", 0, 0)
	got := b.Shard("probe", 0, refused)
	if got.GetEpoch() != 1 || got.GetOwner() != first.Incarnation() || got.GetAddress() != first.RPCAddress() {
		t.Errorf("the refusal tells of %v", got)
	}
	// From the right epoch the shard is taken, and its owner finds out.
	b.Grant("probe", 0, 1)
	if got := b.Shard("probe", 0, serving); got.GetEpoch() != 2 {
		t.Errorf("the takeover is reported as %v", got)
	}
	if got := a.Shard("probe", 0, released); got.GetEpoch() != 1 {
		t.Errorf("its owner before reports %v", got)
	}
}

func TestAGrantOfWhatIsServedRestartsItOrChangesNothing(t *testing.T) {
	onEachStore(t, func(t *testing.T, p place) {
		r := newFleet(t, p).start(t, probe(t))
		o := r.operator(t)
		grantAll(o)
		r.add(t, "e-1")
		o.Grant("probe", 1, 0) // heard twice
		o.Ping(1)
		o.Grant("probe", 1, 1) // a restart
		o.Until("the restarted shard", func(s *controltest.Seen) bool {
			got := s.Shards[shardName(1)]
			return got.GetState() == serving && got.GetEpoch() == 2
		})
		for _, got := range o.Seen().History {
			if s := got.GetState(); s == released || s == refused || s == failed {
				t.Errorf("the restart was told as %v", got)
			}
		}
		r.add(t, "e-1")
		if got := r.ok(t, get(probePath("e-1"))); got.at("version") != "2" {
			t.Errorf("after the restart: %s", got.text)
		}
	})
}

func TestAReleasedShardIsGivenUpWithItsEpochOnly(t *testing.T) {
	onEachStore(t, func(t *testing.T, p place) {
		r := newFleet(t, p).start(t, probe(t), func(c *server.ManagedConfig) { c.HoldFor = 200 * time.Millisecond })
		o := r.operator(t)
		grantAll(o)
		before := len(o.Seen().History)
		o.Release("probe", 3, 7)
		o.Until("an answer", func(s *controltest.Seen) bool { return len(s.History) > before })
		if got := o.Seen().Shards[shardName(3)]; got.GetState() != serving || got.GetEpoch() != 1 {
			t.Errorf("a release of another epoch led to %v", got)
		}
		o.Release("probe", 3, 1)
		if got := o.Shard("probe", 3, released); got.GetEpoch() != 1 {
			t.Errorf("the release is told as %v", got)
		}
		if got := r.states(t); got["unowned"] != 1 {
			t.Errorf("after the release the shards are %v", got)
		}
		for _, s := range o.Survey().GetShards() {
			if s.GetShard().GetNumber() == 3 && (s.GetOwner() != "" || s.GetEpoch() != 1) {
				t.Errorf("the store has %v", s)
			}
		}
		o.Release("probe", 3, 1) // asked again
		o.Until("an answer to the release asked again", func(s *controltest.Seen) bool {
			n := 0
			for _, got := range s.History {
				if got.GetState() == released {
					n++
				}
			}
			return n == 2
		})
	})
}

func TestAGrantThatCannotBeCarriedOutTellsWhy(t *testing.T) {
	r := newFleet(t, postgresPlace(t)).start(t, probe(t))
	o := r.operator(t)
	o.Grant("probe", probeShards, 0)
	got := o.Shard("probe", probeShards, failed)
	if !strings.Contains(got.GetDetail(), "has 4 shards") {
		t.Errorf("a shard beyond the last: %v", got)
	}
	o.Grant("nothing", 0, 0)
	if got := o.Shard("nothing", 0, failed); !strings.Contains(got.GetDetail(), "nothing") {
		t.Errorf("an aggregate that is not there: %v", got)
	}
}

func TestASurveyTellsWhatTheStoreKnows(t *testing.T) {
	onEachStore(t, func(t *testing.T, p place) {
		r := newFleet(t, p).start(t, probe(t))
		o := r.operator(t)
		grantAll(o)
		position := r.add(t, "e-1").str(t, "position")
		r.ok(t, get("/v1/projections/counts/e-1?wait=10s&after="+position))
		survey := o.Survey()
		if survey.GetError() != "" || len(survey.GetShards()) != probeShards {
			t.Fatalf("the survey is %v", survey)
		}
		first, last := int32(0), int32(-1)
		for number, s := range survey.GetShards() {
			if s.GetShard().GetNumber() != int32(number) || s.GetFirstSlot() != last+1 || s.GetLastSlot() < s.GetFirstSlot() {
				t.Errorf("shard %d: %v", number, s)
			}
			if s.GetOwner() != r.Incarnation() || s.GetAddress() != r.RPCAddress() || s.GetEpoch() != 1 {
				t.Errorf("shard %d: %v", number, s)
			}
			last = s.GetLastSlot()
		}
		if first != 0 || last != 65535 {
			t.Errorf("the slots end at %d", last)
		}
		if m := survey.GetMembers(); len(m) != 1 || m[0].GetIncarnation() != r.Incarnation() || m[0].GetAge().AsDuration() > time.Second {
			t.Errorf("the members are %v", m)
		}
		var counts *leftfoldv1.SurveyedProjection
		for _, s := range survey.GetProjections() {
			if s.GetName() == "counts" {
				counts = s
			}
		}
		if counts.GetTable() == "" || counts.GetPosition() == "" || counts.GetLagEvents() != 0 || counts.GetPaused() || counts.GetRebuilding() || counts.GetQuarantined() != 0 {
			t.Errorf("the projection is %v", counts)
		}
	})
}

func TestADeletedAggregateIsServedNoMoreAndServedAgainWhenItIsMadeAgain(t *testing.T) {
	r := newFleet(t, postgresPlace(t)).start(t, probe(t))
	o := r.operator(t)
	grantAll(o)
	r.add(t, "e-1")
	without := probe(t)
	delete(without.Aggregates, "probe")
	without.Projections = nil
	if err := r.Apply(t.Context(), without); err != nil {
		t.Fatal(err)
	}
	o.Until("all shards to be given up", func(s *controltest.Seen) bool { return count(s, released) == probeShards })
	if a := r.do(t, get(probePath("e-1"))); a.status != 404 {
		t.Errorf("the deleted aggregate answers %d %s", a.status, a.text)
	}
	if got := o.Survey().GetShards(); len(got) != 0 {
		t.Errorf("the survey still has %v", got)
	}
	if err := r.Apply(t.Context(), probe(t)); err != nil {
		t.Fatal(err)
	}
	grantAll(o)
	if a := r.add(t, "e-1"); a.at("version") != "2" {
		t.Errorf("made again it goes on at %v", a.at("version"))
	}
}

func TestAPodIsReadyOnceItHasSeenDefinitionsAndUntilItDrains(t *testing.T) {
	r := newFleet(t, postgresPlace(t)).start(t, nil)
	o := r.operator(t)
	ready := func() bool {
		before := len(o.Seen().Pongs)
		seen := o.Until("a pong", func(s *controltest.Seen) bool { return len(s.Pongs) > before+1 })
		got := seen.Pongs[len(seen.Pongs)-1].GetReady()
		code, _ := r.opsGet(t, "/readyz")
		if got != (code == 200) {
			t.Errorf("the pong says %t, /readyz %d", got, code)
		}
		return got
	}
	if ready() {
		t.Error("ready before it has seen definitions")
	}
	if err := r.Apply(t.Context(), probe(t)); err != nil {
		t.Fatal(err)
	}
	if !ready() {
		t.Error("not ready after it has")
	}
	o.Drain()
	o.Until("the draining", func(s *controltest.Seen) bool { return s.Draining })
	if ready() {
		t.Error("ready while it drains")
	}
	o.Grant("probe", 0, 0)
	if got := o.Shard("probe", 0, refused); got.GetEpoch() != 0 {
		t.Errorf("a grant to a pod that drains: %v", got)
	}
}
