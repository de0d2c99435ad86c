package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sys/unix"
)

// keepAlive finds a peer that vanished while a connection only listened: after
// 5 s of silence, three probes a second apart.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: time.Second, Count: 3}

// errMalformedURL says nothing of the text: what does not parse may hold a password
// in any place.
var errMalformedURL = errors.New("the connection URL cannot be read; it looks like postgres://user:password@host:5432/database, " +
	"and characters such as @ : / ? # % in the password are written percent-encoded")

// Network says how long sockets wait, where the URL does not say.
type Network struct {
	// ConnectTimeout bounds the making of one connection. Default 5 s.
	ConnectTimeout time.Duration
	// DeadPeerTimeout is TCP_USER_TIMEOUT: a connection whose data the other
	// side has not acknowledged for that long is dead. Default 10 s, above the
	// pause of an ordinary failover of a network path, far below the kernel's 15
	// minutes.
	DeadPeerTimeout time.Duration
}

// Defaults of Network.
const (
	defaultConnectTimeout  = 5 * time.Second
	defaultDeadPeerTimeout = 10 * time.Second
)

// ParseURL reads a libpq connection URI or keyword string. Several hosts,
// target_session_attrs, sslmode, the PG* environment variables, the password file
// and the keywords for TCP work as in libpq. Every error is about the text, and none
// tells of it.
func ParseURL(text string, n Network) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(text)
	if err != nil || strings.ContainsAny(config.ConnConfig.Host+config.ConnConfig.Database, "@") {
		return nil, errMalformedURL
	}
	if n.ConnectTimeout == 0 {
		n.ConnectTimeout = defaultConnectTimeout
	}
	if n.DeadPeerTimeout == 0 {
		n.DeadPeerTimeout = defaultDeadPeerTimeout
	}
	sockets := socketOptions{keepAlive: keepAlive, userTimeout: n.DeadPeerTimeout}
	if err := sockets.takeFrom(config.ConnConfig.RuntimeParams); err != nil {
		return nil, err
	}
	config.ConnConfig.DialFunc = sockets.dial
	config.ConnConfig.RuntimeParams["client_encoding"] = "UTF8"
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = "leftfold"
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = n.ConnectTimeout
	}
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement
	config.MinConns, config.MinIdleConns = 0, 0
	return config, nil
}

// WithoutPassword is the error's text, in which the configuration's password is
// not to be found.
func WithoutPassword(config *pgxpool.Config, err error) string {
	if secret := config.ConnConfig.Password; secret != "" {
		return strings.ReplaceAll(err.Error(), secret, "***")
	}
	return err.Error()
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
	return persist(ctx, func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, network, address) })
}

// firstPatience is how long the first attempt to connect may take.
const firstPatience = 300 * time.Millisecond

// persist connects anew when an attempt has taken long, and gives each twice the time
// of the one before. A request to connect that is lost is sent again by the kernel after
// one second, then two, then four: on a node that was cut off for that long, whoever
// needs a connection would wait for as long again once the cut is over.
func persist(ctx context.Context, connect func(context.Context) (net.Conn, error)) (net.Conn, error) {
	for patience := firstPatience; ; patience *= 2 {
		attempt, cancel := context.WithTimeout(ctx, patience)
		conn, err := connect(attempt)
		late := attempt.Err() != nil
		cancel()
		if err == nil || !late || ctx.Err() != nil {
			return conn, err
		}
	}
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
