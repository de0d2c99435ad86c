package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	server "github.com/leftfold/leftfold/api/postgres"
	"github.com/leftfold/leftfold/runtime/eventstore"
)

// Times of the pools. A connection is replaced after an hour so that load finds
// its way to new servers behind one address; idle ones are closed as pgx does.
const (
	connectionLifetime = time.Hour
	// pingTimeout bounds the look at a connection that was idle for a second or
	// more, before a statement is trusted to it.
	pingTimeout = time.Second
)

// cancelPolicy says whether a statement whose context ends is cancelled in the
// server.
type cancelPolicy bool

const (
	mayCancel   cancelPolicy = true
	neverCancel cancelPolicy = false
)

// poolSpec is how one pool differs from the others.
type poolSpec struct {
	size int
	// kept is how many connections are there also when nobody needs them. What a pod
	// that takes shards over needs at once is kept: to dial, to be checked and to plan
	// takes longer than the claim, the load and the append themselves.
	kept int
	// part is what the pool has of the connections that the server allows.
	part     *part
	cancel   cancelPolicy
	settings map[string]string
	// ready prepares a new connection, after its checks.
	ready func(context.Context, *pgx.Conn) error
}

// connState is what this package knows of one connection. It is reached from
// callbacks of the driver, hence the atomics.
type connState struct {
	// up is set when the connection has passed its checks.
	up atomic.Bool
	// warnings counts the notices of severity WARNING so far; lastWarning is the
	// newest one's text.
	warnings    atomic.Int64
	lastWarning atomic.Value
	// backend is the server process's id, asked over SQL: a pooler in between
	// makes up another for the protocol.
	backend int32
}

// stateKey is where a connection keeps its connState.
const stateKey = "leftfold"

func stateOf(conn *pgconn.PgConn) *connState {
	state, _ := conn.CustomData()[stateKey].(*connState)
	return state
}

// parseURL reads the URL. Its error says nothing of the URL.
func parseURL(o Options) (*pgxpool.Config, error) {
	config, err := server.ParseURL(o.URL, server.Network{ConnectTimeout: o.ConnectTimeout, DeadPeerTimeout: o.DeadPeerTimeout})
	if err != nil {
		return nil, err
	}
	config.MaxConnLifetime = connectionLifetime
	config.MaxConnLifetimeJitter = connectionLifetime / 10
	config.PingTimeout = pingTimeout
	return config, nil
}

// open makes a pool whose connections are all checked before they are used.
func (p poolSpec) open(ctx context.Context, base *pgxpool.Config) (*pgxpool.Pool, error) {
	config := base.Copy()
	config.MaxConns, config.MinConns = int32(p.size), int32(p.kept)
	config.BeforeConnect = func(_ context.Context, cc *pgx.ConnConfig) error {
		if p.part.yields() {
			return errFew
		}
		p.guard(cc)
		return nil
	}
	if p.ready != nil {
		config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
			ctx, cancel := context.WithTimeout(ctx, config.ConnConfig.ConnectTimeout)
			defer cancel()
			done, err := p.part.share.take(ctx)
			if err != nil {
				return err
			}
			defer done()
			return p.ready(ctx, conn)
		}
	}
	config.ConnConfig.Tracer = p.part
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err == nil {
		p.part.pool.Store(pool)
	}
	return pool, err
}

// guard makes one connection's configuration its own: with its state, its
// checks, and a dialler that refuses what this pool must not do.
func (p poolSpec) guard(cc *pgx.ConnConfig) {
	state := &connState{}
	dial, validate := cc.DialFunc, cc.ValidateConnect
	cc.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		// Once a connection is up, the driver dials again for one purpose only: to
		// send a CancelRequest, when a context ends or the socket breaks. A
		// cancelled append is one whose outcome nobody knows, so it is not sent.
		if p.cancel == neverCancel && state.up.Load() {
			return nil, errNeverCancelled
		}
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if err := p.part.connected(ctx); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return conn, nil
	}
	cc.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if n.SeverityUnlocalized == "WARNING" || n.Severity == "WARNING" {
			state.lastWarning.Store(n.Message)
			state.warnings.Add(1)
		}
	}
	closeOnFatal := cc.OnPgError // the driver's own
	cc.OnPgError = func(conn *pgconn.PgConn, err *pgconn.PgError) bool {
		return !spoils(err) && closeOnFatal(conn, err)
	}
	cc.ValidateConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		if validate != nil { // target_session_attrs
			if err := validate(ctx, conn); err != nil {
				return err
			}
		}
		f, err := server.Establish(ctx, conn, p.settings)
		if err != nil {
			return err
		}
		state.backend = f.Backend
		conn.CustomData()[stateKey] = state
		state.up.Store(true)
		return nil
	}
}

// errNeverCancelled keeps the driver from sending a CancelRequest.
var errNeverCancelled = errors.New("statements of this pool are never cancelled")

// connectError tells apart a server that cannot be reached from one, or a schema,
// that must not be used, and takes the password out of the text.
func connectError(config *pgxpool.Config, err error) error {
	text := server.WithoutPassword(config, err)
	for _, unfit := range []error{server.ErrUnsuitable, server.ErrSchemaTooNew} {
		if errors.Is(err, unfit) {
			return fmt.Errorf("%w: %s", eventstore.ErrUnsafe, strings.ReplaceAll(text, server.ErrUnsuitable.Error()+": ", ""))
		}
	}
	return fmt.Errorf("connect to PostgreSQL: %s", text)
}
