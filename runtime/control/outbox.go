package control

import (
	"sync"

	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
)

// outbox holds the replies that a stream has not taken yet, at most one of a key.
// A newer one takes the older one's place in the row.
type outbox struct {
	mu      sync.Mutex
	order   []any
	waiting map[any]*leftfoldv1.ControlReply
	pong    *leftfoldv1.ControlReply
	wake    chan struct{} // holds one
}

func newOutbox() *outbox {
	return &outbox{waiting: map[any]*leftfoldv1.ControlReply{}, wake: make(chan struct{}, 1)}
}

func (o *outbox) put(key any, reply *leftfoldv1.ControlReply) {
	o.mu.Lock()
	if o.waiting[key] == nil {
		o.order = append(o.order, key)
	}
	o.waiting[key] = reply
	o.mu.Unlock()
	o.signal()
}

// putPong puts a Pong before all else. One that was not sent yet is of no use
// beside a newer one.
func (o *outbox) putPong(reply *leftfoldv1.ControlReply) {
	o.mu.Lock()
	o.pong = reply
	o.mu.Unlock()
	o.signal()
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// take gives the next reply, or nil when there is none now. The Welcome is the
// first to be put, and a Pong never goes before it.
func (o *outbox) take() *leftfoldv1.ControlReply {
	o.mu.Lock()
	defer o.mu.Unlock()
	if pong := o.pong; pong != nil && o.waiting[welcomeKey] == nil {
		o.pong = nil
		return pong
	}
	if len(o.order) == 0 {
		return nil
	}
	key := o.order[0]
	o.order = o.order[1:]
	reply := o.waiting[key]
	delete(o.waiting, key)
	return reply
}
