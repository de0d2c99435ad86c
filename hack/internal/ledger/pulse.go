package ledger

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/leftfold/leftfold/runtime/routing"
)

// pulseEvery is how long a pulse rests between two commands: short against any
// recovery that is to be measured, long enough to leave the machine to others.
const pulseEvery = 5 * time.Millisecond

// Pulse measures how long each shard takes no writes: one account in each shard
// is deposited to, again and again, and the times of the answers are kept.
type Pulse struct {
	// Every is how long the pulse of a shard rests between two commands; 5 ms.
	Every time.Duration

	books    *Books
	accounts []string // by shard

	mu    sync.Mutex
	doors []string // nil: those of the books
	beats [][]beat // by shard
}

// beat is a command that was answered. It was asked for when it was sent first: one
// that fails is followed by another.
type beat struct{ asked, answered time.Time }

func (b beat) compare(t time.Time) int { return b.answered.Compare(t) }

// Enter points the pulse at doors of its own: those that live through what is to
// be measured. A door that is cut off would measure the caller's patience.
func (p *Pulse) Enter(doors ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doors = doors
}

func (p *Pulse) door(i int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.doors) == 0 {
		return p.books.door()
	}
	return p.doors[i%len(p.doors)]
}

// Shards opens one account in every shard of the aggregate and gives their pulse.
func (b *Books) Shards(ctx context.Context) (*Pulse, error) {
	var list struct {
		Shards []struct {
			Aggregate string
			Shard     int
			Slots     struct{ First, Last uint16 }
		}
	}
	if err := b.get(ctx, "/v1/shards", nil, &list); err != nil {
		return nil, err
	}
	p := &Pulse{books: b, Every: pulseEvery}
	for _, s := range list.Shards {
		if s.Aggregate != "account" {
			continue
		}
		account := ""
		for i := 0; account == ""; i++ {
			name := fmt.Sprintf("%s-pulse-%d", b.run, i)
			if slot := routing.Slot(name); s.Slots.First <= slot && slot <= s.Slots.Last {
				account = name
			}
		}
		op := b.next(account, "Open", `{"owner":"pulse"}`)
		if a, err := b.send(ctx, op); err != nil || a.Status != 200 {
			return nil, fmt.Errorf("open %s: %d %s: %w", account, a.Status, a.Reason, err)
		}
		p.accounts = append(p.accounts, account)
	}
	p.beats = make([][]beat, len(p.accounts))
	return p, nil
}

// Beat beats until ctx ends.
func (p *Pulse) Beat(ctx context.Context) {
	var wg sync.WaitGroup
	for shard, account := range p.accounts {
		wg.Go(func() {
			asked := time.Now()
			for ctx.Err() == nil {
				_, err := p.books.sendBy(ctx, p.door(shard), p.books.next(account, "Deposit", `{"amount":1}`))
				answered := err == nil
				if answered {
					p.mu.Lock()
					p.beats[shard] = append(p.beats[shard], beat{asked, time.Now()})
					p.mu.Unlock()
				}
				select {
				case <-ctx.Done():
				case <-time.After(p.Every):
				}
				if answered {
					asked = time.Now()
				}
			}
		})
	}
	wg.Wait()
}

// Accounts are those that the pulse deposits to, by shard.
func (p *Pulse) Accounts() []string { return slices.Clone(p.accounts) }

// Resumed gives when each shard has answered first after the given moment; nil
// while one has not.
func (p *Pulse) Resumed(since time.Time) []time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := make([]time.Time, len(p.beats))
	for shard, beats := range p.beats {
		i, _ := slices.BinarySearchFunc(beats, since, beat.compare)
		if i == len(beats) {
			return nil
		}
		first[shard] = beats[i].answered
	}
	return first
}

// Gap is how long a shard took no writes.
type Gap struct {
	Shard int
	// Took is the longest time without an answer after the moment asked for;
	// Resumed is when it ended.
	Took    time.Duration
	Resumed time.Time
}

// Pause gives for how long callers of a shard had to wait for a move that was ordered
// and done at these times: the longest time between two answers, less what lies before
// the order, for the shard was served until then, and less the time in which it was
// served again and nobody had asked yet. The pulse's own rest is no part of it.
func (p *Pulse) Pause(shard int, ordered, done time.Time) (time.Duration, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	beats := p.beats[shard]
	next, _ := slices.BinarySearchFunc(beats, ordered, beat.compare)
	if next == 0 || next == len(beats) || beats[len(beats)-1].answered.Before(done) {
		return 0, fmt.Errorf("shard %d has no two writes around %s to %s", shard, ordered.Format(time.TimeOnly), done.Format(time.TimeOnly))
	}
	var longest time.Duration
	for ; next < len(beats) && beats[next-1].answered.Before(done); next++ {
		from, to := beats[next-1].answered, beats[next]
		if from.Before(ordered) {
			from = ordered
		}
		longest = max(longest, to.answered.Sub(from)-max(0, to.asked.Sub(done)))
	}
	return longest, nil
}

// Gaps gives each shard's longest pause that ended after the given moment, by
// shard. A shard that has not answered since is an error.
func (p *Pulse) Gaps(since time.Time) ([]Gap, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	gaps := make([]Gap, len(p.beats))
	for shard, beats := range p.beats {
		g := Gap{Shard: shard}
		before := since
		for _, b := range beats {
			if !b.answered.After(since) {
				continue
			}
			if took := b.answered.Sub(before); took > g.Took {
				g.Took, g.Resumed = took, b.answered
			}
			before = b.answered
		}
		if g.Resumed.IsZero() {
			return nil, fmt.Errorf("shard %d has taken no write since %s", shard, since.Format(time.TimeOnly))
		}
		gaps[shard] = g
	}
	return gaps, nil
}
