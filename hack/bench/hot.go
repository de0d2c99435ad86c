package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/shard"
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
		return s.others(ctx, duration, b)
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
	err := s.others(ctx, duration, b)
	r := <-ended
	b.perSecond += r.PerSecond
	return errors.Join(err, r.error)
}

func other(n int) string { return "other-" + strconv.Itoa(n%entities) }

// steady does what is due at fixed times, and gives the latencies from then; after
// each it does what comes after, if anything, and gives how long that takes.
func steady(duration time.Duration, into *beside, due, after func(n int) error) error {
	total := int(duration.Seconds() * otherRate)
	commands, answers := make(latencies, total), make(latencies, total)
	errs := make(chan error, otherSenders)
	start := time.Now()
	var senders sync.WaitGroup
	for sender := range otherSenders {
		senders.Go(func() {
			for n := sender; n < total; n += otherSenders {
				at := start.Add(time.Duration(float64(n) / otherRate * float64(time.Second)))
				time.Sleep(time.Until(at))
				if err := due(n); err != nil {
					errs <- err
					return
				}
				done := time.Now()
				commands[n] = done.Sub(at)
				if err := after(n); err != nil {
					errs <- err
					return
				}
				answers[n] = time.Since(done)
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

// others are the commands to the other entities, and after each a constant answer.
func (s *served) others(ctx context.Context, duration time.Duration, into *beside) error {
	return steady(duration, into, func(n int) error {
		return s.post(ctx, other(n), "Deposit", `{"amount":1}`)
	}, func(int) error { return s.constant(ctx) })
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

// hotInProcess is the same without HTTP, and so without callers that take as much of
// the processors as all else: one entity at the speed that its shard has.
func hotInProcess(ctx context.Context, store eventstore.Store, o options) error {
	host := shard.NewHost(shard.Config{Store: store, Incarnation: "bench", Logger: slog.New(slog.DiscardHandler)})
	defer func() { _ = host.Close(context.WithoutCancel(ctx)) }()
	shards, err := openAccounts(ctx, host, store, o.sample)
	if err != nil {
		return err
	}
	var ids atomic.Int64
	send := func(s *shard.Shard, entity, name, body string) error {
		_, err := s.Handle(ctx, shard.Command{Entity: entity, Name: name, Body: []byte(body), ID: strconv.FormatInt(ids.Add(1), 10)})
		return err
	}
	for i := range entities {
		if err := send(shards[i%len(shards)], other(i), "Open", `{"owner":"bench"}`); err != nil {
			return err
		}
	}
	if err := send(shards[0], "hot", "Open", `{"owner":"bench"}`); err != nil {
		return err
	}
	others := func(into *beside) error {
		return steady(o.duration/2, into, func(n int) error {
			i := n % entities
			return send(shards[i%len(shards)], other(i), "Deposit", `{"amount":1}`)
		}, func(int) error { return nil })
	}
	if err := others(&beside{}); err != nil {
		return err
	}
	var alone, one beside
	for range hotRounds {
		if err := others(&alone); err != nil {
			return err
		}
		var hot sync.WaitGroup
		var served atomic.Int64
		stop := make(chan struct{})
		failed := make(chan error, hotCallers)
		for range hotCallers {
			hot.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if err := send(shards[0], "hot", "Deposit", `{"amount":1}`); err != nil {
						failed <- err
						return
					}
					served.Add(1)
				}
			})
		}
		began := time.Now()
		err := others(&one)
		one.perSecond += float64(served.Load()) / time.Since(began).Seconds()
		close(stop)
		hot.Wait()
		close(failed)
		if err := errors.Join(err, <-failed); err != nil {
			return err
		}
	}
	note("in process, %d commands/s to others: p50 %.2f ms, p99 %.2f ms", otherRate, alone.commands.at(0.5), alone.commands.at(0.99))
	note("  beside %d callers of one entity, %.0f/s: p50 %.2f ms, p99 %.2f ms", hotCallers, one.perSecond/hotRounds, one.commands.at(0.5), one.commands.at(0.99))
	atMost("  p99 by p99 alone", one.commands.at(0.99)/alone.commands.at(0.99), 2)
	return nil
}
