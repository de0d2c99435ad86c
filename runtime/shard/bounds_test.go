package shard_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

func TestACommandMayWriteSoManyBytesAndNoMore(t *testing.T) {
	const most = 5 << 20
	bubble(t, func(t *testing.T) {
		told := newRefusals()
		r := newRig(t, func(c *shard.Config, _ *shard.Definition) { c.Observer.Refused = told.add })
		if a := r.must("a", "Bloat", fmt.Sprintf(`{"n":%d}`, most)); len(a.Events) != 1 || len(a.Events[0].Data) != most {
			t.Errorf("%d events, want one of %d bytes", len(a.Events), most)
		}
		over := r.command("a", "Bloat", fmt.Sprintf(`{"n":%d}`, most+1))
		wantReason(t, r.send(over).err, problem.BehaviorFailed)
		told.want(t, problem.LimitEventBytes, 1)
		// The same answer again is a remembered one, and met no limit.
		wantReason(t, r.send(over).err, problem.BehaviorFailed)
		told.want(t, problem.LimitEventBytes, 1)
		if n := len(r.events("a")); n != 1 {
			t.Errorf("%d events are stored, want 1", n)
		}
	})
}

// A page of a load ends at its bytes, which is not the end of the entity.
func TestALoadReadsLargeEventsInPagesAndMissesNone(t *testing.T) {
	const size, events = 300_000, 30
	for name, every := range map[string]int{"from the first event": -1, "from a snapshot": 7} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, define(func(d *shard.Definition) { d.SnapshotEvery = every }))
				for range events {
					r.must("a", "Bloat", fmt.Sprintf(`{"n":%d}`, size))
					time.Sleep(2 * time.Second)
				}
				pages, largest := 0, 0
				other := r.another(define(func(d *shard.Definition) { d.SnapshotEvery = -1 }))
				other.store.set(func() {
					other.store.readEntity = func(_ string, next func() ([]eventstore.Event, error)) ([]eventstore.Event, error) {
						page, err := next()
						pages, largest = pages+1, max(largest, eventstore.DataBytes(page))
						return page, err
					}
				})
				if a := other.must("a", "Open", ""); a.Version != events+1 {
					t.Errorf("the next event has version %d, want %d", a.Version, events+1)
				}
				if largest > 1<<20+size || every < 0 && pages != 8 {
					t.Errorf("%d pages of up to %d bytes", pages, largest)
				}
				for version := int64(1); version <= events+1; version++ {
					v, err := other.s.At(t.Context(), "a", version)
					if err != nil || v.Version != version {
						t.Errorf("at version %d: version %d, %v", version, v.Version, err)
					}
				}
			})
		})
	}
}

// What gathers while a batch is in flight is a batch of its own, and no larger than
// a batch may be; what is decided last may pass its events and bytes.
func TestABatchIsBounded(t *testing.T) {
	for name, tt := range map[string]struct {
		limit           func(*shard.Limits)
		body            string
		command         string
		commands, bytes int
		events          int
	}{
		"in commands": {func(l *shard.Limits) { l.BatchCommands = 4 }, `{"amount":1}`, "Deposit", 4, 1 << 20, 4},
		"in events":   {func(l *shard.Limits) { l.BatchEvents = 7 }, `{"amount":1,"n":3}`, "Split", 3, 1 << 20, 9},
		"in bytes":    {func(l *shard.Limits) { l.BatchBytes = 2500 }, `{"n":1000}`, "Bloat", 3, 3000, 3},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				largest := 0
				r := newRig(t, limits(tt.limit), func(c *shard.Config, _ *shard.Definition) {
					c.Observer.CommitDone = func(_ string, _ time.Duration, events int) { largest = max(largest, events) }
				})
				r.must("a", "Open", "")
				g, _ := r.stall()
				var calls []call
				for range 20 {
					calls = append(calls, r.start(t.Context(), r.command("a", tt.command, tt.body)))
				}
				synctest.Wait()
				g.open()
				for _, c := range calls {
					wantNone(t, c.wait().err)
				}
				synctest.Wait()
				reached := false
				for _, b := range r.store.batches {
					ids, bytes := map[string]bool{}, 0
					for _, e := range b.Events {
						ids[e.CommandID] = true
						bytes += len(e.Data)
					}
					reached = reached || len(ids) == tt.commands
					if len(ids) > tt.commands || len(b.Events) > tt.events || bytes > tt.bytes {
						t.Errorf("a batch of %d commands, %d events and %d bytes", len(ids), len(b.Events), bytes)
					}
				}
				if !reached {
					t.Errorf("no batch had %d commands", tt.commands)
				}
				if largest != tt.events {
					t.Errorf("told of batches of up to %d events, want %d", largest, tt.events)
				}
			})
		})
	}
}
