package simulation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/eventstore/storetest/memory"
	"github.com/leftfold/leftfold/runtime/shard"
)

// world is one run: hosts on one store, those who use them, and the one who
// shakes them.
type world struct {
	seed    uint64
	store   *memory.Store
	id      []eventstore.ShardID
	began   time.Time
	calls   sync.WaitGroup // that are on some link
	calm    atomic.Bool    // nothing goes wrong any more
	primary atomic.Int64   // counts failovers of the store

	mu         sync.Mutex
	hosts      []*host // by place; another one comes where one has died
	owner      []int   // by shard: the place of the host that opened it last
	lives      int
	def        shard.Definition
	history    []*operation
	projection []*projection // by shard
	violations []violation
}

type host struct {
	*shard.Host
	link *link
}

// violation is what must not be; entity is empty when it is about none.
type violation struct{ entity, text string }

const (
	places      = 3
	callTimeout = time.Second
)

var stormy = rates{refused: 0.02, lostRequest: 0.015, lostAnswer: 0.02, late: 0.02, slow: 0.05}

func (w *world) rates() rates {
	if w.calm.Load() {
		return rates{}
	}
	return stormy
}

func isNotAttempted(err error) bool { return errors.Is(err, eventstore.ErrNotAttempted) }

func (w *world) fail(format string, args ...any) { w.failOn("", format, args...) }

func (w *world) failOn(entity, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.violations = append(w.violations, violation{entity, fmt.Sprintf(format, args...)})
}

// source is a source of chance of its own, for one of those who act.
func (w *world) source(who string) *rand.Rand {
	return rand.New(rand.NewPCG(w.seed, hashed(who)))
}

// shardsOf makes every fourth run one of two shards, which share their hosts'
// appends.
func shardsOf(seed uint64) int {
	if seed%4 == 3 {
		return 2
	}
	return 1
}

func newWorld(seed uint64, without memory.Guard) *world {
	w := &world{
		seed: seed, store: memory.New(memory.Options{Without: without}), began: time.Now(),
		def: shard.Definition{
			Behavior: bank{unit: "cent"}, SnapshotEvery: 3, PassivateAfter: 2 * time.Second,
			DedupCommands: 4, DedupFor: 24 * time.Hour,
		},
	}
	shards := shardsOf(seed)
	a, err := w.store.EnsureAggregate(context.Background(), "account", shards)
	if err != nil {
		panic(err) // an empty model takes any name
	}
	for n := range shards {
		w.id = append(w.id, eventstore.ShardID{Aggregate: a.ID, Number: int32(n)})
		w.projection = append(w.projection, &projection{rows: make(map[string]row)})
	}
	w.owner = make([]int, shards)
	r := w.source("hosts")
	for place := range places {
		time.Sleep(latency(r, 0))
		w.hosts = append(w.hosts, w.newHost(place, r))
	}
	return w
}

// newHost starts a process; each has a clock of its own.
func (w *world) newHost(place int, r *rand.Rand) *host {
	w.lives++
	name := fmt.Sprintf("host-%d-%d", place, w.lives)
	l := newLink(w, name)
	skew := time.Duration(r.Int64N(int64(5*time.Second))) - 2500*time.Millisecond
	return &host{link: l, Host: shard.NewHost(shard.Config{
		Store: l, Incarnation: eventstore.Incarnation(name), Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Now: func() time.Time { return time.Now().Add(skew) },
		Limits: shard.Limits{
			MemoryBytes: 4000, FeedEvents: 20, BatchCommands: 8,
			AppendTimeout: callTimeout, CallTimeout: callTimeout, ResendFor: 4 * callTimeout,
		},
	})}
}

func (w *world) host(place int) *host {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hosts[place]
}

// operator takes the part of whoever decides on owners, and of fate: it moves
// shards, and stops, freezes and cuts off hosts.
type operator struct {
	*world
	r *rand.Rand
}

// takeover opens a shard on a host, whoever has it.
func (o *operator) takeover(n, place int) {
	h := o.host(place)
	o.mu.Lock()
	def := o.def
	o.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 2*callTimeout)
	defer cancel()
	s, err := h.Open(ctx, shard.Spec{ID: o.id[n], Aggregate: "account", Definition: def})
	if errors.Is(err, shard.ErrStoreWentBack) {
		o.fail("%s refuses shard %d: %v", h.link.name, n, err)
	}
	if err != nil {
		return
	}
	s.Define(def) // it may have been open, under an older one
	o.mu.Lock()
	o.owner[n] = place
	o.mu.Unlock()
}

func (o *operator) run(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(o.r.Int64N(int64(800 * time.Millisecond)))):
			o.upset()
		}
	}
}

// upset does one thing that shakes the hosts.
func (o *operator) upset() {
	n := o.r.IntN(len(o.id))
	o.mu.Lock()
	place := o.owner[n]
	o.mu.Unlock()
	h, other := o.host(place), (place+1+o.r.IntN(places-1))%places
	until := time.Now().Add(100*time.Millisecond + time.Duration(o.r.Int64N(int64(2500*time.Millisecond))))
	switch o.r.IntN(10) {
	case 0:
		o.crash(place)
		o.takeover(n, o.r.IntN(places))
	case 1: // the process stands still, and comes back as a zombie
		h.link.set(func() { h.link.frozen = until })
		o.takeover(n, other)
	case 2: // it hears nothing of the store, and its callers still reach it
		h.link.set(func() { h.link.silent = until })
		o.takeover(n, other)
	case 3: // a planned handoff
		if s := h.Shard(o.id[n]); s != nil {
			ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
			_ = s.Drain(ctx) // the next owner claims it either way
			cancel()
		}
		o.takeover(n, other)
	case 4: // another definition
		o.mu.Lock()
		o.def.Generation++
		o.def.Behavior = bank{unit: []string{"cent", "penny"}[o.r.IntN(2)], fee: o.r.Int64N(3)}
		def := o.def
		o.mu.Unlock()
		if s := h.Shard(o.id[n]); s != nil {
			s.Define(def)
		}
	case 5, 6: // the store's primary fails, and its heir has not heard of the last claim
		o.takeover(n, other)
		if o.store.ForgetClaim(o.id[n]) {
			o.primary.Add(1) // whatever was on its way to the old one is lost
		}
		o.takeover(n, places-place-other) // the third of them: its epoch is the forgotten one's
	default:
		o.takeover(n, other)
	}
}

// crash ends a process without a word, and starts another in its place.
func (o *operator) crash(place int) {
	o.mu.Lock()
	dead := o.hosts[place]
	o.hosts[place] = o.newHost(place, o.r)
	o.mu.Unlock()
	dead.link.set(func() { dead.link.dead = true })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = dead.Close(ctx) // it has no time
}
