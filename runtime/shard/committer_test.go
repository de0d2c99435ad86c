package shard

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

func TestAnAppendTakesSoManyShardsEventsAndBytesAndOneBatchAtLeast(t *testing.T) {
	type batch struct{ events, bytes int }
	for name, tt := range map[string]struct {
		ready []batch
		want  []int // batches of each append
	}{
		"all that fits":            {[]batch{{1, 10}, {2, 20}, {3, 30}}, []int{3}},
		"shards":                   {make([]batch, maxAppendShards+1), []int{maxAppendShards, 1}},
		"events":                   {[]batch{{maxAppendEvents, 1}, {1, 1}, {maxAppendEvents - 1, 1}}, []int{1, 2}},
		"bytes":                    {[]batch{{1, maxAppendBytes / 2}, {1, maxAppendBytes / 2}, {1, 1}}, []int{2, 1}},
		"a batch beyond all of it": {[]batch{{2 * maxAppendEvents, 2 * maxAppendBytes}, {1, 1}}, []int{1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			c := &committer{closed: true, pending: new(atomic.Int64)} // what is ready goes at once
			c.come = sync.NewCond(&c.mu)
			for _, b := range tt.ready {
				c.ready = append(c.ready, submission{batch: eventstore.Batch{Events: make([]eventstore.Event, b.events)}, bytes: b.bytes, pending: new(atomic.Int64)})
				c.rows += b.events
			}
			var got []int
			for {
				group := c.next(nil)
				if len(group) == 0 {
					break
				}
				got = append(got, len(group))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("batches of each append (-want +got):\n%s", diff)
			}
			if c.rows != 0 {
				t.Errorf("%d rows are left over", c.rows)
			}
		})
	}
}

// gatedLog answers an append when it is told to.
type gatedLog struct {
	eventstore.Log
	begun, gate chan struct{}
}

func (l *gatedLog) Append(_ context.Context, batches []eventstore.Batch) []eventstore.AppendResult {
	l.begun <- struct{}{}
	<-l.gate
	return make([]eventstore.AppendResult, len(batches))
}

func TestWhatIsReadyGoesInTimeAlsoWhenNothingElseComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &gatedLog{begun: make(chan struct{}, 2), gate: make(chan struct{})}
		var pending atomic.Int64
		c := startCommitter(t.Context(), log, 1, time.Minute, &pending)
		done := make(chan struct{}, 2)
		submit := func() {
			c.submit(submission{batch: eventstore.Batch{Events: make([]eventstore.Event, 1)}, pending: new(atomic.Int64), done: func(eventstore.AppendResult) { done <- struct{}{} }})
		}
		submit()
		<-log.begun
		submit() // with nobody else under way it would go as soon as it can
		pending.Store(1000)
		log.gate <- struct{}{}
		<-done
		synctest.Wait()
		time.Sleep(gatherFor)
		synctest.Wait()
		select {
		case <-log.begun:
		default:
			t.Error("it waits for others that do not come")
		}
		close(log.gate)
		c.close()
	})
}

func TestAnAppendWaitsForOthersOnlyUnderLoad(t *testing.T) {
	for name, tt := range map[string]struct {
		pending int64
		busy    int
		want    int
	}{
		"one command":                         {1, 0, 0},
		"few":                                 {calm, 1, 0},
		"as many as wait for each other":      {calm + 4*portion, 0, 4},
		"beside one":                          {calm + 4*portion, 1, 4},
		"beside two":                          {calm + 4*portion, 2, rowsBeside},
		"so many that a batch is full sooner": {100_000, 3, max(most, 2*rowsBeside)},
	} {
		c := &committer{pending: new(atomic.Int64), busy: tt.busy}
		c.pending.Store(tt.pending)
		if got := max(c.enough(), 0); got != tt.want {
			t.Errorf("%s: %d rows are enough, want %d", name, got, tt.want)
		}
	}
}
