package shard

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// So many outcome rows wait to be deleted at most. What is dropped beyond them
// is found again when its entity is loaded.
const maxStaleOutcomes = 16384

// pruner deletes outcome rows that have left their window, off the commit path.
type pruner struct {
	store   eventstore.Keeper
	timeout time.Duration
	log     *slog.Logger

	mu    sync.Mutex
	count int
	stale map[eventstore.AggregateID][]eventstore.Outcome
}

func (p *pruner) add(a eventstore.AggregateID, o eventstore.Outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.count >= maxStaleOutcomes {
		return
	}
	if p.stale == nil {
		p.stale = make(map[eventstore.AggregateID][]eventstore.Outcome)
	}
	p.stale[a] = append(p.stale[a], o)
	p.count++
}

// prune deletes what has gathered. The host calls it every second.
func (p *pruner) prune(ctx context.Context) {
	p.mu.Lock()
	stale := p.stale
	p.stale, p.count = nil, 0
	p.mu.Unlock()
	for a, rows := range stale {
		call, cancel := context.WithTimeout(ctx, p.timeout)
		if err := p.store.DeleteOutcomes(call, a, rows); err != nil {
			p.log.Warn("cannot delete old outcomes; they stay until their entity is loaded again",
				slog.Int("outcomes", len(rows)), slog.Any("error", err))
		}
		cancel()
	}
}
