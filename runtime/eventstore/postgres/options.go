package postgres

import (
	"fmt"
	"log/slog"
	"time"

	server "github.com/leftfold/leftfold/api/postgres"
)

// Options says which database to use and how much of it. Only URL is required.
type Options struct {
	// URL is a libpq connection URI ("postgres://user:password@host:5432/db") or
	// a keyword string ("host=... dbname=..."). Several hosts,
	// target_session_attrs, sslmode, the PG* environment variables and the
	// password file work as in libpq.
	URL string

	// Schema holds the store's tables; it is created when it does not exist.
	// 1 to 63 bytes, any characters but NUL. Default "leftfold".
	Schema string

	// AppendConnections is how many appends run at once. Default 4: on the
	// machines measured, more connections only queue for the same disk flush,
	// and fewer leave it idle while a statement travels.
	AppendConnections int

	// AbandonedConnections is how many connections may still carry a statement
	// whose caller has gone, beside the AppendConnections that keep working.
	// One more, and the oldest is dropped. Default 2.
	AbandonedConnections int

	// AbandonedTimeout is how long an abandoned statement keeps its connection.
	// Default 30 s: long past any failover, so what has not answered by then
	// runs on a server that is cut off or gone.
	AbandonedTimeout time.Duration

	// ControlConnections serve claims, checks, the catalog and heartbeats, apart
	// from the rest so that a heartbeat never waits for a query. Blocked claims
	// leave one of them free. At least 2. Default 3.
	ControlConnections int

	// QueryConnections serve reads and snapshots. Default 5: loading entities
	// waits for the disk now and then, and others should not wait with them.
	QueryConnections int

	// ProjectionConnections serve ProjectionDB. Default 4.
	ProjectionConnections int

	// ConnectTimeout bounds the making of one connection when the URL does not
	// say connect_timeout. Default 5 s.
	ConnectTimeout time.Duration

	// DeadPeerTimeout is TCP_USER_TIMEOUT: a connection whose data the other
	// side has not acknowledged for that long is dead. Default 10 s, above the
	// pause of an ordinary failover of a network path, far below the kernel's 15
	// minutes.
	DeadPeerTimeout time.Duration

	// ClaimTimeout is how long a claim waits in the server for the shard's row.
	// Default 5 s: an append that is being committed takes milliseconds, and
	// whoever is stuck is ended long before.
	ClaimTimeout time.Duration

	// StuckAfter is how long a backend of our own role may hold a shard's row
	// without doing anything (idle in a transaction, or waiting for a client
	// that is gone) before a claim that waits for it ends it. Default 100 ms, so
	// that a takeover is held up by about twice as much; an append that works or
	// waits for the disk is never ended.
	StuckAfter time.Duration

	// Logger hears what an operator at night would want to know. Default
	// slog.Default().
	Logger *slog.Logger
}

// defaultSchema is the contract's.
const defaultSchema = "leftfold"

// maxIdentifier is PostgreSQL's NAMEDATALEN-1: longer names are cut silently,
// so that two schemas could become one.
const maxIdentifier = 63

// withDefaults fills what was left out and refuses what cannot be.
func (o Options) withDefaults() (Options, error) {
	orDefault(&o.Schema, defaultSchema)
	orDefault(&o.AppendConnections, server.AppendConnections)
	orDefault(&o.AbandonedConnections, server.AbandonedConnections)
	orDefault(&o.AbandonedTimeout, 30*time.Second)
	orDefault(&o.ControlConnections, server.ControlConnections)
	orDefault(&o.QueryConnections, server.QueryConnections)
	orDefault(&o.ProjectionConnections, server.ProjectionConnections)
	orDefault(&o.ConnectTimeout, 5*time.Second)
	orDefault(&o.DeadPeerTimeout, 10*time.Second)
	orDefault(&o.ClaimTimeout, 5*time.Second)
	orDefault(&o.StuckAfter, 100*time.Millisecond)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.URL == "" {
		return o, fmt.Errorf("no connection URL: give one such as postgres://user:password@host:5432/database")
	}
	if len(o.Schema) > maxIdentifier || containsNUL(o.Schema) {
		return o, fmt.Errorf("schema %q: a schema's name has 1 to %d bytes and no NUL", o.Schema, maxIdentifier)
	}
	for name, n := range map[string]int{
		"AppendConnections": o.AppendConnections, "AbandonedConnections": o.AbandonedConnections,
		"ControlConnections": o.ControlConnections - 1, "QueryConnections": o.QueryConnections,
		"ProjectionConnections": o.ProjectionConnections,
	} {
		if n < 1 {
			return o, fmt.Errorf("%s is too low", name)
		}
	}
	return o, nil
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func containsNUL(s string) bool {
	for i := range len(s) {
		if s[i] == 0 {
			return true
		}
	}
	return false
}
