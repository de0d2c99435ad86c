package peer

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"

	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
	"github.com/leftfold/leftfold/api/rpc/leftfold/v1/leftfoldv1connect"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

// peer is another process. It is the HTTP client of its own service client, for
// that is where connections are chosen.
type peer struct {
	pool    *Pool
	address string
	client  leftfoldv1connect.EntityServiceClient
	calls   atomic.Int64

	mu   sync.Mutex
	conn *http.ClientConn
	// dial is the connection that is being made, nil when none is.
	dial *dial
	// missed: it could not be reached the last time. Callers try again and again.
	missed bool
}

// dial is one attempt to connect, for all who wait for it.
type dial struct {
	done chan struct{}
	conn *http.ClientConn // set before done is closed, unless err is
	err  error
}

// Handle implements routing.Peer.
func (p *peer) Handle(ctx context.Context, aggregate string, c shard.Command) (shard.Answer, error) {
	m, err := commandMessage(aggregate, c)
	if err != nil {
		return shard.Answer{}, err
	}
	if err := p.enter(); err != nil {
		return shard.Answer{}, err
	}
	defer p.leave()
	answer, err := p.client.Handle(ctx, m)
	if err != nil {
		return shard.Answer{}, faultOf(err)
	}
	return answerOf(answer), nil
}

// Read implements routing.Peer.
func (p *peer) Read(ctx context.Context, aggregate, entity string, strong bool) (shard.View, error) {
	if err := p.enter(); err != nil {
		return shard.View{}, err
	}
	defer p.leave()
	view, err := p.client.Read(ctx, &leftfoldv1.ReadRequest{Aggregate: aggregate, Entity: entity, Strong: strong})
	if err != nil {
		return shard.View{}, faultOf(err)
	}
	return viewOf(view), nil
}

// enter counts a call, unless there are too many.
func (p *peer) enter() error {
	if p.pool.calls.Add(1) > int64(p.pool.cfg.Calls) {
		p.pool.calls.Add(-1)
		p.pool.cfg.Observer.refused(problem.LimitPeersCalls)
		return overloaded(problem.LimitPeersCalls, "too many calls are with other pods")
	}
	change(p.pool.cfg.Observer.Calls, 1)
	if p.calls.Add(1) > int64(p.pool.cfg.PeerCalls) {
		p.leave()
		p.pool.cfg.Observer.refused(problem.LimitPeerCalls)
		return overloaded(problem.LimitPeerCalls, "too many calls are with the pod that owns the shard")
	}
	return nil
}

func (p *peer) leave() {
	p.calls.Add(-1)
	p.pool.calls.Add(-1)
	change(p.pool.cfg.Observer.Calls, -1)
}

// Do sends a request over the connection, and makes one if need be.
func (p *peer) Do(r *http.Request) (*http.Response, error) {
	conn, err := p.connection(r.Context())
	if err != nil {
		return nil, &unsentError{err}
	}
	var written atomic.Bool
	trace := &httptrace.ClientTrace{WroteHeaders: func() { written.Store(true) }}
	response, err := conn.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
	if err != nil && !written.Load() {
		// The body comes after the headers, and without its end nothing runs.
		return nil, &unsentError{err}
	}
	return response, err
}

// connection gives the one that is there, or waits for a new one.
func (p *peer) connection(ctx context.Context) (*http.ClientConn, error) {
	p.mu.Lock()
	if p.conn != nil && p.conn.Err() == nil {
		defer p.mu.Unlock()
		return p.conn, nil
	}
	d := p.dial
	if d == nil {
		d = &dial{done: make(chan struct{})}
		if !p.pool.start(func() { p.connect(d) }) {
			p.mu.Unlock()
			return nil, errClosed
		}
		p.dial = d
	}
	p.mu.Unlock()
	select {
	case <-d.done:
		return d.conn, d.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// connect makes the connection.
func (p *peer) connect(d *dial) {
	ctx, cancel := context.WithTimeout(p.pool.ctx, connectTimeout)
	defer cancel()
	d.conn, d.err = p.pool.transport.NewClientConn(ctx, "https", p.address)
	p.mu.Lock()
	news := d.err != nil && !p.missed
	p.missed = d.err != nil
	p.mu.Unlock()
	if news {
		p.pool.cfg.Logger.Info("another pod cannot be reached; its callers ask the store for the shard's owner",
			"address", p.address, "error", d.err)
	}
	p.mu.Lock()
	if p.conn != nil {
		_ = p.conn.Close()
	}
	p.conn, p.dial = d.conn, nil
	p.mu.Unlock()
	close(d.done)
}

// idle tells that there is neither a call nor a connection.
func (p *peer) idle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls.Load() == 0 && p.dial == nil && (p.conn == nil || p.conn.Err() != nil)
}

func (p *peer) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn != nil {
		_ = p.conn.Close()
	}
}
