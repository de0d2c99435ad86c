package liveness_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/leftfold/leftfold/controllers/liveness"
)

// model knows of each member what a reader of the protocol's table would note down.
type model struct {
	heard     map[string]time.Time // the last pong, or when it joined
	redialing map[string]bool      // a Redial was told, and not answered yet
	gone      map[string]bool      // told dead or unreachable
	dead      map[string]bool
	read      time.Time // when the store's heartbeats were
	last      time.Time
}

func newModel(names []string) *model {
	m := &model{heard: map[string]time.Time{}, redialing: map[string]bool{}, gone: map[string]bool{}, dead: map[string]bool{}}
	for _, name := range names {
		m.heard[name] = epoch
	}
	m.last = epoch
	return m
}

// silent counts members, of those not dead, that were silent for the timeout.
func (m *model) silent(now time.Time) (silent, living int) {
	for name, heard := range m.heard {
		if m.dead[name] {
			continue
		}
		living++
		if now.Sub(heard) >= 700*ms { // nearly counts
			silent++
		}
	}
	return silent, living
}

// anyStep draws observations of members, which are noted down, and says who is
// proven dead by them.
func (m *model) anyStep(t *rapid.T, names []string, now time.Time) (observations []liveness.Observation, died map[string]bool) {
	died = map[string]bool{}
	for range rapid.IntRange(0, 4).Draw(t, "observations") {
		name := rapid.SampledFrom(names).Draw(t, "member")
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0, 1:
			observations = append(observations, pong(name))
			m.heard[name] = now
			m.redialing[name], m.gone[name], m.dead[name] = false, false, false
			delete(died, name)
		case 2:
			observations = append(observations, refused(name))
			m.redialing[name] = m.redialing[name] || !m.dead[name]
		case 3:
			observations = append(observations, redialed(name))
			switch {
			case m.dead[name]:
			case m.redialing[name]:
				m.dead[name], m.gone[name], m.redialing[name], died[name] = true, true, false, true
			default:
				m.redialing[name] = true
			}
		case 4:
			ages := map[string]time.Duration{}
			for _, name := range names {
				ages[name] = time.Duration(rapid.IntRange(0, 5000).Draw(t, "age")) * ms
			}
			observations = append(observations, liveness.Heartbeats{Ages: ages})
			m.read = now
		case 5:
			observations = append(observations, liveness.Drains{Member: name, Cause: liveness.Announced})
		}
	}
	return observations, died
}

func TestVerdictsOnMembersFollowTheTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"a", "b", "c", "d", "e"}[:rapid.IntRange(1, 5).Draw(t, "members")]
		tracker, m := liveness.New(liveness.Settings{}), newModel(names)
		var joined []liveness.Observation
		for _, name := range names {
			joined = append(joined, liveness.Joined{Member: name})
		}
		tracker.Step(epoch, joined)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			gap := time.Duration(rapid.SampledFrom([]int{0, 50, 100, 200, 400, 500, 501, 2000}).Draw(t, "gap")) * ms
			now := m.last.Add(gap)
			observations, died := m.anyStep(t, names, now)
			late := gap > 500*ms
			if late {
				for name := range m.heard {
					if !m.gone[name] {
						m.heard[name] = now
					}
				}
			}
			silent, living := m.silent(now)
			told := map[string]liveness.Kind{}
			for _, v := range tracker.Step(now, observations) {
				switch v.Kind {
				case liveness.Dead:
					told[v.Member] = v.Kind
				case liveness.Unreachable:
					switch {
					case late:
						t.Fatalf("%+v in a step %v after the one before", v, gap)
					case now.Sub(m.heard[v.Member]) < second:
						t.Fatalf("%+v, heard %v ago", v, now.Sub(m.heard[v.Member]))
					case 2*silent > living && (m.read.IsZero() || now.Sub(m.read) >= second):
						t.Fatalf("%+v without the store, %d of %d silent", v, silent, living)
					case m.gone[v.Member]:
						t.Fatalf("%+v, told before", v)
					}
					m.gone[v.Member], m.redialing[v.Member] = true, false
				case liveness.Recovered:
					if m.heard[v.Member] != now {
						t.Fatalf("%+v, not heard", v)
					}
				}
			}
			for _, name := range names {
				// One that was heard after its death in the same step was dead too.
				if died[name] != (told[name] == liveness.Dead) && m.heard[name] != now {
					t.Fatalf("%s dead: got %t, want %t", name, told[name] == liveness.Dead, died[name])
				}
				silentNow := !m.dead[name] && now.Sub(m.heard[name]) >= second
				if silentNow && 2*silent <= living && !m.gone[name] {
					t.Fatalf("%s is silent for %v, %d of %d are, and no verdict", name, now.Sub(m.heard[name]), silent, living)
				}
			}
			m.last = now
		}
	})
}

func TestRestartsBackOffAndEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tracker := liveness.New(liveness.Settings{})
		now := epoch
		tracker.Step(now, []liveness.Observation{liveness.Joined{Member: "a"}, liveness.Joined{Member: "b"}})
		failures, lastFailure, pending := 0, epoch, false
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(1, 400).Draw(t, "gap")) * ms)
			observations := []liveness.Observation{pong("a"), pong("b")}
			if !pending && failures <= 5 && rapid.Bool().Draw(t, "fails") {
				observations = append(observations, failed(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "member"), first))
				failures, lastFailure, pending = failures+1, now, true
			}
			wait := time.Duration(0)
			if failures > 1 {
				wait = 250 * ms << (failures - 2)
			}
			due := pending && failures <= 5 && now.Sub(lastFailure) >= wait
			restarts, stalls := 0, 0
			for _, v := range tracker.Step(now, observations) {
				switch v.Kind {
				case liveness.RestartShard:
					restarts++
					if v.Try != failures {
						t.Fatalf("after %d failures: got try %d", failures, v.Try)
					}
				case liveness.StallShard:
					stalls++
				}
			}
			if (restarts == 1) != due || restarts > 1 {
				t.Fatalf("%v after failure %d: got %d restarts, due %t", now.Sub(lastFailure), failures, restarts, due)
			}
			if stall := pending && failures == 6; (stalls == 1) != stall {
				t.Fatalf("after %d failures: got %d stalls", failures, stalls)
			}
			pending = pending && !due && failures <= 5
		}
	})
}
