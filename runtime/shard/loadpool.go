package shard

import (
	"sync"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// A load's page of events ends with the one with which their data reaches so many
// bytes, for there are as many pages in memory as there are loads and replays.
const loadBytes = 1 << 20

// mayGoOn tells that there may be events after a page of a load.
func mayGoOn(page []eventstore.Event) bool {
	return len(page) == loadPage || eventstore.DataBytes(page) >= loadBytes
}

// loadPool runs loads, so many at a time. Its queue is bounded by the mailboxes:
// an entity is in it once.
type loadPool struct {
	work sync.WaitGroup

	mu     sync.Mutex
	queue  []func()
	come   *sync.Cond
	closed bool
}

func startLoadPool(workers int) *loadPool {
	p := &loadPool{}
	p.come = sync.NewCond(&p.mu)
	for range workers {
		p.work.Go(p.run)
	}
	return p
}

func (p *loadPool) submit(f func()) {
	p.mu.Lock()
	p.queue = append(p.queue, f)
	p.mu.Unlock()
	p.come.Signal()
}

func (p *loadPool) run() {
	for {
		p.mu.Lock()
		for len(p.queue) == 0 && !p.closed {
			p.come.Wait()
		}
		if len(p.queue) == 0 {
			p.mu.Unlock()
			return
		}
		f := p.queue[0]
		p.queue[0] = nil
		p.queue = p.queue[1:]
		p.mu.Unlock()
		f()
	}
}

// close lets what was submitted finish.
func (p *loadPool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.come.Broadcast()
	p.work.Wait()
}
