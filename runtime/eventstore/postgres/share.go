package postgres

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// share keeps a store's pools from starving each other where the server has fewer
// connections than they would use. A pool that has none, and is refused one, gets
// one that the pool which has most of them gives up; until it has it, those that
// have what they cannot do without ask for no more. A pool that has one does not
// count as refused, so this ends.
type share struct {
	// turn has one while a connection is being prepared.
	turn chan struct{}
	// ctx ends when the store closes; then nothing is given any more.
	ctx    context.Context
	cancel context.CancelFunc

	mu    sync.Mutex
	parts []*part
	gives sync.WaitGroup
}

// part is a pool's: what hears of its connections, as the driver's tracer.
type part struct {
	share *share
	least int // what the pool keeps for itself
	// pool is nil until it is made; its first connections may be refused before that.
	pool atomic.Pointer[pgxpool.Pool]
	// gives: a connection is about to be closed for another pool.
	gives atomic.Bool
	// waits is until when the others leave what is free to this pool.
	waits atomic.Pointer[time.Time]
}

// precedence is how long a pool that was refused a connection goes before others:
// longer than those who need it take to ask again, short where nobody does.
const precedence = time.Second

// turnFor is how long a connection may keep others waiting while it is prepared: some
// ten times as long as that takes, for a server may not answer at all.
const turnFor = 100 * time.Millisecond

// errFew is told where the server would refuse as well, or another pool starve.
var errFew = errors.New("the server has too few connections, and others of this process have none")

func newShare() *share {
	s := &share{turn: make(chan struct{}, 1)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// close returns when no pool is giving. It has to come before the pools are closed: a
// closed one gives nothing, for as long as it is asked.
func (s *share) close() {
	s.mu.Lock()
	s.cancel()
	s.mu.Unlock()
	s.gives.Wait()
}

// take waits for the turn to prepare a connection, and gives what ends it. A process
// that starts makes a dozen at once, and each is several milliseconds of work for the
// server: side by side they would keep it, for as long as they take together, from what
// it does for others, which may be to take over the shards that the process had before.
func (s *share) take(ctx context.Context) (done func(), err error) {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	done = sync.OnceFunc(func() { <-s.turn })
	time.AfterFunc(turnFor, done)
	return done, nil
}

// inTurn is the turn of the connection that a context is about.
type inTurn struct{ done func() }

type inTurnKey struct{}

// connected waits for the turn when the server, if there is one, has accepted, and
// nothing has been said yet; TraceConnectEnd ends it.
func (p *part) connected(ctx context.Context) (err error) {
	t, _ := ctx.Value(inTurnKey{}).(*inTurn)
	if t == nil || t.done != nil { // it is a CancelRequest's; it is the next host's
		return nil
	}
	t.done, err = p.share.take(ctx)
	return err
}

func (s *share) join(least int) *part {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &part{share: s, least: least}
	s.parts = append(s.parts, p)
	return p
}

// spare is how many connections the pool could do without.
func (p *part) spare() int {
	pool := p.pool.Load()
	if pool == nil {
		return 0
	}
	return established(pool) - p.least
}

func established(pool *pgxpool.Pool) int {
	stat := pool.Stat()
	return int(stat.AcquiredConns() + stat.IdleConns())
}

// refused has another pool give a connection up for this one.
func (p *part) refused() {
	if pool := p.pool.Load(); pool != nil && established(pool) > 0 {
		return
	}
	until := time.Now().Add(precedence)
	p.waits.Store(&until)
	p.share.mu.Lock()
	defer p.share.mu.Unlock()
	if p.share.ctx.Err() != nil {
		return
	}
	var giver *part
	most := 0
	for _, other := range p.share.parts {
		if spare := other.spare(); other != p && spare > most {
			giver, most = other, spare
		}
	}
	if giver != nil && giver.gives.CompareAndSwap(false, true) {
		p.share.gives.Go(func() { giver.give(until) })
	}
}

// give closes a connection as soon as one is at rest. (A hook of the pool's on every
// release would do it too, but then it releases a moment later, and whoever comes in
// that moment dials.)
func (p *part) give(until time.Time) {
	defer p.gives.Store(false)
	ctx, cancel := context.WithDeadline(p.share.ctx, until)
	defer cancel()
	for ctx.Err() == nil {
		conn, err := p.pool.Load().Acquire(ctx)
		if err == nil {
			if p.spare() > 0 {
				_ = conn.Conn().Close(ctx) // the pool sees that it is closed
			}
			conn.Release()
			return
		}
		select { // all are at work, and it may not dial: yields
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// yields says whether the pool must not ask for a connection now.
func (p *part) yields() bool {
	if p.spare() < 0 {
		return false
	}
	now := time.Now()
	p.share.mu.Lock()
	defer p.share.mu.Unlock()
	return slices.ContainsFunc(p.share.parts, func(other *part) bool {
		until := other.waits.Load()
		return other != p && until != nil && now.Before(*until)
	})
}

// tooManyConnections is how the server, a pooler's included, refuses one for that
// alone (too_many_connections).
const tooManyConnections = "53300"

// TraceConnectStart makes room for the turn.
func (p *part) TraceConnectStart(ctx context.Context, _ pgx.TraceConnectStartData) context.Context {
	return context.WithValue(ctx, inTurnKey{}, new(inTurn))
}

// TraceConnectEnd hears how a dial ended.
func (p *part) TraceConnectEnd(ctx context.Context, end pgx.TraceConnectEndData) {
	if t, _ := ctx.Value(inTurnKey{}).(*inTurn); t != nil && t.done != nil {
		t.done()
	}
	if end.Err == nil {
		p.waits.Store(nil)
	}
	var answer *pgconn.PgError
	if errors.As(end.Err, &answer) && answer.Code == tooManyConnections {
		p.refused()
	}
}

// The rest of the driver's interface has no use here.

func (p *part) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

func (p *part) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
