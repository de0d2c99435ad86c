package simulation

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// projection follows one shard by the memory of whichever host it asks, zombies
// among them, and by the store where that is not enough.
type projection struct {
	mu   sync.Mutex
	seen []eventstore.Event
	rows map[string]row // by entity
}

type row struct {
	version int64
	account account
}

// follow feeds a projection until told to stop.
func (w *world) follow(n int, r *rand.Rand, stop <-chan struct{}) {
	p := w.projection[n]
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Millisecond + time.Duration(r.Int64N(int64(40*time.Millisecond)))):
		}
		after := int64(len(p.seen))
		var events []eventstore.Event
		ok := false
		if s := w.host(r.IntN(places)).Shard(w.id[n]); s != nil {
			events, _, ok = s.Committed(after, 20)
		}
		if !ok {
			events, _ = w.store.ReadShard(context.Background(), w.id[n], after, 20) // the model's reads do not fail
		}
		p.apply(events)
	}
}

func (p *projection) apply(events []eventstore.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range events {
		p.seen = append(p.seen, e)
		p.rows[e.Entity] = row{e.Version, evolve(p.rows[e.Entity].account, e.Type, e.Data)}
	}
}

// await waits until the projection has come to the position of an answer, and
// then reads what the client wrote.
func (c *client) await(op *operation) {
	p := c.projection[op.shard]
	for range 40 {
		p.mu.Lock()
		at, found := int64(len(p.seen)), p.rows[op.command.Entity]
		p.mu.Unlock()
		if at >= op.answer.Seq {
			if found.version < op.answer.Version {
				c.failOn(op.command.Entity, "a projection at position %d has %s at version %d, and %d was answered with position %d",
					at, op.command.Entity, found.version, op.answer.Version, op.answer.Seq)
			}
			return
		}
		time.Sleep(10*time.Millisecond + time.Duration(c.r.Int64N(int64(10*time.Millisecond))))
	}
}
