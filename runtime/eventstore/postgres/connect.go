package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sys/unix"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// keepAlive finds a peer that vanished while a connection only listened: after
// 5 s of silence, three probes a second apart.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: time.Second, Count: 3}

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
	name     string
	size     int
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
	facts   facts
}

// stateKey is where a connection keeps its connState.
const stateKey = "leftfold"

func stateOf(conn *pgconn.PgConn) *connState {
	state, _ := conn.CustomData()[stateKey].(*connState)
	return state
}

// parseURL reads the URL. Its error says nothing of the URL: what does not parse
// may hold a password in any place.
func parseURL(o Options) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(o.URL)
	if err != nil || strings.ContainsAny(config.ConnConfig.Host+config.ConnConfig.Database, "@") {
		return nil, errors.New("the connection URL cannot be read; it looks like postgres://user:password@host:5432/database, " +
			"and characters such as @ : / ? # % in the password are written percent-encoded")
	}
	network := socketOptions{keepAlive: keepAlive, userTimeout: o.DeadPeerTimeout}
	if err := network.takeFrom(config.ConnConfig.RuntimeParams); err != nil {
		return nil, err
	}
	config.ConnConfig.DialFunc = network.dial
	config.ConnConfig.RuntimeParams["client_encoding"] = "UTF8"
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = "leftfold"
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = o.ConnectTimeout
	}
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement
	config.MaxConnLifetime = connectionLifetime
	config.MaxConnLifetimeJitter = connectionLifetime / 10
	config.PingTimeout = pingTimeout
	config.MinConns, config.MinIdleConns = 0, 0
	return config, nil
}

// open makes a pool whose connections are all checked before they are used.
func (p poolSpec) open(ctx context.Context, base *pgxpool.Config) (*pgxpool.Pool, error) {
	config := base.Copy()
	config.MaxConns = int32(p.size)
	config.BeforeConnect = func(_ context.Context, cc *pgx.ConnConfig) error {
		p.guard(cc)
		return nil
	}
	config.AfterConnect = p.ready
	return pgxpool.NewWithConfig(ctx, config)
}

// guard makes one connection's configuration its own: with its state, its
// checks, and a dialler that refuses what this pool must not do.
func (p poolSpec) guard(cc *pgx.ConnConfig) {
	state := &connState{}
	dial, validate := cc.DialFunc, cc.ValidateConnect
	if p.cancel == neverCancel {
		// Once a connection is up, the driver dials again for one purpose only: to
		// send a CancelRequest, when a context ends or the socket breaks. A
		// cancelled append is one whose outcome nobody knows, so it is not sent.
		cc.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			if state.up.Load() {
				return nil, errNeverCancelled
			}
			return dial(ctx, network, address)
		}
	}
	cc.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if n.SeverityUnlocalized == "WARNING" || n.Severity == "WARNING" {
			state.lastWarning.Store(n.Message)
			state.warnings.Add(1)
		}
	}
	cc.ValidateConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		if validate != nil { // target_session_attrs
			if err := validate(ctx, conn); err != nil {
				return err
			}
		}
		f, err := establish(ctx, conn, p.settings)
		if err != nil {
			return err
		}
		state.facts, state.backend = f, f.backend
		conn.CustomData()[stateKey] = state
		state.up.Store(true)
		return nil
	}
}

// errNeverCancelled keeps the driver from sending a CancelRequest.
var errNeverCancelled = errors.New("statements of this pool are never cancelled")

// connectError tells apart a server that cannot be reached from one that must
// not be used, and takes the password out of the text.
func connectError(config *pgxpool.Config, err error) error {
	text := err.Error()
	if secret := config.ConnConfig.Password; secret != "" {
		text = strings.ReplaceAll(text, secret, "***")
	}
	if errors.Is(err, eventstore.ErrUnsafe) {
		return fmt.Errorf("%w: %s", eventstore.ErrUnsafe, strings.ReplaceAll(text, eventstore.ErrUnsafe.Error()+": ", ""))
	}
	return fmt.Errorf("connect to PostgreSQL: %s", text)
}

// socketOptions are the TCP settings that libpq has and the driver has not.
type socketOptions struct {
	keepAlive   net.KeepAliveConfig
	userTimeout time.Duration
}

// takeFrom reads and removes libpq's keywords, which the driver would take for
// settings of the server.
func (s *socketOptions) takeFrom(params map[string]string) error {
	var err error
	take := func(key string, unit time.Duration, set func(int, time.Duration)) {
		text, ok := params[key]
		if !ok {
			return
		}
		delete(params, key)
		n, parseErr := strconv.Atoi(text)
		if parseErr != nil {
			err = errors.Join(err, fmt.Errorf("the connection URL's %s is no whole number", key))
			return
		}
		if n > 0 { // 0 is libpq's "the system's default": ours is the better default
			set(n, time.Duration(n)*unit)
		}
	}
	take("keepalives", 0, func(int, time.Duration) {})
	take("keepalives_idle", time.Second, func(_ int, d time.Duration) { s.keepAlive.Idle = d })
	take("keepalives_interval", time.Second, func(_ int, d time.Duration) { s.keepAlive.Interval = d })
	take("keepalives_count", 0, func(n int, _ time.Duration) { s.keepAlive.Count = n })
	take("tcp_user_timeout", time.Millisecond, func(_ int, d time.Duration) { s.userTimeout = d })
	return err
}

func (s *socketOptions) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{KeepAliveConfig: s.keepAlive, Control: s.control}
	return d.DialContext(ctx, network, address)
}

// control sets TCP_USER_TIMEOUT, before the connection is made.
func (s *socketOptions) control(network, _ string, raw syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	var option error
	err := raw.Control(func(fd uintptr) {
		option = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(s.userTimeout.Milliseconds()))
	})
	return errors.Join(err, option)
}
