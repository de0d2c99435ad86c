package api

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
)

// surplus is how many connections beyond the limit are accepted to be told so: a
// caller learns more from an answer than from a connection that hangs.
const surplus = 256

// connections counts what a listener has accepted. Beyond most+surplus it accepts
// no more until some have ended.
type connections struct {
	net.Listener
	most  int64
	open  atomic.Int64
	told  func(delta int)
	slots chan struct{}
	ended chan struct{}
	close sync.Once
}

// Limit makes the listener of the API's port keep to the handler's connections.
// The server that NewServer gives knows which are too many.
func (h *Handler) Limit(l net.Listener) net.Listener {
	return &connections{
		Listener: l, most: int64(h.Connections), told: h.Observer.Connections,
		slots: make(chan struct{}, h.Connections+surplus), ended: make(chan struct{}),
	}
}

// Accept implements net.Listener.
func (l *connections) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.ended:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	tell(l.told, 1)
	return &connection{Conn: c, of: l, tooMany: l.open.Add(1) > l.most}, nil
}

// Close implements net.Listener.
func (l *connections) Close() error {
	l.close.Do(func() { close(l.ended) })
	return l.Listener.Close()
}

type connection struct {
	net.Conn
	of      *connections
	tooMany bool
	closed  atomic.Bool
}

// Close implements net.Conn.
func (c *connection) Close() error {
	if !c.closed.Swap(true) {
		c.of.open.Add(-1)
		tell(c.of.told, -1)
		<-c.of.slots
	}
	return c.Conn.Close()
}

// CloseWrite lets the server end its side first, so that an answer is not lost
// with what the caller was still sending.
func (c *connection) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

type tooManyKey struct{}

// markTooMany is http.Server.ConnContext.
func markTooMany(ctx context.Context, c net.Conn) context.Context {
	if one, ok := c.(*connection); ok && one.tooMany {
		return context.WithValue(ctx, tooManyKey{}, true)
	}
	return ctx
}
