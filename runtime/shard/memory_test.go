package shard_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

// gauge adds up what an observer is told.
type gauge struct{ n chan int }

func newGauge() gauge { g := gauge{make(chan int, 1)}; g.n <- 0; return g }

func (g gauge) add(_ string, delta int) { g.n <- <-g.n + delta }
func (g gauge) value() int              { v := <-g.n; g.n <- v; return v }

func (g gauge) addBytes(_ string, delta int64) { g.add("", int(delta)) }

// refusals counts what an observer is told of them.
type refusals struct{ n chan map[problem.Limit]int }

func newRefusals() refusals {
	r := refusals{make(chan map[problem.Limit]int, 1)}
	r.n <- map[problem.Limit]int{}
	return r
}

func (r refusals) add(by problem.Limit) {
	n := <-r.n
	n[by]++
	r.n <- n
}

// want holds the refusals to these, and no others.
func (r refusals) want(t *testing.T, by problem.Limit, times int) {
	t.Helper()
	n := <-r.n
	if n[by] != times || len(n) != min(times, 1) {
		t.Errorf("told of refusals %v, want %d by %s", n, times, by)
	}
	r.n <- n
}

func TestAnIdleEntityLeavesMemory(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGauge()
		r := newRig(t, func(c *shard.Config, d *shard.Definition) {
			c.Observer.EntitiesLoaded = g.add
			d.PassivateAfter = 10 * time.Second
		})
		r.must("a", "Open", "")
		r.must("b", "Open", "")
		for range 6 {
			time.Sleep(5 * time.Second)
			r.must("b", "Deposit", `{"amount":1}`)
		}
		if n := g.value(); n != 1 {
			t.Errorf("%d entities in memory, want 1: a is idle, b is not", n)
		}
		r.must("a", "Deposit", `{"amount":1}`)
		if n := r.balance("a"); n != 1 {
			t.Errorf("balance %d, want 1", n)
		}
	})
}

func TestEntitiesLeaveMemoryUnderTheByteBudget(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g, bytes := newGauge(), newGauge()
		r := newRig(t, func(c *shard.Config, _ *shard.Definition) {
			c.Observer.EntitiesLoaded, c.Observer.EntityBytes = g.add, bytes.addBytes
			c.Limits.MemoryBytes = 100_000
		})
		for i := range 500 {
			r.must(fmt.Sprint("e", i), "Open", "")
		}
		synctest.Wait()
		if n := g.value(); n == 0 || n > 150 {
			t.Errorf("%d entities in memory, want some, and no more than fit", n)
		}
		if n := bytes.value(); n < 50_000 || n > 100_000 {
			t.Errorf("told of %d bytes in memory, want about 100000, and no more", n)
		}
		for i := range 500 {
			if got := r.must(fmt.Sprint("e", i), "Deposit", `{"amount":1}`); got.Version != 2 {
				t.Fatalf("version %d, want 2", got.Version)
			}
		}
		wantNone(t, r.host.Close(t.Context()))
		if n := bytes.value(); n != 0 {
			t.Errorf("told of %d bytes in memory of a host that is closed", n)
		}
	})
}

func TestABusyEntityStaysInMemory(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, limits(func(l *shard.Limits) { l.MemoryBytes = 1 }))
		r.must("a", "Open", "")
		g, _ := r.stall()
		first := r.start(t.Context(), r.command("a", "Deposit", `{"amount":1}`))
		synctest.Wait()
		time.Sleep(3 * time.Second)
		second := r.start(t.Context(), r.command("a", "Deposit", `{"amount":1}`))
		synctest.Wait()
		g.open()
		wantNone(t, first.wait().err)
		wantNone(t, second.wait().err)
		if v := second.wait().answer.Version; v != 3 {
			t.Errorf("version %d, want 3", v)
		}
		if epoch := r.s.Lease().Epoch; epoch != 1 {
			t.Errorf("epoch %d, want 1: the shard met a conflict with itself", epoch)
		}
	})
}

func TestSnapshotsHoldCommittedStateOnly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, define(func(d *shard.Definition) { d.SnapshotEvery = 2 }))
		r.must("a", "Open", "")
		time.Sleep(2 * time.Second)
		g, _ := r.stall()
		one := r.start(t.Context(), r.command("a", "Deposit", `{"amount":1}`))
		synctest.Wait()
		late := r.gate()
		r.store.set(func() {
			r.store.append = func(_ []eventstore.Batch, next func() []eventstore.AppendResult) []eventstore.AppendResult {
				out := next()
				late.pass()
				return out
			}
		})
		g.open()
		<-late.arrived
		two := r.start(t.Context(), r.command("a", "Deposit", `{"amount":1}`))
		synctest.Wait()
		late.open()
		wantNone(t, one.wait().err)
		wantNone(t, two.wait().err)
		synctest.Wait()
		if len(r.store.snapshots) == 0 {
			t.Fatal("no snapshot")
		}
		log := r.events("a")
		for _, s := range r.store.snapshots {
			e := log[s.Version-1]
			if s.Seq != e.Seq || s.Hash != e.Hash || !s.Time.Equal(e.Meta.Time) {
				t.Errorf("the snapshot at %d is not that of the event there", s.Version)
			}
			if want := fmt.Sprintf(`{"open":true,"balance":%d,"events":%d}`, s.Version-1, s.Version); string(s.State) != want {
				t.Errorf("state %s, want %s", s.State, want)
			}
		}
	})
}

func TestSnapshotsOfAnEntityAreRateLimited(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, define(func(d *shard.Definition) { d.SnapshotEvery = 1 }))
		r.must("a", "Open", "")
		for range 100 {
			r.must("a", "Deposit", `{"amount":1}`)
		}
		synctest.Wait()
		if n := len(r.store.snapshots); n > 2 {
			t.Errorf("%d snapshots in no time", n)
		}
	})
}

func TestSnapshotsThatWaitKeepNoMoreBytesThanTheyMay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const most, entities = 5000, 20
		bytes := newGauge()
		r := newRig(t, func(c *shard.Config, d *shard.Definition) {
			c.Limits.SnapshotBytes, c.Observer.SnapshotBytes = most, bytes.addBytes
			d.SnapshotEvery = 1
		})
		g := r.gate()
		r.store.set(func() { r.store.save = g.pass })
		for i := range entities {
			r.must(fmt.Sprint("e", i), "Open", "")
		}
		synctest.Wait()
		if n := bytes.value(); n < most/2 || n > most {
			t.Errorf("%d bytes wait to be written, want about %d, and no more", n, most)
		}
		g.open()
		synctest.Wait()
		first := len(r.store.snapshots)
		if first == 0 || first == entities {
			t.Errorf("%d snapshots were written of %d entities, want those that had room", first, entities)
		}
		// The others are asked for again.
		for i := range entities {
			time.Sleep(2 * time.Second)
			r.must(fmt.Sprint("e", i), "Deposit", `{"amount":1}`)
		}
		synctest.Wait()
		written := map[string]bool{}
		for _, s := range r.store.snapshots[first:] {
			written[s.Entity] = true
		}
		if len(written) != entities {
			t.Errorf("later %d of %d entities got a snapshot", len(written), entities)
		}
		if n := bytes.value(); n != 0 {
			t.Errorf("told of %d bytes when nothing waits", n)
		}
	})
}

func TestASnapshotThatIsLargerThanTheBytesIsWrittenAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, limits(func(l *shard.Limits) { l.SnapshotBytes = 1 }), define(func(d *shard.Definition) { d.SnapshotEvery = 1 }))
		r.must("a", "Open", "")
		synctest.Wait()
		if len(r.store.snapshots) != 1 {
			t.Errorf("%d snapshots, want 1", len(r.store.snapshots))
		}
	})
}

// A snapshot holds all keys that are remembered. With many of them, one every
// second would write the same ones over and over.
func TestSnapshotsCostNoMoreThanTheCommandsTheyRemember(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, define(func(d *shard.Definition) { d.SnapshotEvery, d.DedupCommands, d.DedupFor = 1, 1, time.Hour }))
		r.must("a", "Open", "")
		written := 0
		const commands = 500
		for range commands {
			time.Sleep(2 * time.Second)
			r.must("a", "Deposit", `{"amount":1}`)
		}
		synctest.Wait()
		for _, s := range r.store.snapshots {
			written += len(s.Window)
		}
		last := r.store.snapshots[len(r.store.snapshots)-1]
		if most := 6 * len(last.Window); written > most {
			t.Errorf("%d snapshots of %d commands wrote %d bytes of window, of which the last has %d; want at most %d",
				len(r.store.snapshots), commands, written, len(last.Window), most)
		}
	})
}

func TestALoadStartsAtTheSnapshotOnlyIfItFitsTheLog(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*eventstore.Snapshot)
		used   bool
	}{
		"it fits":                             {func(*eventstore.Snapshot) {}, true},
		"its hash is another event's":         {func(s *eventstore.Snapshot) { s.Hash[3] ^= 1 }, false},
		"its seq is another event's":          {func(s *eventstore.Snapshot) { s.Seq++ }, false},
		"it is beyond the log":                {func(s *eventstore.Snapshot) { s.Version += 10 }, false},
		"its state cannot be read":            {func(s *eventstore.Snapshot) { s.State = []byte("?") }, false},
		"its window cannot be read":           {func(s *eventstore.Snapshot) { s.Window = []byte{9} }, false},
		"another definition's fold made it":   {func(s *eventstore.Snapshot) { s.Behavior[0] ^= 1 }, false},
		"its window ends in the middle of it": {func(s *eventstore.Snapshot) { s.Window = s.Window[:len(s.Window)-3] }, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, define(func(d *shard.Definition) { d.SnapshotEvery = 3 }))
				r.must("a", "Open", "")
				r.must("a", "Deposit", `{"amount":5}`)
				last := r.command("a", "Deposit", `{"amount":6}`)
				first := r.send(last)
				synctest.Wait()
				if len(r.store.snapshots) != 1 {
					t.Fatalf("%d snapshots", len(r.store.snapshots))
				}
				snap := r.store.snapshots[0]
				// A state that only the snapshot can have brought.
				snap.State = []byte(`{"open":true,"balance":1000,"events":3}`)
				tt.change(&snap)
				other := rigOn(t, forged{r.store.Store, snap}, "host-c")
				want := int64(11)
				if tt.used {
					want = 1000
				}
				if n := other.balance("a"); n != want {
					t.Errorf("balance %d, want %d", n, want)
				}
				wantSame(t, first, other.send(last))
				if got := other.must("a", "Deposit", `{"amount":1}`); got.Version != 4 {
					t.Errorf("version %d, want 4", got.Version)
				}
			})
		})
	}
}

// forged serves the log with another snapshot than it has.
type forged struct {
	eventstore.Store
	snapshot eventstore.Snapshot
}

func (f forged) LoadEntity(ctx context.Context, a eventstore.AggregateID, entity string, limit int) (eventstore.Loading, error) {
	events, err := f.ReadEntity(ctx, a, entity, f.snapshot.Version-1, limit)
	return eventstore.Loading{Snapshot: f.snapshot, Events: events}, err
}

// A thousand busy entities are an ordinary load. Thrown out for their size they
// would be loaded again for every command.
func TestAThousandBusyEntitiesStayInMemory(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGauge()
		r := newRig(t, func(c *shard.Config, d *shard.Definition) {
			c.Observer.EntitiesLoaded = g.add
			d.SnapshotEvery = -1
		})
		const entities, rounds = 1000, 60
		for i := range entities {
			r.must(fmt.Sprint("e", i), "Open", "")
		}
		for range rounds {
			for i := range entities {
				r.must(fmt.Sprint("e", i), "Deposit", `{"amount":1}`)
			}
		}
		synctest.Wait()
		if n := g.value(); n != entities {
			t.Errorf("%d of %d are still in memory", n, entities)
		}
	})
}
