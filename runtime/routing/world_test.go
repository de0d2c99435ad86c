package routing

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

const (
	aggregate = "account"
	entity    = "alice"
)

// world is processes that share a store with one shard, and what lies between
// them.
type world struct {
	mu sync.Mutex
	// epoch and owner are the shard's row.
	epoch int64
	owner string
	// ran counts how often a command wrote its event, remembered is the window.
	ran        map[string]int
	remembered map[string]outcome
	// closed makes the entity reject commands.
	closed bool
	// silent makes Lookup fail.
	silent  bool
	lookups int

	processes map[string]*process
}

type outcome struct {
	answer shard.Answer
	err    error
}

// process is one of them.
type process struct {
	world  *world
	name   string // its address as well
	router *Router
	// away says what happens to calls that go there; nil: they arrive.
	mu   sync.Mutex
	away func(ctx context.Context, arrive func(context.Context) outcome) outcome
	// claims is the owner here.
	here *claimed
	// late are attempts whose callers have gone.
	late sync.WaitGroup
}

func newWorld(cfg Config, names ...string) *world {
	w := &world{ran: map[string]int{}, remembered: map[string]outcome{}, processes: map[string]*process{}}
	for _, name := range names {
		cfg := cfg
		cfg.Self, cfg.Forward, cfg.Lookup = name, w.peer, w.lookup
		p := &process{world: w, name: name, router: New(cfg)}
		p.router.Add(aggregate, []eventstore.SlotRange{{First: 0, Last: 65535}})
		w.processes[name] = p
	}
	return w
}

// close ends the world; nothing of it runs afterwards.
func (w *world) close() {
	for _, p := range w.processes {
		p.router.Close()
		p.late.Wait()
	}
}

func (w *world) peer(address string) Peer { return w.processes[address] }

func (w *world) lookup(ctx context.Context, _ string, _ int32) (Remote, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lookups++
	if w.silent {
		return Remote{}, eventstore.ErrNotAttempted
	}
	return Remote{Epoch: w.epoch, Address: w.owner}, ctx.Err()
}

// claim makes the process the owner.
func (w *world) claim(name string) *claimed {
	w.mu.Lock()
	w.epoch++
	w.owner = name
	p := w.processes[name]
	c := &claimed{process: p, epoch: w.epoch}
	w.mu.Unlock()
	p.router.Place(aggregate, 0, c)
	p.mu.Lock()
	p.here = c
	p.mu.Unlock()
	return c
}

// release makes the process give the shard up, if it owns it.
func (w *world) release(name string) {
	w.mu.Lock()
	if w.owner == name {
		w.owner = ""
	}
	w.mu.Unlock()
	w.processes[name].router.Place(aggregate, 0, nil)
}

// push tells a process who the owner is, as the operator does.
func (w *world) push(names ...string) {
	w.mu.Lock()
	now := Remote{Epoch: w.epoch, Address: w.owner}
	w.mu.Unlock()
	for _, name := range names {
		w.processes[name].router.Learn(aggregate, 0, now)
	}
}

// fate sets what happens to calls to a process.
func (p *process) fate(away func(ctx context.Context, arrive func(context.Context) outcome) outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = away
}

func (p *process) Handle(ctx context.Context, aggregate string, c shard.Command) (shard.Answer, error) {
	out := p.carry(ctx, func(ctx context.Context) outcome {
		a, err := p.router.Local().Handle(ctx, aggregate, c)
		return outcome{a, err}
	})
	return out.answer, out.err
}

func (p *process) Read(ctx context.Context, aggregate, entity string, strong bool) (shard.View, error) {
	var view shard.View
	out := p.carry(ctx, func(ctx context.Context) outcome {
		var err error
		view, err = p.router.Local().Read(ctx, aggregate, entity, strong)
		return outcome{err: err}
	})
	return view, out.err
}

func (p *process) carry(ctx context.Context, arrive func(context.Context) outcome) outcome {
	p.mu.Lock()
	away := p.away
	p.mu.Unlock()
	if away == nil {
		return arrive(ctx)
	}
	return away(ctx, arrive)
}

// Fates of a call that goes to another process.

func unreachable(context.Context, func(context.Context) outcome) outcome {
	return outcome{err: ErrUnreachable}
}

func lostBefore(context.Context, func(context.Context) outcome) outcome {
	return outcome{err: ErrLost}
}

func lostAfter(ctx context.Context, arrive func(context.Context) outcome) outcome {
	arrive(ctx)
	return outcome{err: ErrLost}
}

func takes(d time.Duration) func(context.Context, func(context.Context) outcome) outcome {
	return func(ctx context.Context, arrive func(context.Context) outcome) outcome {
		select {
		case <-time.After(d):
			return arrive(ctx)
		case <-ctx.Done():
			return outcome{err: ErrLost}
		}
	}
}

// frozenUntil keeps calls until the process goes on, and then runs them, also
// those whose callers have gone.
func (p *process) frozenUntil(thawed <-chan struct{}) func(context.Context, func(context.Context) outcome) outcome {
	return func(ctx context.Context, arrive func(context.Context) outcome) outcome {
		answered := make(chan outcome, 1)
		p.late.Go(func() {
			<-thawed
			answered <- arrive(context.WithoutCancel(ctx))
		})
		select {
		case out := <-answered:
			return out
		case <-ctx.Done():
			return outcome{err: ErrLost}
		}
	}
}

// claimed is an owner: one shard's pipeline as far as routing can tell.
type claimed struct {
	process *process
	epoch   int64
}

func (c *claimed) Lease() eventstore.Lease { return eventstore.Lease{Epoch: c.epoch} }

func (c *claimed) Handle(_ context.Context, command shard.Command) (shard.Answer, error) {
	w := c.process.world
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.epoch != c.epoch || w.owner != c.process.name {
		return shard.Answer{}, fmt.Errorf("refused: %w", shard.ErrNotOwner)
	}
	if known, ok := w.remembered[command.ID]; ok {
		known.answer.Replay = true
		return known.answer, known.err
	}
	if w.closed {
		out := outcome{err: &problem.Problem{Reason: "Closed", Rejected: true}}
		if command.Keyed || command.Retried {
			w.remembered[command.ID] = out
		}
		return out.answer, out.err
	}
	w.ran[command.ID]++
	out := outcome{answer: shard.Answer{Entity: c.process.name, Version: 1}}
	w.remembered[command.ID] = out
	return out.answer, nil
}

func (c *claimed) Read(context.Context, string, bool) (shard.View, error) {
	w := c.process.world
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.epoch != c.epoch || w.owner != c.process.name {
		return shard.View{}, shard.ErrNotOwner
	}
	return shard.View{Entity: c.process.name, Version: int64(len(w.ran))}, nil
}

func (w *world) times(id string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ran[id]
}
