package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"
)

// hotCallers send to one entity as fast as they are answered; the others are sent
// to at a steady rate by so many connections.
const (
	hotCallers   = 32
	otherRate    = 200
	otherSenders = 16
)

// hot measures what one entity at full speed does to the others: their latency at
// a steady rate, alone, beside the same callers spread over all entities (what the
// load alone does), and beside them all at one entity. Others are of all shards,
// the hot one's included.
func hot(ctx context.Context, o options, p place) error {
	s, err := serve(ctx, o, p)
	if err != nil {
		return err
	}
	defer s.Kill()
	for i := range entities {
		if err := s.post(ctx, other(i), "Open", `{"owner":"bench"}`); err != nil {
			return err
		}
	}
	if _, err := s.steady(ctx, o.warmUp()); err != nil {
		return err
	}
	alone, err := s.steady(ctx, o.duration)
	if err != nil {
		return err
	}
	note("%d commands/s to others: p50 %.2f ms, p99 %.2f ms", otherRate, alone(0.5), alone(0.99))
	before := alone(0.99)
	for _, beside := range []struct {
		what     string
		entities int
	}{
		{"all entities", entities},
		{"one entity", 1},
	} {
		// A process of its own: else the others would wait for their own callers, too.
		hot := make(chan load, 1)
		failed := make(chan error, 1)
		go func() {
			l, err := s.loadOf(ctx, beside.entities, hotCallers, o.warmUp()+o.duration)
			hot <- l
			failed <- err
		}()
		if _, err := s.steady(ctx, o.warmUp()/2); err != nil {
			return err
		}
		latency, err := s.steady(ctx, o.duration)
		if err != nil {
			return err
		}
		l := <-hot
		if err := <-failed; err != nil {
			return err
		}
		note("  beside %d callers of %s, %.0f commands/s: p50 %.2f ms, p99 %.2f ms", hotCallers, beside.what, l.PerSecond, latency(0.5), latency(0.99))
		atMost("  p99 by p99 alone", latency(0.99)/alone(0.99), 2)
		note("  p99 by the p99 before: %.2f", latency(0.99)/before)
		before = latency(0.99)
	}
	return nil
}

func other(n int) string { return "other-" + strconv.Itoa(n%entities) }

// steady sends commands that are due at fixed times to the others, and gives their
// latencies in milliseconds, from when they were due.
func (s *served) steady(ctx context.Context, duration time.Duration) (func(share float64) float64, error) {
	total := int(duration.Seconds() * otherRate)
	latencies := make([]time.Duration, total)
	errs := make(chan error, otherSenders)
	start := time.Now()
	var senders sync.WaitGroup
	for sender := range otherSenders {
		senders.Go(func() {
			for n := sender; n < total; n += otherSenders {
				due := start.Add(time.Duration(float64(n) / otherRate * float64(time.Second)))
				time.Sleep(time.Until(due))
				if err := s.post(ctx, other(n), "Deposit", `{"amount":1}`); err != nil {
					errs <- err
					return
				}
				latencies[n] = time.Since(due)
			}
		})
	}
	senders.Wait()
	close(errs)
	if err := <-errs; err != nil {
		return nil, fmt.Errorf("a command to another entity: %w", err)
	}
	slices.Sort(latencies)
	return func(share float64) float64 {
		return milliseconds(latencies[min(int(math.Floor(share*float64(total))), total-1)])
	}, nil
}
