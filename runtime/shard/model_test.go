package shard_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/eventstore/storetest"
	"github.com/leftfold/leftfold/runtime/eventstore/storetest/fault"
	"github.com/leftfold/leftfold/runtime/eventstore/storetest/memory"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

// The model test: clients send commands on a few entities and retry them under
// the same key; hosts take the shard from each other, die and come back with
// clocks that differ; the definition changes; every host's store fails at
// random. Afterwards the log, the answers and the repeats have to agree.

// scale is how much of it a run does.
type scale struct {
	clients, commands int // commands of each client
	entities          int
	patience          time.Duration // of a client, a try
	rates             fault.Rates
}

type model struct {
	t      *testing.T
	seed   uint64
	base   eventstore.Store
	scale  scale
	id     eventstore.ShardID
	stores []*fault.Store

	mu      sync.Mutex
	random  *rand.Rand
	hosts   []*shard.Host // by member; replaced when one dies
	current *shard.Shard  // the last that was opened; may be stale by now
	def     shard.Definition
	lives   int
	// floor is, per entity, the highest version that anyone was told.
	floor map[string]int64
	ops   []*operation
	reads []observation
}

// operation is one command and what its client learned.
type operation struct {
	command shard.Command
	floor   int64 // of the entity when it was first sent
	answer  *shard.Answer
	refusal *problem.Problem
	// unsure: at least one try may have run.
	unsure bool
	tries  []error // that gave no answer
}

func (o *operation) answered() bool { return o.answer != nil || o.refusal != nil }

// observation is a strong read.
type observation struct {
	entity string
	floor  int64
	view   shard.View
}

const members = 3

func newModel(t *testing.T, seed uint64, base eventstore.Store, sc scale) *model {
	m := &model{
		t: t, seed: seed, base: base, scale: sc, random: rand.New(rand.NewPCG(seed, 1)),
		hosts: make([]*shard.Host, members), floor: make(map[string]int64),
		def: shard.Definition{Behavior: bank{unit: "balance"}, SnapshotEvery: 3, PassivateAfter: 2 * time.Second, DedupFor: 24 * time.Hour},
	}
	a, err := base.EnsureAggregate(t.Context(), "account", 1)
	if err != nil {
		t.Fatal(err)
	}
	m.id = eventstore.ShardID{Aggregate: a.ID}
	for i := range members {
		m.stores = append(m.stores, fault.Wrap(base))
		m.stores[i].Random(seed+uint64(i)<<32, sc.rates)
		m.hosts[i] = m.newHost(i)
	}
	return m
}

func (m *model) pick(n int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.random.IntN(n)
}

func (m *model) newHost(i int) *shard.Host {
	m.lives++
	skew := time.Duration(m.random.IntN(5000)-2500) * time.Millisecond
	return shard.NewHost(shard.Config{
		Store: m.stores[i], Incarnation: eventstore.Incarnation(fmt.Sprintf("host-%d-%d", i, m.lives)), Logger: quiet(),
		Now: func() time.Time { return time.Now().Add(skew) },
		Limits: shard.Limits{
			MemoryBytes: 4000, FeedEvents: 20, BatchCommands: 8,
			AppendTimeout: m.scale.patience, CallTimeout: m.scale.patience, ResendFor: 4 * m.scale.patience,
		},
	})
}

// takeover opens the shard on some host, whoever has it.
func (m *model) takeover() {
	m.mu.Lock()
	h, def := m.hosts[m.random.IntN(members)], m.def
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 10*m.scale.patience)
	defer cancel()
	s, err := h.Open(ctx, shard.Spec{ID: m.id, Aggregate: "account", Definition: def})
	if errors.Is(err, shard.ErrStoreWentBack) {
		m.t.Errorf("seed %d: %v", m.seed, err)
	}
	if err != nil {
		return
	}
	s.Define(def) // it may have been open, under an older one
	m.mu.Lock()
	m.current = s
	m.mu.Unlock()
}

// upset does one thing that shakes the hosts.
func (m *model) upset() {
	switch m.pick(6) {
	case 0: // a host dies without a word, and another process takes its place
		m.mu.Lock()
		i := m.random.IntN(members)
		dead := m.hosts[i]
		m.hosts[i] = m.newHost(i)
		m.mu.Unlock()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		dead.Close(ctx)
		m.takeover()
	case 1: // a planned handoff
		m.mu.Lock()
		s := m.current
		m.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), m.scale.patience)
		_ = s.Drain(ctx)
		cancel()
		m.takeover()
	case 2: // another definition
		m.mu.Lock()
		m.def.Generation++
		m.def.Behavior = bank{unit: []string{"balance", "cents"}[m.random.IntN(2)], fee: int64(m.random.IntN(3))}
		s, def := m.current, m.def
		m.mu.Unlock()
		s.Define(def)
	default:
		m.takeover()
	}
}

// client sends its commands one after the other.
func (m *model) client(n int) {
	for i := range m.scale.commands {
		entity := fmt.Sprint("e", m.pick(m.scale.entities))
		if m.pick(5) == 0 {
			m.read(entity)
			continue
		}
		c := shard.Command{Entity: entity, ID: fmt.Sprintf("c%d-%d", n, i), Keyed: m.pick(4) > 0}
		c.Name, c.Body = m.draw()
		m.mu.Lock()
		op := &operation{command: c, floor: m.floor[entity]}
		m.ops = append(m.ops, op)
		m.mu.Unlock()
		for tries := 1 + m.pick(4); tries > 0 && !op.answered(); tries-- {
			m.try(op)
		}
	}
}

func (m *model) draw() (string, []byte) {
	body := fmt.Appendf(nil, `{"amount":%d}`, 1+m.pick(9))
	switch m.pick(13) {
	case 0, 1:
		return "Open", nil
	case 2, 3, 4:
		return "Withdraw", body
	case 5:
		return "Split", fmt.Appendf(nil, `{"amount":%d,"n":%d}`, 1+m.pick(3), 1+m.pick(4))
	case 6:
		return "Touch", nil
	case 7:
		return "Overflow", nil
	case 8:
		return "Unlinkable", nil
	}
	return "Deposit", body
}

func (m *model) try(op *operation) {
	m.mu.Lock()
	s := m.current
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), m.scale.patience*time.Duration(1+m.pick(4)))
	defer cancel()
	a, err := s.Handle(ctx, op.command)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		op.answer = &a
		m.floor[a.Entity] = max(m.floor[a.Entity], a.Version)
		return
	}
	op.tries = append(op.tries, err)
	p := problem.From(err)
	switch p.Reason {
	case problem.OutcomeUnknown:
		op.unsure = true
	case problem.NotAttempted, problem.Overloaded:
	case problem.Internal:
		m.t.Errorf("seed %d: %s: %v", m.seed, op.command.Name, err)
	default:
		op.refusal = p
	}
}

func (m *model) read(entity string) {
	m.mu.Lock()
	s, floor := m.current, m.floor[entity]
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), m.scale.patience)
	defer cancel()
	v, err := s.Read(ctx, entity, true)
	if problem.Is(err, problem.NoSuchEntity) {
		v, err = shard.View{Entity: entity}, nil
	}
	if err != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.floor[entity] = max(m.floor[entity], v.Version)
	m.reads = append(m.reads, observation{entity, floor, v})
}

// run plays it all, and checks it.
func (m *model) run() {
	for m.takeover(); m.current == nil; m.takeover() {
	}
	var clients, upsets sync.WaitGroup
	stop := make(chan struct{})
	upsets.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(m.scale.patience * time.Duration(m.pick(20)) / 10):
				m.upset()
			}
		}
	})
	for n := range m.scale.clients {
		clients.Go(func() { m.client(n) })
	}
	clients.Wait()
	close(stop)
	upsets.Wait()

	for _, s := range m.stores {
		s.Random(0, fault.Rates{})
		s.Settle()
	}
	m.check()
	for _, h := range m.hosts {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		if err := h.Close(ctx); err != nil && !errors.Is(err, shard.ErrClosed) {
			m.t.Errorf("seed %d: close: %v", m.seed, err)
		}
		cancel()
	}
}

// check compares the log, the answers and the repeats, on a calm store.
func (m *model) check() {
	m.fresh()
	logs := m.logs()
	for _, op := range m.ops {
		m.checkOperation(op, logs)
	}
	balances := make(map[string][]int64)
	for entity, log := range logs {
		balances[entity] = fold(log)
	}
	for _, o := range m.reads {
		known := balances[o.entity]
		if o.view.Version < o.floor || o.view.Version >= int64(max(len(known), 1)) {
			m.t.Errorf("seed %d: a strong read of %s gave version %d; %d had been told before, the log ends at %d", m.seed, o.entity, o.view.Version, o.floor, len(known)-1)
		} else if o.view.Version > 0 && balanceIn(o.view.State) != known[o.view.Version] {
			m.t.Errorf("seed %d: a read of %s at version %d gave %s, the log says %d", m.seed, o.entity, o.view.Version, o.view.State, known[o.view.Version])
		}
	}
	for entity, known := range balances {
		v, err := m.current.Read(context.Background(), entity, true)
		if err != nil || v.Version != int64(len(known)-1) || balanceIn(v.State) != known[len(known)-1] {
			m.t.Errorf("seed %d: %s ends as version %d, %s, %v; the log says %d, %d", m.seed, entity, v.Version, v.State, err, len(known)-1, known[len(known)-1])
		}
	}
	for _, op := range m.ops {
		m.checkRepeat(op)
	}
	if after := m.logs(); len(after) < len(logs) {
		m.t.Errorf("seed %d: entities vanished", m.seed)
	}
	if err := storetest.Invariants(context.Background(), m.base); err != nil {
		m.t.Errorf("seed %d: %v", m.seed, err)
	}
}

// fresh puts the shard on a host that has nothing in memory.
func (m *model) fresh() {
	m.hosts = append(m.hosts, m.newHost(0))
	s, err := m.hosts[members].Open(context.Background(), shard.Spec{ID: m.id, Aggregate: "account", Definition: m.def})
	if err != nil {
		m.t.Fatalf("seed %d: %v", m.seed, err)
	}
	m.current = s
}

func (m *model) logs() map[string][]eventstore.Event {
	out := make(map[string][]eventstore.Event)
	for after := int64(0); ; {
		page, err := m.base.ReadShard(context.Background(), m.id, after, 500)
		if err != nil {
			m.t.Fatalf("seed %d: %v", m.seed, err)
		}
		for _, e := range page {
			out[e.Entity] = append(out[e.Entity], e)
			after = e.Seq
		}
		if len(page) == 0 {
			return out
		}
	}
}

// fold gives the balance at each version.
func fold(log []eventstore.Event) []int64 {
	out := []int64{0}
	for _, e := range log {
		n := out[len(out)-1]
		switch e.Type {
		case "Deposited":
			n += amountOf(e.Data)
		case "Withdrawn":
			n -= amountOf(e.Data)
		}
		out = append(out, n)
	}
	return out
}

func balanceIn(state json.RawMessage) int64 {
	_, rest, _ := strings.Cut(strings.NewReplacer("cents", "balance", " ", "").Replace(string(state)), `"balance":`)
	return amountOf([]byte(rest[:strings.IndexAny(rest, ",}")]))
}

func (m *model) checkOperation(op *operation, logs map[string][]eventstore.Event) {
	var found []eventstore.Event
	for _, e := range logs[op.command.Entity] {
		if e.CommandID == op.command.ID {
			found = append(found, e)
		}
	}
	name := fmt.Sprintf("seed %d: %s %s %s", m.seed, op.command.Entity, op.command.ID, op.command.Name)
	for i, e := range found {
		if i > 0 && (e.Version != found[i-1].Version+1 || e.Seq != found[i-1].Seq+1) {
			m.t.Errorf("%s: its events do not follow each other: it ran twice", name)
		}
	}
	switch {
	case op.answer != nil:
		if len(found) != len(op.answer.Events) {
			m.t.Errorf("%s: %d events were acknowledged, %d are there", name, len(op.answer.Events), len(found))
			return
		}
		for i, e := range op.answer.Events {
			if e.Hash != found[i].Hash {
				m.t.Errorf("%s: event %d is another than the acknowledged one", name, i)
			}
		}
		if op.answer.Version < op.floor {
			m.t.Errorf("%s: answered at version %d, when %d had been told before", name, op.answer.Version, op.floor)
		}
	case op.refusal != nil || !op.unsure:
		if len(found) > 0 {
			m.t.Errorf("%s: it was refused (%v) or never attempted (%v), and has %d events: %+v", name, op.refusal, op.tries, len(found), found[0])
		}
		if op.refusal != nil && op.refusal.Reason == "InsufficientFunds" {
			m.checkRefusal(name, op, fold(logs[op.command.Entity]))
		}
	}
}

// checkRefusal: the balance that a refusal shows was there at some moment that
// is not before the command.
func (m *model) checkRefusal(name string, op *operation, balances []int64) {
	var shown int64
	_, _ = fmt.Sscanf(op.refusal.Detail, "balance %d", &shown)
	for _, n := range balances[min(int(op.floor), len(balances)):] {
		if n == shown {
			return
		}
	}
	m.t.Errorf("%s: it was shown the balance %d, which never was after version %d", name, shown, op.floor)
}

// checkRepeat: the same key again gives the same answer.
func (m *model) checkRepeat(op *operation) {
	if !op.command.Keyed || !op.answered() {
		return
	}
	name := fmt.Sprintf("seed %d: repeat of %s %s %s", m.seed, op.command.Entity, op.command.ID, op.command.Name)
	a, err := m.current.Handle(context.Background(), op.command)
	switch {
	case op.refusal != nil:
		p := problem.From(err)
		if err == nil || p.Reason != op.refusal.Reason || p.Detail != op.refusal.Detail || !p.Replay {
			m.t.Errorf("%s: first %v, then %v", name, op.refusal, err)
		}
	case err != nil || !a.Replay || a.Version != op.answer.Version || a.Seq != op.answer.Seq || len(a.Events) != len(op.answer.Events):
		m.t.Errorf("%s: first %+v, then %+v, %v", name, op.answer, a, err)
	}
}

var (
	firstSeed = flag.Uint64("seed", 0, "the first seed of the model test")
	seeds     = flag.Uint64("seeds", 40, "how many seeds the model test runs")
)

var stormy = fault.Rates{Before: 0.05, After: 0.03, Lost: 0.03, Late: 0.03}

func TestRandomFaultsAndTakeoversLoseAndRepeatNothing(t *testing.T) {
	for i := range *seeds {
		seed := *firstSeed + i
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				newModel(t, seed, memory.New(memory.Options{}), scale{
					clients: 6, commands: 60, entities: 3, patience: time.Second, rates: stormy,
				}).run()
			})
		})
	}
}
