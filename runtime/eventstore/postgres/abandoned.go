package postgres

import (
	"context"
	"crypto/tls"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// farewell bounds the goodbye on a connection that is not used again.
const farewell = 5 * time.Second

// abandoned keeps the connections whose statement still runs although its
// caller has gone. The statement is left to end by itself, and its connection
// is closed then. When there are more than limit, the one abandoned first is
// dropped, and so is each after patience: its socket is closed without a word.
// No cancel request goes to the server, which finishes the statement or, when
// it has not received all of it, undoes it.
type abandoned struct {
	limit    int
	patience time.Duration

	mu    sync.Mutex
	exits []*departure // in the order of their abandonment
}

// departure is one statement's connection, from its start to its end.
type departure struct {
	conn *pgxpool.Conn
	// The rest is guarded by abandoned.mu.
	abandoned, gone bool
	timer           *time.Timer
}

// abandon says that nobody waits for the statement any more. It returns false
// when the statement has ended.
func (a *abandoned) abandon(d *departure) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if d.gone {
		return false
	}
	d.abandoned = true
	d.timer = time.AfterFunc(a.patience, func() { a.drop(d) })
	a.exits = append(a.exits, d)
	if len(a.exits) > a.limit {
		a.exits[0].cut()
		a.exits = a.exits[1:]
	}
	return true
}

// leave is the end of the statement: its connection goes back to the pool, or
// is closed when it was abandoned or is not to be used again.
func (a *abandoned) leave(d *departure, discard bool) {
	a.mu.Lock()
	d.gone = true
	discard = discard || d.abandoned
	if d.timer != nil {
		d.timer.Stop()
	}
	a.remove(d)
	a.mu.Unlock()
	if discard {
		ctx, cancel := context.WithTimeout(context.Background(), farewell)
		_ = d.conn.Conn().Close(ctx) // the pool sees that it is closed
		cancel()
	}
	d.conn.Release()
}

func (a *abandoned) drop(d *departure) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !d.gone {
		d.cut()
		a.remove(d)
	}
}

func (a *abandoned) dropAll() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, d := range a.exits {
		d.cut()
	}
	a.exits = nil
}

func (a *abandoned) remove(d *departure) {
	for i, other := range a.exits {
		if other == d {
			a.exits = append(a.exits[:i], a.exits[i+1:]...)
			return
		}
	}
}

// count is how many statements run without a caller.
func (a *abandoned) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.exits)
}

// cut closes the socket below everything, TLS included, whose own goodbye could
// wait for a peer that does not listen. The goroutine that reads from it sees
// an error and ends.
func (d *departure) cut() {
	if d.gone {
		return
	}
	socket := d.conn.Conn().PgConn().Conn()
	if secure, ok := socket.(*tls.Conn); ok {
		socket = secure.NetConn()
	}
	_ = socket.Close() // whoever waits on it hears of it
}
