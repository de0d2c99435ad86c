package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
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

// hotRounds are how often each of the three is measured, in turns: a disk that is
// slow for a second makes more of a difference than all else.
const hotRounds = 5

// hot measures what one entity at full speed does to the others: their latency at
// a steady rate, alone, beside the same callers spread over all entities (what the
// load alone does), and beside them all at one entity. Others are of all shards,
// the hot one's included. An answer that does not wait for anything is asked for
// as well: it shows what waiting for a processor takes.
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
	if _, err := s.loadOf(ctx, entities, hotCallers, o.warmUp()); err != nil {
		return err
	}
	var alone, spread, one beside
	for range hotRounds {
		for _, b := range []struct {
			*beside
			entities int
		}{{&alone, 0}, {&spread, entities}, {&one, 1}} {
			if err := s.measureBeside(ctx, o, b.beside, b.entities); err != nil {
				return err
			}
		}
	}
	note("%d commands/s to others: %s", otherRate, &alone)
	note("  beside %d callers of all entities, %.0f/s: %s", hotCallers, spread.perSecond/hotRounds, &spread)
	note("  beside %d callers of one entity, %.0f/s: %s", hotCallers, one.perSecond/hotRounds, &one)
	atMost("  p99 by that beside all entities", one.commands.at(0.99)/spread.commands.at(0.99), 1)
	atMost("  p99 by p99 alone", one.commands.at(0.99)/alone.commands.at(0.99), 2)
	note("  the constant answer's p99 by its p99 alone: %.2f", one.answers.at(0.99)/alone.answers.at(0.99))
	return nil
}

// beside is what was measured beside a load.
type beside struct {
	commands, answers latencies
	perSecond         float64 // of the load, summed over rounds
}

func (b *beside) String() string {
	return fmt.Sprintf("p50 %.2f ms, p99 %.2f ms (a constant answer's %.2f and %.2f)",
		b.commands.at(0.5), b.commands.at(0.99), b.answers.at(0.5), b.answers.at(0.99))
}

type latencies []time.Duration

// at is the latency, in milliseconds, that the share of them does not exceed.
func (l latencies) at(share float64) float64 {
	slices.Sort(l)
	return milliseconds(l[min(int(share*float64(len(l))), len(l)-1)])
}

// measureBeside adds one round beside callers of so many entities; none for 0. They
// are a process of their own: else the others would wait for their own callers, too.
func (s *served) measureBeside(ctx context.Context, o options, b *beside, entities int) error {
	const settle = time.Second
	duration := o.duration / 2
	if entities == 0 {
		return s.steady(ctx, duration, b)
	}
	type result struct {
		load
		error
	}
	ended := make(chan result, 1)
	go func() {
		l, err := s.loadOf(ctx, entities, hotCallers, duration+2*settle)
		ended <- result{l, err}
	}()
	time.Sleep(settle)
	err := s.steady(ctx, duration, b)
	r := <-ended
	b.perSecond += r.PerSecond
	return errors.Join(err, r.error)
}

func other(n int) string { return "other-" + strconv.Itoa(n%entities) }

// steady sends commands that are due at fixed times to the others, and after each
// asks for a constant answer; it takes note of the latencies, the command's from
// when it was due.
func (s *served) steady(ctx context.Context, duration time.Duration, into *beside) error {
	total := int(duration.Seconds() * otherRate)
	commands, answers := make(latencies, total), make(latencies, total)
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
				answered := time.Now()
				commands[n] = answered.Sub(due)
				if err := s.constant(ctx); err != nil {
					errs <- err
					return
				}
				answers[n] = time.Since(answered)
			}
		})
	}
	senders.Wait()
	close(errs)
	if err := <-errs; err != nil {
		return fmt.Errorf("a command to another entity: %w", err)
	}
	into.commands, into.answers = append(into.commands, commands...), append(into.answers, answers...)
	return nil
}

// constant asks for what is not there.
func (s *served) constant(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/nothing", nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	return err
}
