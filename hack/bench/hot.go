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

// hot measures what one entity at full speed does to the others: their latency
// with and without it, at the same steady rate. Others are of all shards, the hot
// one's included.
func hot(ctx context.Context, o options, p place) error {
	s, err := serve(ctx, o, p)
	if err != nil {
		return err
	}
	defer s.Kill()
	for i := range entities {
		if err := s.post(ctx, "other-"+strconv.Itoa(i), "Open", `{"owner":"bench"}`); err != nil {
			return err
		}
	}
	if err := s.post(ctx, "hot", "Open", `{"owner":"bench"}`); err != nil {
		return err
	}
	if _, err := s.steady(ctx, o.warmUp()); err != nil {
		return err
	}
	calm, err := s.steady(ctx, o.duration)
	if err != nil {
		return err
	}
	heat, cool := context.WithCancel(ctx)
	var sent sync.WaitGroup
	counts := make([]int, hotCallers)
	for i := range hotCallers {
		sent.Go(func() {
			for heat.Err() == nil {
				if s.post(heat, "hot", "Deposit", `{"amount":1}`) == nil {
					counts[i]++
				}
			}
		})
	}
	began := time.Now()
	beside, err := s.steady(ctx, o.duration)
	seconds := time.Since(began).Seconds()
	cool()
	sent.Wait()
	if err != nil {
		return err
	}
	total := 0
	for _, n := range counts {
		total += n
	}
	note("%d commands/s to others: p50 %.2f ms, p99 %.2f ms; beside an entity that takes %.0f commands/s: p50 %.2f ms, p99 %.2f ms",
		otherRate, calm(0.5), calm(0.99), float64(total)/seconds, beside(0.5), beside(0.99))
	atMost("  p99 beside a hot entity, by p99 without", beside(0.99)/calm(0.99), 2)
	return nil
}

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
				if err := s.post(ctx, "other-"+strconv.Itoa(n%entities), "Deposit", `{"amount":1}`); err != nil {
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
