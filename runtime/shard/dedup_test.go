package shard_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

// remembered are commands on an open account whose answers have to last.
func remembered(r *rig) map[string]shard.Command {
	mismatch := r.command("a", "Touch", "")
	mismatch.Expect = shard.Expectation{Kind: shard.ExpectVersion, Version: 9}
	return map[string]shard.Command{
		"one event":         r.command("a", "Deposit", `{"amount":5}`),
		"several events":    r.command("a", "Split", `{"amount":5,"n":4}`),
		"a rejection":       r.command("a", "Withdraw", `{"amount":1000000}`),
		"an empty success":  r.command("a", "Touch", ""),
		"a failed If-Match": mismatch,
		"a failed apply":    r.command("a", "Overflow", ""),
		"a panic":           r.command("a", "Explode", ""),
	}
}

// wantSame compares an answer with its repeat.
func wantSame(t *testing.T, first, again result) {
	t.Helper()
	if (first.err == nil) != (again.err == nil) {
		t.Fatalf("first %v, then %v", first.err, again.err)
	}
	if first.err != nil {
		a, b := *problem.From(first.err), *problem.From(again.err)
		if !b.Replay {
			t.Error("the repeat is not marked as one")
		}
		a.Replay, b.Replay = false, false
		if diff := cmp.Diff(a, b); diff != "" {
			t.Errorf("the repeat differs:\n%s", diff)
		}
		return
	}
	if !again.answer.Replay {
		t.Error("the repeat is not marked as one")
	}
	again.answer.Replay = first.answer.Replay
	if diff := cmp.Diff(first.answer, again.answer, sameEvents); diff != "" {
		t.Errorf("the repeat differs:\n%s", diff)
	}
}

func TestARepeatGetsTheFirstAnswer(t *testing.T) {
	bigger := bank{unit: "cents", fee: 1}
	for between, f := range map[string]func(r *rig) *rig{
		"at once":                    func(r *rig) *rig { return r },
		"after the entity left":      func(r *rig) *rig { time.Sleep(3 * time.Minute); return r },
		"after a failover":           func(r *rig) *rig { return r.another() },
		"after a drain and reopen":   func(r *rig) *rig { wantNone(r.t, r.s.Drain(r.t.Context())); r.open(); return r },
		"after a changed definition": func(r *rig) *rig { r.def.Behavior = bigger; r.s.Define(r.def); synctest.Wait(); return r },
		"after a failover to another definition": func(r *rig) *rig {
			return r.another(define(func(d *shard.Definition) { d.Behavior = bigger }))
		},
		"after many other commands": func(r *rig) *rig {
			for range 300 {
				r.must("a", "Deposit", `{"amount":1}`)
			}
			return r
		},
		"after many other commands and a failover": func(r *rig) *rig {
			for range 300 {
				r.must("a", "Deposit", `{"amount":1}`)
			}
			time.Sleep(2 * time.Second)
			return r.another()
		},
	} {
		t.Run(between, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, limits(func(l *shard.Limits) { l.FeedEvents = 100 }))
				r.must("a", "Open", "")
				commands := remembered(r)
				firsts := make(map[string]result)
				for name, c := range commands {
					firsts[name] = r.send(c)
				}
				after := f(r)
				count := len(r.events("a"))
				for name, c := range commands {
					t.Log(name)
					wantSame(t, firsts[name], after.send(c))
				}
				if n := len(r.events("a")); n != count {
					t.Errorf("the repeats wrote %d events", n-count)
				}
			})
		})
	}
}

func TestARepeatOfAPendingCommandJoinsIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.must("a", "Open", "")
		g := r.gate()
		r.store.set(func() {
			r.store.append = func(_ []eventstore.Batch, next func() []eventstore.AppendResult) []eventstore.AppendResult {
				g.pass()
				return next()
			}
		})
		c := r.command("a", "Deposit", `{"amount":5}`)
		first := r.start(t.Context(), c)
		<-g.arrived
		second, third := r.start(t.Context(), c), r.start(t.Context(), c)
		synctest.Wait()
		g.open()
		wantNone(t, first.wait().err)
		wantSame(t, first.wait(), second.wait())
		wantSame(t, first.wait(), third.wait())
		if n := r.balance("a"); n != 5 {
			t.Errorf("balance %d, want 5", n)
		}
	})
}

func TestTheKeyIsLookedUpBeforeEverythingElse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.must("a", "Open", "")
		c := r.command("a", "Deposit", `{"amount":5}`)
		c.Expect = shard.Expectation{Kind: shard.ExpectVersion, Version: 1}
		first := r.send(c)
		wantNone(t, first.err)
		wantSame(t, first, r.send(c)) // the version is 2 by now

		reused := c
		reused.Body = []byte(`{"amount":-1}`)
		wantReason(t, r.send(reused).err, problem.KeyReused) // before the payload is looked at
		reused = c
		reused.Name = "Withdraw"
		wantReason(t, r.send(reused).err, problem.KeyReused)

		spelled := c
		spelled.Body = []byte(` {"amount" : 5.0} `)
		wantSame(t, first, r.send(spelled)) // the same value, written otherwise
	})
}

func TestTheChecksHaveAnOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		c := r.command("a", "Deposit", `{"amount":-1}`)
		c.Expect = shard.Expectation{Kind: shard.ExpectSome}
		wantReason(t, r.send(c).err, problem.CheckFailed) // payload before If-Match
		c.Body = []byte(`{"amount":1}`)                   // a payload error is not remembered
		if p := wantReason(t, r.send(c).err, problem.VersionMismatch); p.Version != 0 {
			t.Errorf("version %d", p.Version)
		}
		d := r.command("a", "Deposit", `{"amount":1}`)
		wantReason(t, r.send(d).err, "NotOpen")
		wantReason(t, r.send(r.command("a", "Nonsense", "")).err, problem.UnknownName)
	})
}

func TestIfMatch(t *testing.T) {
	for name, tt := range map[string]struct {
		expect shard.Expectation
		empty  bool
		ok     bool
	}{
		"the version it has":               {shard.Expectation{Kind: shard.ExpectVersion, Version: 1}, false, true},
		"another version":                  {shard.Expectation{Kind: shard.ExpectVersion, Version: 2}, false, false},
		"no events, and it has none":       {shard.Expectation{Kind: shard.ExpectVersion}, true, true},
		"no events, but it has some":       {shard.Expectation{Kind: shard.ExpectVersion}, false, false},
		"some events, and it has some":     {shard.Expectation{Kind: shard.ExpectSome}, false, true},
		"some events, but it has none":     {shard.Expectation{Kind: shard.ExpectSome}, true, false},
		"anything, and it has no events":   {shard.Expectation{}, true, true},
		"anything, and it has some events": {shard.Expectation{}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t)
				if !tt.empty {
					r.must("a", "Open", "")
				}
				c := r.command("a", "Touch", "")
				c.Expect = tt.expect
				err := r.send(c).err
				if tt.ok {
					wantNone(t, err)
				} else {
					wantReason(t, err, problem.VersionMismatch)
				}
			})
		})
	}
}

func TestAKeyIsForgottenAfterItsWindow(t *testing.T) {
	small := define(func(d *shard.Definition) { d.DedupCommands, d.DedupFor = 3, time.Minute })
	bubble(t, func(t *testing.T) {
		r := newRig(t, small)
		r.must("a", "Open", "")
		reject := r.command("a", "Withdraw", `{"amount":2}`)
		wantReason(t, r.send(reject).err, "InsufficientFunds")
		for range 10 {
			r.must("a", "Deposit", `{"amount":1}`)
		}
		wantReason(t, r.send(reject).err, "InsufficientFunds") // young enough
		time.Sleep(61 * time.Second)
		for range 4 {
			r.must("a", "Deposit", `{"amount":1}`)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := len(r.store.deleted); n != 1 {
			t.Errorf("%d outcome rows were deleted, want 1", n)
		}
		wantNone(t, r.send(reject).err) // new: it is decided on today's balance
		wantNone(t, r.another(small).send(reject).err)
		if n := len(r.events("a")); n != 16 {
			t.Errorf("%d events, want 16", n)
		}
	})
}

func TestIdsMadeAtTheDoorCountOnlyAmongTheLast(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, define(func(d *shard.Definition) { d.DedupCommands = 3 }))
		r.must("a", "Open", "")
		c := r.command("a", "Deposit", `{"amount":5}`)
		c.Keyed = false
		first := r.send(c)
		wantNone(t, first.err)
		wantSame(t, first, r.send(c))
		wantSame(t, first, r.another(define(func(d *shard.Definition) { d.DedupCommands = 3 })).send(c))
	})
}

// With nothing else between them in the log, two commands under one key follow
// each other like the events of one.
func TestAKeyThatIsUsedAgainAfterItsWindowIsAnotherCommand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, define(func(d *shard.Definition) { d.DedupCommands, d.DedupFor = 1, time.Minute }))
		r.must("a", "Open", "")
		c := r.command("a", "Deposit", `{"amount":1}`)
		r.send(c)
		r.send(r.command("a", "Withdraw", `{"amount":99}`)) // refused: it is remembered, and not in the log
		time.Sleep(2 * time.Minute)
		again := r.send(c)
		wantNone(t, again.err)
		if again.answer.Version != 3 || again.answer.Replay {
			t.Fatalf("got %+v; want a new event at version 3", again.answer)
		}
		wantSame(t, again, r.another(define(func(d *shard.Definition) { *d = r.def })).send(c))
	})
}
