package shard_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

func TestAnEntityThatRemembersAsManyKeysAsItCanTakesNoNewOneUntilSomeGrowOld(t *testing.T) {
	for name, tt := range map[string]struct {
		limit func(*shard.Limits)
		by    problem.Limit
	}{
		"its own limit":    {func(l *shard.Limits) { l.EntityKeyBytes = 20_000 }, problem.LimitEntityKeys},
		"the host's limit": {func(l *shard.Limits) { l.KeyBytes = 20_000 }, problem.LimitKeys},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var bytes int64
				told := newRefusals()
				r := newRig(t, func(c *shard.Config, d *shard.Definition) {
					tt.limit(&c.Limits)
					c.Observer.Refused = told.add
					c.Observer.KeyBytes = func(_ string, delta int64) { bytes += delta }
					d.DedupCommands, d.DedupFor, d.PassivateAfter = 4, time.Minute, time.Hour
				})
				r.must("a", "Open", "")
				keyed := func(i int) shard.Command {
					c := r.command("a", "Deposit", `{"amount":1}`)
					c.ID, c.Keyed = fmt.Sprint("key-", i), true
					return c
				}
				var accepted []result
				for i := 0; ; i++ {
					got := r.send(keyed(i))
					if problem.Is(got.err, problem.Overloaded) {
						break
					}
					wantNone(t, got.err)
					accepted = append(accepted, got)
					if i > 1000 {
						t.Fatal("it remembers without end")
					}
				}
				told.want(t, tt.by, 1)
				if bytes < 19_000 {
					t.Errorf("told of %d bytes of keys, which have reached 20,000", bytes)
				}
				if len(accepted) < 20 {
					t.Errorf("only %d keys in 20,000 bytes", len(accepted))
				}
				for i := range accepted {
					wantSame(t, accepted[i], r.send(keyed(i)))
				}
				unkeyed := r.command("a", "Deposit", `{"amount":1}`)
				unkeyed.Keyed = false // nothing to remember for long
				wantNone(t, r.send(unkeyed).err)
				r.must("b", "Open", "")
				time.Sleep(time.Minute)
				wantNone(t, r.send(keyed(len(accepted))).err)
				wantNone(t, r.s.Drain(t.Context()))
				synctest.Wait()
				if bytes != 0 {
					t.Errorf("%d bytes are booked for keys of a shard that is gone", bytes)
				}
			})
		})
	}
}

func TestTheFeedOfAShardKeepsNoMoreThanItMay(t *testing.T) {
	for name, tt := range map[string]struct {
		limit  func(*shard.Limits)
		events int
	}{
		"in number": {func(l *shard.Limits) { l.FeedEvents = 7 }, 7},
		// An event takes 512 bytes and its data.
		"in bytes": {func(l *shard.Limits) { l.FeedBytes = 5500 }, 10},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var bytes int64
				r := newRig(t, limits(tt.limit), func(c *shard.Config, _ *shard.Definition) {
					c.Observer.FeedBytes = func(_ string, delta int64) { bytes += delta }
				})
				r.must("a", "Open", "")
				for range 50 {
					r.must("a", "Deposit", `{"amount":1}`)
				}
				_, head, _ := r.s.Committed(0, 0)
				if events, _, ok := r.s.Committed(head-int64(tt.events), 100); !ok || len(events) != tt.events {
					t.Errorf("the last %d events are not there: %d, %t", tt.events, len(events), ok)
				}
				if _, _, ok := r.s.Committed(head-int64(tt.events)-1, 100); ok {
					t.Errorf("more than %d events are kept", tt.events)
				}
				if each := int64(512 + len(`{"amount":1}`)); bytes != each*int64(tt.events) {
					t.Errorf("told of %d bytes, want %d", bytes, each*int64(tt.events))
				}
			})
		})
	}
}

func TestTheFeedsOfAHostKeepNoMoreThanTheyMayTogether(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var bytes int64
		r := newRig(t, func(c *shard.Config, _ *shard.Definition) {
			c.Limits.FeedsBytes = 30_000
			c.Observer.FeedBytes = func(_ string, delta int64) { bytes += delta }
		})
		r.must("a", "Open", "")
		for range 200 {
			r.must("a", "Deposit", `{"amount":1}`)
		}
		synctest.Wait()
		if bytes <= 0 || bytes > 30_000 {
			t.Errorf("feeds keep %d bytes, want some, and at most 30000", bytes)
		}
		_, head, _ := r.s.Committed(0, 0)
		if events, _, ok := r.s.Committed(head-10, 100); !ok || len(events) != 10 {
			t.Errorf("the last 10 events are not there: %d, %t", len(events), ok)
		}
		if _, _, ok := r.s.Committed(0, 100); ok {
			t.Error("nothing has left memory")
		}
		wantNone(t, r.s.Drain(t.Context()))
		synctest.Wait()
		if bytes != 0 {
			t.Errorf("%d bytes are booked for feeds of a shard that is gone", bytes)
		}
	})
}
