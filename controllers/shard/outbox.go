package shard

import (
	"sync"

	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
)

// maxWaiting is how many messages may wait for one pod: room for a grant of each of
// 10,000 shards, and as much again. A pod that takes none of them is cut off; it is
// told everything anew when it is back.
const maxWaiting = 20_000

// outbox holds what is to be sent on a connection, in order.
type outbox struct {
	mu      sync.Mutex
	waiting []*leftfoldv1.ControlRequest
	wake    chan struct{} // holds one
}

func newOutbox() *outbox { return &outbox{wake: make(chan struct{}, 1)} }

// put tells whether there was room.
func (o *outbox) put(r *leftfoldv1.ControlRequest) bool {
	o.mu.Lock()
	room := len(o.waiting) < maxWaiting
	if room {
		o.waiting = append(o.waiting, r)
	}
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
	return room
}

// take gives all that waits.
func (o *outbox) take() []*leftfoldv1.ControlRequest {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.waiting
	o.waiting = nil
	return all
}
