package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"time"

	"github.com/leftfold/leftfold/runtime/behavior"
	"github.com/leftfold/leftfold/runtime/behavior/cel"
	"github.com/leftfold/leftfold/runtime/definition"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/shard"
)

const (
	// longEntity has this many events; the rest of the history is spread.
	longEvents   = 1_000_000
	spreadEvents = 500_000
	longEntity   = "long"
	// sampleShards is what the sample declares.
	sampleShards = 16
)

// history measures what a long log costs: a new projection that catches up with
// it, the replay of an entity with very many events, and that entity's first
// command after a restart, from its snapshot. Rates are told as ratios to the ceiling.
func history(ctx context.Context, o options, kind string, ceiling float64) error {
	return within(kind, func(p place) error {
		began := time.Now()
		if err := p.using(ctx, func(store eventstore.Store) error { return writeHistory(ctx, store) }); err != nil {
			return fmt.Errorf("write a history: %w", err)
		}
		note("a history of %d events written in %v", longEvents+spreadEvents, time.Since(began).Round(time.Second))
		var replayed float64
		err := p.using(ctx, func(store eventstore.Store) (err error) {
			return o.profiled("replay", func() error {
				replayed, err = replay(ctx, store, o.sample)
				return err
			})
		})
		if err != nil {
			return fmt.Errorf("replay: %w", err)
		}
		ratio(fmt.Sprintf("replay of %d events, events/s", longEvents), replayed, ceiling, 2.5)
		caughtUp, err := catchUp(ctx, o, p)
		if err != nil {
			return fmt.Errorf("catch up: %w", err)
		}
		ratio("a new projection catches up, events/s", caughtUp, ceiling, 0.4)
		first, err := firstCommand(ctx, o, p)
		if err != nil {
			return fmt.Errorf("first command: %w", err)
		}
		atMost("first command after a restart, ms", milliseconds(first), 20)
		return nil
	})
}

// writeHistory fills the log: 1,000 accounts with 500 deposits each, and one with
// very many.
func writeHistory(ctx context.Context, store eventstore.Store) error {
	logs, err := claimAll(ctx, store, "account", sampleShards)
	if err != nil {
		return err
	}
	const accounts = 1000
	names := make([]string, accounts)
	for i := range names {
		names[i] = "spread-" + strconv.Itoa(i)
	}
	write := func(entity string, version int64) error {
		l := of(logs, entity)
		if version == 1 {
			l.add("Opened", `{"owner":"bench"}`, entity, version)
		} else {
			l.add("Deposited", `{"amount":1}`, entity, version)
		}
		if len(l.batch.Events) < 500 {
			return nil
		}
		return l.append(ctx, store)
	}
	for version := int64(1); version <= spreadEvents/accounts; version++ {
		for _, name := range names {
			if err := write(name, version); err != nil {
				return err
			}
		}
	}
	for version := int64(1); version <= longEvents; version++ {
		if err := write(longEntity, version); err != nil {
			return err
		}
	}
	for _, l := range logs {
		if err := l.append(ctx, store); err != nil {
			return err
		}
	}
	return nil
}

// replay gives events a second of folding the long entity from its first event.
func replay(ctx context.Context, store eventstore.Store, sample string) (float64, error) {
	account, err := accounts(sample)
	if err != nil {
		return 0, err
	}
	aggregate, err := store.EnsureAggregate(ctx, "account", sampleShards)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	view, err := shard.Replay{Reader: store, Aggregate: aggregate.ID, Name: "account", Behavior: account, Logger: slog.New(slog.DiscardHandler)}.Head(ctx, longEntity)
	if err == nil && view.Version != longEvents {
		err = fmt.Errorf("it ended at version %d of %d", view.Version, longEvents)
	}
	return longEvents / time.Since(began).Seconds(), err
}

// accounts is the sample's account.
func accounts(sample string) (behavior.Behavior, error) {
	set, problems, err := definition.Load([]string{sample})
	if err != nil {
		return nil, err
	}
	if definition.HasErrors(problems) || set.Aggregates["account"] == nil {
		return nil, fmt.Errorf("%s declares no sound aggregate account", sample)
	}
	return cel.New(set.Aggregates["account"].Compiled), nil
}

// catchUp gives events a second of the sample's projection, which is new to the
// log, until a reader is told that it has the log's end.
func catchUp(ctx context.Context, o options, p place) (float64, error) {
	began := time.Now()
	s, err := serve(ctx, o, p)
	if err != nil {
		return 0, err
	}
	defer s.Kill()
	if _, err := s.behind(ctx); err != nil {
		return 0, err
	}
	return (longEvents + spreadEvents) / time.Since(began).Seconds(), nil
}

// firstCommand gives what the long entity's first command takes after a restart.
// The run before leaves its snapshot.
func firstCommand(ctx context.Context, o options, p place) (time.Duration, error) {
	s, err := serveFiles(ctx, o, p, filepath.Join(o.sample, "store.yaml"), filepath.Join(o.sample, "account.yaml"))
	if err != nil {
		return 0, err
	}
	defer func() { s.Stop() }()
	// Without a snapshot the entity is loaded from its first event, which takes
	// longer than a command may; the load goes on.
	err = errors.New("not asked")
	for began := time.Now(); err != nil && time.Since(began) < time.Minute; {
		_, err = s.deposit(ctx, longEntity)
	}
	if err != nil {
		return 0, err
	}
	if code := s.Stop(); code != 0 {
		return 0, fmt.Errorf("leftfold dev ended with %d", code)
	}
	if s, err = serveFiles(ctx, o, p, filepath.Join(o.sample, "store.yaml"), filepath.Join(o.sample, "account.yaml")); err != nil {
		return 0, err
	}
	if _, err := s.deposit(ctx, "other"); err == nil {
		return 0, errors.New("an account that was never opened took a deposit")
	}
	return s.deposit(ctx, longEntity)
}

// deposit sends one command and gives the time of its answer.
func (s *served) deposit(ctx context.Context, entity string) (time.Duration, error) {
	began := time.Now()
	err := s.post(ctx, entity, "Deposit", `{"amount":1}`)
	return time.Since(began), err
}
