package shard

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

type leaseCheck struct {
	tenure eventstore.Tenure
	done   func(holds bool, err error)
}

// Two callers: while one check is under way, those who came too late for it
// already travel with the next.
const checkCallers = 2

var errShortAnswer = errors.New("the store answered for fewer leases than asked")

// checker gathers lease checks of several shards into one call.
type checker struct {
	store   eventstore.Log
	timeout time.Duration
	work    sync.WaitGroup

	mu     sync.Mutex
	ready  []leaseCheck
	come   *sync.Cond
	closed bool
}

func startChecker(ctx context.Context, store eventstore.Log, timeout time.Duration) *checker {
	c := &checker{store: store, timeout: timeout}
	c.come = sync.NewCond(&c.mu)
	for range checkCallers {
		c.work.Go(func() { c.run(ctx) })
	}
	return c
}

func (c *checker) submit(l leaseCheck) {
	c.mu.Lock()
	c.ready = append(c.ready, l)
	c.mu.Unlock()
	c.come.Signal()
}

func (c *checker) run(ctx context.Context) {
	for {
		c.mu.Lock()
		for len(c.ready) == 0 && !c.closed {
			c.come.Wait()
		}
		group := c.ready
		c.ready = nil
		c.mu.Unlock()
		if len(group) == 0 {
			return
		}
		tenures := make([]eventstore.Tenure, len(group))
		for i, g := range group {
			tenures[i] = g.tenure
		}
		holds, err := c.ask(ctx, tenures)
		for i, g := range group {
			g.done(err == nil && holds[i], err)
		}
	}
}

func (c *checker) ask(ctx context.Context, tenures []eventstore.Tenure) ([]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	holds, err := c.store.Check(ctx, tenures)
	if err == nil && len(holds) != len(tenures) {
		err = errShortAnswer
	}
	return holds, err
}

func (c *checker) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.come.Broadcast()
	c.work.Wait()
}
