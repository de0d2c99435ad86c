package shard_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

// doors builds a command with an id that was made at the door.
func (r *rig) doors(name, body string) shard.Command {
	c := r.command("a", name, body)
	c.Keyed = false
	return c
}

func retried(c shard.Command) shard.Command {
	c.Retried = true
	return c
}

func TestARetryOfADoorsCommandDoesNotRunItTwice(t *testing.T) {
	const last = 8 // commands that the window remembers
	small := define(func(d *shard.Definition) { d.DedupCommands = last })
	busy := func(r *rig, n int) *rig {
		for range n {
			if out := r.send(r.doors("Deposit", `{"amount":1}`)); out.err != nil {
				r.t.Fatal(out.err)
			}
		}
		return r
	}
	for between, f := range map[string]func(r *rig) *rig{
		"at once":                                   func(r *rig) *rig { return r },
		"after a failover":                          func(r *rig) *rig { return r.another(small) },
		"after as many as the window remembers":     func(r *rig) *rig { return busy(r, last-1) },
		"after more":                                func(r *rig) *rig { return busy(r, last+1) },
		"after more than a page of the log":         func(r *rig) *rig { return busy(r, 1200) },
		"after a failover and more":                 func(r *rig) *rig { return busy(r.another(small), last+1) },
		"after more, and a failover to a snapshot":  func(r *rig) *rig { busy(r, 200); time.Sleep(2 * time.Second); return r.another(small) },
		"after more within all the time of a retry": func(r *rig) *rig { busy(r, last+1); time.Sleep(50 * time.Second); return r },
	} {
		t.Run(between, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, small)
				r.must("a", "Open", "")
				for range 3 { // so that the first attempt is not the beginning of the log
					r.must("a", "Deposit", `{"amount":1}`)
				}
				commands := []shard.Command{r.doors("Deposit", `{"amount":5}`), r.doors("Split", `{"amount":5,"n":4}`)}
				var firsts []result
				for _, c := range commands {
					firsts = append(firsts, r.send(c))
				}
				r = f(r)
				before := len(r.events("a"))
				for i, c := range commands {
					again := r.send(retried(c))
					wantSame(t, firsts[i], again)
				}
				if n := len(r.events("a")); n != before {
					t.Errorf("the retries wrote %d events", n-before)
				}
			})
		})
	}
}

func TestARetryRunsWhenTheFirstAttemptDidNot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, define(func(d *shard.Definition) { d.DedupCommands = 2 }))
		r.must("a", "Open", "")
		for range 10 {
			r.must("a", "Deposit", `{"amount":1}`)
		}
		if out := r.send(retried(r.doors("Deposit", `{"amount":5}`))); out.err != nil || out.answer.Replay {
			t.Errorf("answered %v, %v", out.answer, out.err)
		}
		if n := r.balance("a"); n != 15 {
			t.Errorf("balance %d, want 15", n)
		}
	})
}

func TestAFirstAttemptThatComesAfterItsRetryDoesNotRun(t *testing.T) {
	for after, f := range map[string]func(r *rig) *rig{
		"at once":          func(r *rig) *rig { return r },
		"after a failover": func(r *rig) *rig { return r.another() },
	} {
		t.Run(after, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t)
				r.must("a", "Open", "")
				late := r.doors("Withdraw", `{"amount":5}`)
				told := r.send(retried(late))
				if p := problem.From(told.err); told.err == nil || !p.Rejected {
					t.Fatalf("answered %v", told.err)
				}
				r.must("a", "Deposit", `{"amount":5}`)
				r = f(r)
				wantSame(t, told, r.send(late))
				if n := r.balance("a"); n != 5 {
					t.Errorf("balance %d, want 5: the caller was told that nothing was withdrawn", n)
				}
			})
		})
	}
}

func TestARetryThatCannotLookAtTheLogSaysSo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, define(func(d *shard.Definition) { d.DedupCommands = 2 }))
		r.must("a", "Open", "")
		first := r.doors("Deposit", `{"amount":5}`)
		wantNone(t, r.send(first).err)
		for range 5 {
			r.must("a", "Deposit", `{"amount":1}`)
		}
		r.store.set(func() {
			r.store.readEntity = func(string, func() ([]eventstore.Event, error)) ([]eventstore.Event, error) {
				return nil, eventstore.ErrNotAttempted
			}
		})
		before := r.types("a")
		wantReason(t, r.send(retried(first)).err, problem.OutcomeUnknown)
		if diff := cmp.Diff(before, r.types("a")); diff != "" {
			t.Errorf("it wrote all the same:\n%s", diff)
		}
	})
}

func TestAFirstAttemptCostsNoLookAtTheLog(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, define(func(d *shard.Definition) { d.DedupCommands = 2 }))
		r.must("a", "Open", "")
		var before int
		r.store.set(func() { before = r.store.entityReads })
		for range 20 {
			wantNone(t, r.send(r.doors("Deposit", `{"amount":1}`)).err)
		}
		r.store.set(func() {
			if n := r.store.entityReads - before; n != 0 {
				t.Errorf("the log was read %d times", n)
			}
		})
	})
}
