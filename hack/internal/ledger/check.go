package ledger

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
)

// Totals is what a check found.
type Totals struct {
	// Accepted commands wrote events, Refused ones did not.
	Accepted, Refused int
	// Events are those of this run's accounts; Balance is the sum of all
	// balances by the fold of the events.
	Events  int
	Balance int64
	// Balances has each account's by version, from version 0 on.
	Balances map[string][]int64
}

// Check compares the books with all that the runtime tells. No command may be
// open (see Settle). All differences are told at once.
func (b *Books) Check(ctx context.Context) (Totals, error) {
	fold, position, err := b.fold(ctx)
	if err != nil {
		return Totals{}, err
	}
	totals := Totals{Events: fold.events, Balances: fold.past}
	var wrong []error
	b.mu.Lock()
	entries := make([]entry, 0, len(b.answered))
	for _, e := range b.answered {
		entries = append(entries, e)
	}
	b.mu.Unlock()
	for _, e := range entries {
		if e.Status == http.StatusOK {
			totals.Accepted++
		} else {
			totals.Refused++
		}
		wrong = append(wrong, fold.holds(e)...)
	}
	for key := range fold.commands {
		wrong = append(wrong, fmt.Errorf("events of %s, a command that nobody was told of", key))
	}
	for _, balance := range fold.balances {
		totals.Balance += balance
	}
	wrong = append(wrong, b.repeats(ctx, entries)...)
	wrong = append(wrong, b.states(ctx, fold)...)
	wrong = append(wrong, b.rows(ctx, fold, position)...)
	return totals, errors.Join(wrong...)
}

// folded is the run's events, folded by code of this package.
type folded struct {
	events   int
	balances map[string]int64
	versions map[string]int64
	past     map[string][]int64
	// commands holds what each command wrote; holds takes out what it finds.
	commands map[string]written
}

type written struct {
	account string
	version int64
	events  int
}

// fold reads the aggregate's whole stream.
func (b *Books) fold(ctx context.Context) (*folded, string, error) {
	f := &folded{balances: map[string]int64{}, versions: map[string]int64{}, past: map[string][]int64{}, commands: map[string]written{}}
	prefix, position := b.run+"-", ""
	for {
		query := url.Values{"limit": {"1000"}}
		if position != "" {
			query.Set("after", position)
		}
		var page struct {
			Events []struct {
				Entity, Type, CommandID string
				Version                 int64
				Data                    struct{ Amount, Fee int64 }
			}
			Position string
		}
		if err := b.get(ctx, "/v1/events/account", query, &page); err != nil {
			return nil, "", err
		}
		if len(page.Events) == 0 {
			return f, position, nil
		}
		position = page.Position
		for _, e := range page.Events {
			if len(e.Entity) <= len(prefix) || e.Entity[:len(prefix)] != prefix {
				continue
			}
			if e.Version != f.versions[e.Entity]+1 {
				return nil, "", fmt.Errorf("%s: version %d follows %d", e.Entity, e.Version, f.versions[e.Entity])
			}
			f.events++
			f.versions[e.Entity] = e.Version
			f.balances[e.Entity] += 0
			switch e.Type {
			case "Deposited":
				f.balances[e.Entity] += e.Data.Amount
			case "Withdrawn":
				f.balances[e.Entity] -= e.Data.Amount + e.Data.Fee
			}
			if e.Version == 1 {
				f.past[e.Entity] = []int64{0}
			}
			f.past[e.Entity] = append(f.past[e.Entity], f.balances[e.Entity])
			w := f.commands[e.CommandID]
			f.commands[e.CommandID] = written{account: e.Entity, version: e.Version, events: w.events + 1}
		}
	}
}

// holds compares one answered command with its events.
func (f *folded) holds(e entry) []error {
	w, found := f.commands[e.Key]
	delete(f.commands, e.Key)
	switch {
	case e.Status != http.StatusOK && found:
		return []error{fmt.Errorf("%s was answered %d %s, but left %d events", e.Key, e.Status, e.Reason, w.events)}
	case e.Status != http.StatusOK:
		return nil
	case !found:
		return []error{fmt.Errorf("LOST: %s (%s %s) was acknowledged at version %d and is not in the log", e.Key, e.Account, e.Command, e.Version)}
	case w.events != e.Events || w.version != e.Version || w.account != e.Account:
		return []error{fmt.Errorf("%s was answered version %d with %d events; the log has %s version %d with %d", e.Key, e.Version, e.Events, w.account, w.version, w.events)}
	}
	return nil
}

const (
	// maxRepeats bounds how many answers are asked for again: a sample, which
	// the order of the books' map makes another one each time.
	maxRepeats = 500
	// checkers is how many calls a check has under way.
	checkers = 16
)

// repeats sends commands again under their keys: the answer must be the same,
// and marked as remembered.
func (b *Books) repeats(ctx context.Context, entries []entry) []error {
	entries = entries[:min(len(entries), maxRepeats)]
	return concurrently(entries, func(e entry) error {
		a, _, replay, err := b.call(ctx, b.door(), e.Operation)
		switch {
		case err != nil:
			return fmt.Errorf("repeat %s: %w", e.Key, err)
		case a != e.Answer || !replay:
			return fmt.Errorf("repeat %s: %+v (replay %t), first %+v", e.Key, a, replay, e.Answer)
		}
		return nil
	})
}

// concurrently gives the errors of all calls of f.
func concurrently[T any](items []T, f func(T) error) []error {
	var (
		next   atomic.Int64
		mu     sync.Mutex
		errs   []error
		worker sync.WaitGroup
	)
	for range checkers {
		worker.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(items)); i = next.Add(1) - 1 {
				if err := f(items[i]); err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
			}
		})
	}
	worker.Wait()
	return errs
}

// states compares each account's state and version with the fold.
func (b *Books) states(ctx context.Context, f *folded) []error {
	return concurrently(f.accounts(), func(account string) error {
		var view struct {
			Version int64
			State   struct{ Balance int64 }
		}
		if err := b.get(ctx, "/v1/aggregates/account/"+url.PathEscape(account), nil, &view); err != nil {
			return err
		}
		if view.State.Balance != f.balances[account] || view.Version != f.versions[account] {
			return fmt.Errorf("%s: state has balance %d at version %d, the fold %d at %d", account, view.State.Balance, view.Version, f.balances[account], f.versions[account])
		}
		return nil
	})
}

// rows compares the projection with the fold, once it has the fold's position.
func (b *Books) rows(ctx context.Context, f *folded, position string) []error {
	return concurrently(f.accounts(), func(account string) error {
		var row struct{ Row struct{ Balance int64 } }
		query := url.Values{"after": {position}, "wait": {"10s"}}
		if err := b.get(ctx, "/v1/projections/balances/"+url.PathEscape(account), query, &row); err != nil {
			return err
		}
		if row.Row.Balance != f.balances[account] {
			return fmt.Errorf("%s: the projection has %d, the fold %d", account, row.Row.Balance, f.balances[account])
		}
		return nil
	})
}

func (f *folded) accounts() []string { return slices.Collect(maps.Keys(f.balances)) }
