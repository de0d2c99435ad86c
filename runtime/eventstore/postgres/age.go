package postgres

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// ageSamples remembers what the next transaction id was at some times. A role
// sees since when its own transactions run, but of others only how old a
// snapshot they hold, counted in transactions; the samples turn that into time.
type ageSamples struct {
	mu      sync.Mutex
	samples []ageSample
}

type ageSample struct {
	at   time.Time
	next int64 // pg_snapshot_xmax then
}

// maxAgeSamples bounds the memory; beyond it every second sample goes, so that
// what remains spans the whole time at half the precision.
const maxAgeSamples = 512

// OldestTransaction is for how long the oldest snapshot in the database has
// been held back, by a transaction of any role, a prepared one, or a
// replication slot. While it is, no version of a hot row can be vacuumed, and
// appends become slower. Asked every few seconds; for what other roles hold, it
// counts from this store's first question at the earliest.
func (s *Store) OldestTransaction(ctx context.Context) (time.Duration, error) {
	var next, oldest, now int64
	var visible float64
	err := s.query.QueryRow(ctx, `
		SELECT pg_snapshot_xmax(pg_current_snapshot())::text::int8,
			greatest(0, (SELECT max(age(x)) FROM (
				SELECT backend_xmin FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_xmin IS NOT NULL
				UNION ALL SELECT backend_xid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_xid IS NOT NULL
				UNION ALL SELECT transaction FROM pg_prepared_xacts
				UNION ALL SELECT xmin FROM pg_replication_slots WHERE xmin IS NOT NULL
			) AS held (x)))::int8,
			coalesce((SELECT max(extract(epoch FROM clock_timestamp() - xact_start)) FROM pg_stat_activity
				WHERE pid <> pg_backend_pid() AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)), 0)::float8,
			(extract(epoch FROM clock_timestamp()) * 1000000)::int8`).Scan(&next, &oldest, &visible, &now)
	if err != nil {
		return 0, fmt.Errorf("read the age of the oldest transaction: %w", err)
	}
	seen := time.Duration(visible * float64(time.Second))
	return max(seen, s.ages.since(time.UnixMicro(now), next, next-oldest)), nil
}

// since adds a sample and returns for how long the transaction id oldest has
// not been the next one.
func (a *ageSamples) since(now time.Time, next, oldest int64) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.samples = append(a.samples, ageSample{at: now, next: next})
	if len(a.samples) > maxAgeSamples {
		kept := a.samples[:0]
		for i, v := range a.samples {
			if i%2 == 0 || i == len(a.samples)-1 {
				kept = append(kept, v)
			}
		}
		a.samples = kept
	}
	for _, v := range a.samples { // the first one by which oldest was there
		if v.next > oldest {
			return now.Sub(v.at)
		}
	}
	return 0
}
