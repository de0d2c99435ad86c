package simulation

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

// operation is one thing that a client did, and what it learned.
type operation struct {
	client  int
	kind    kind
	shard   int
	command shard.Command // its Entity with every kind
	// begun and ended are since the run began.
	begun, ended time.Duration
	answer       *shard.Answer
	refusal      *problem.Problem
	view         *shard.View
	unsure       bool // some try may have run, or may yet
	tries        []string
}

type kind string

const (
	write      kind = "command"
	strongRead kind = "strong read"
	localRead  kind = "local read"
	readAt     kind = "read at a version"
)

func (o *operation) answered() bool { return o.answer != nil || o.refusal != nil || o.view != nil }

func (o *operation) String() string {
	what := string(o.kind)
	if o.kind == write {
		what = fmt.Sprintf("%s %s %s", o.command.ID, o.command.Name, o.command.Body)
		if !o.command.Keyed {
			what += " (id of the door)"
		}
		if o.command.Expect.Kind == shard.ExpectVersion {
			what += fmt.Sprintf(" if at version %d", o.command.Expect.Version)
		}
	}
	result := "no answer"
	switch {
	case o.answer != nil:
		result = fmt.Sprintf("version %d, %d events, seq %d, replay %t", o.answer.Version, len(o.answer.Events), o.answer.Seq, o.answer.Replay)
	case o.refusal != nil:
		result = o.refusal.Error()
	case o.view != nil:
		result = fmt.Sprintf("version %d, %s", o.view.Version, o.view.State)
	}
	if o.unsure {
		result += " (a try may have run unanswered)"
	}
	return fmt.Sprintf("%12v %12v client %d, %s: %s -> %s; tries: %v", o.begun, o.ended, o.client, o.command.Entity, what, result, o.tries)
}

// client sends one thing after the other.
type client struct {
	*world
	n     int
	r     *rand.Rand
	known map[string]int64 // the highest version that it was told, by entity
	owner [2]int           // where it thinks the shards are; it learns late that one has moved
}

const (
	clients  = 6
	perRun   = 40 // operations of a client
	entities = 3
	// patience is the least that a client grants to a try.
	patience = 300 * time.Millisecond
)

func (c *client) run() {
	for i := range perRun {
		time.Sleep(time.Duration(c.r.Int64N(int64(60 * time.Millisecond))))
		n := c.r.IntN(entities)
		op := &operation{client: c.n, kind: write, shard: n % len(c.id)}
		op.command = shard.Command{Entity: fmt.Sprint("e", n), ID: fmt.Sprintf("c%d-%d", c.n, i), Keyed: c.r.IntN(4) > 0}
		switch c.r.IntN(10) {
		case 0, 1:
			op.kind = strongRead
		case 2:
			op.kind = localRead
		case 3:
			op.kind = readAt
			op.command.Expect.Version = 1 + c.r.Int64N(c.known[op.command.Entity]+1)
		default:
			c.draw(&op.command)
		}
		c.do(op)
	}
}

func (c *client) draw(cmd *shard.Command) {
	amount := 1 + c.r.IntN(9)
	cmd.Body = fmt.Appendf(nil, `{"amount":%d}`, amount)
	switch c.r.IntN(12) {
	case 0, 1:
		cmd.Name, cmd.Body = "Open", nil
	case 2, 3, 4, 5:
		cmd.Name = "Withdraw"
	case 6:
		cmd.Name, cmd.Body = "Split", fmt.Appendf(nil, `{"amount":%d,"n":%d}`, amount, 1+c.r.IntN(4))
	case 7:
		cmd.Name, cmd.Body = "Touch", nil
	default:
		cmd.Name = "Deposit"
	}
	if c.r.IntN(6) == 0 {
		cmd.Expect = shard.Expectation{Kind: shard.ExpectVersion, Version: c.known[cmd.Entity]}
	}
}

func (c *client) do(op *operation) {
	c.mu.Lock()
	c.history = append(c.history, op)
	c.mu.Unlock()
	op.begun = time.Since(c.began)
	for tries := 1 + c.r.IntN(4); tries > 0 && !op.answered(); tries-- {
		c.try(op)
	}
	op.ended = time.Since(c.began)
	switch {
	case op.answer != nil:
		c.learn(op, op.answer.Version)
		if c.r.IntN(4) == 0 {
			c.await(op)
		}
	case op.view != nil && op.kind == strongRead:
		c.learn(op, op.view.Version)
	}
	if op.kind == write && op.command.Keyed && op.answered() && c.r.IntN(4) == 0 {
		again := &operation{client: c.n, kind: write, shard: op.shard, command: op.command}
		c.try(again)
		c.same(op, again)
	}
}

func (c *client) learn(op *operation, version int64) {
	c.known[op.command.Entity] = max(c.known[op.command.Entity], version)
}

// reply is what one try gave.
type reply struct {
	from   string
	answer shard.Answer
	view   shard.View
	err    error
}

var errUnreachable = errors.New("the host does not have the shard")

// try sends the operation to the host that should own the shard, or to another.
func (c *client) try(op *operation) {
	if len(op.tries) > 0 || c.r.IntN(4) == 0 {
		c.mu.Lock()
		c.owner[op.shard] = c.world.owner[op.shard]
		c.mu.Unlock()
	}
	if c.r.IntN(8) == 0 {
		c.owner[op.shard] = c.r.IntN(places)
	}
	h := c.host(c.owner[op.shard])
	r := rand.New(rand.NewPCG(c.r.Uint64(), 0)) // of the way there and back
	there, back := latency(r, 0.04), latency(r, 0.04)
	lost := r.IntN(40) == 0 && !c.calm.Load()
	if r.IntN(40) == 0 && !c.calm.Load() {
		there += time.Duration(r.Int64N(int64(2 * time.Second)))
	}
	grant := patience * time.Duration(1+c.r.IntN(8))
	out := make(chan reply, 1)
	cmd := op.command // as it is sent
	c.calls.Go(func() {
		h.link.pass(r, there)
		got := reply{from: h.link.name}
		// What travels is the time that is left, not a moment.
		ctx, cancel := context.WithTimeout(context.Background(), grant)
		got.answer, got.view, got.err = call(ctx, h.Shard(c.id[op.shard]), op.kind, cmd)
		cancel()
		h.link.pass(r, back)
		dead := false
		h.link.set(func() { dead = h.link.dead })
		if !lost && !dead {
			out <- got
		}
	})
	timeout := time.NewTimer(grant)
	defer timeout.Stop()
	select {
	case got := <-out:
		c.settle(op, got)
	case <-timeout.C:
		op.unsure = true
		op.tries = append(op.tries, fmt.Sprintf("%s: silence at %v", h.link.name, time.Since(c.began)))
	}
	if op.unsure {
		op.command.Retried = true
	}
	if !op.answered() {
		time.Sleep(time.Duration(c.r.Int64N(int64(100 * time.Millisecond))))
	}
}

func call(ctx context.Context, s *shard.Shard, k kind, cmd shard.Command) (a shard.Answer, v shard.View, err error) {
	if s == nil {
		return a, v, errUnreachable
	}
	switch k {
	case write:
		a, err = s.Handle(ctx, cmd)
	case readAt:
		v, err = s.At(ctx, cmd.Entity, cmd.Expect.Version)
	default:
		v, err = s.Read(ctx, cmd.Entity, k == strongRead)
	}
	return a, v, err
}

// settle takes over what a try gave.
func (c *client) settle(op *operation, got reply) {
	if got.err == nil {
		if op.kind == write {
			op.answer = &got.answer
		} else {
			op.view = &got.view
		}
		op.tries = append(op.tries, got.from)
		return
	}
	op.tries = append(op.tries, fmt.Sprintf("%s at %v: %v", got.from, time.Since(c.began), got.err))
	if errors.Is(got.err, errUnreachable) {
		return
	}
	p := problem.From(got.err)
	switch p.Reason {
	case problem.OutcomeUnknown:
		op.unsure = true
	case problem.NotAttempted, problem.Overloaded:
	case problem.Internal, problem.BehaviorFailed:
		if op.kind == write || !errors.Is(got.err, context.DeadlineExceeded) && !isNotAttempted(got.err) {
			c.failOn(op.command.Entity, "%s of %s by %s failed: %v", op.kind, op.command.Entity, got.from, got.err)
		}
	case problem.NoSuchEntity:
		if op.kind != readAt {
			op.view = &shard.View{Entity: op.command.Entity, State: []byte(`{"open":false,"balance":0}`)}
		}
	default:
		op.refusal = p
	}
}

// same holds the answer to a repeat against the first one.
func (c *client) same(first, again *operation) {
	if !again.answered() {
		return
	}
	ok := false
	switch {
	case first.refusal != nil && again.refusal != nil:
		ok = first.refusal.Reason == again.refusal.Reason && first.refusal.Detail == again.refusal.Detail
	case first.answer != nil && again.answer != nil:
		a, b := first.answer, again.answer
		ok = a.Version == b.Version && a.Seq == b.Seq && len(a.Events) == len(b.Events)
	}
	if !ok {
		c.failOn(first.command.Entity, "a repeat was answered otherwise:\n  %s\n  %s", first, again)
	}
}
