package postgres

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// ErrUnsuitable says that the server answers, but would not keep what it
// acknowledges, or cannot be used as Leftfold uses it. The text names the setting
// and the fix.
var ErrUnsuitable = errors.New("the server is not safe to use")

// Supported versions of the server.
const (
	// OldestServer is the first version that is used at all.
	OldestServer = 14
	// NewestServer is the last one this release was tested with. A newer one is
	// used, with a warning.
	NewestServer = 18
)

// sessionSettings hold on every connection, whatever the role's, database's or
// server's defaults are. Pools add their own.
var sessionSettings = map[string]string{
	"default_transaction_isolation": "read committed",
	"TimeZone":                      "UTC",
	// A role's timeouts are meant for people. Here they would end a statement at
	// a time of their own choice, and an append must not be cancelled.
	"statement_timeout":                   "0",
	"idle_session_timeout":                "0",
	"lock_timeout":                        "0",
	"idle_in_transaction_session_timeout": "0",
	// Statements here are short; compiling one takes longer than running it.
	"jit": "off",
}

// Facts are what a new connection told about its server.
type Facts struct {
	// Version is the server's own word, without what its packager adds: "15.8",
	// "18beta1".
	Version string
	// Major is the 15 of it.
	Major int
	// Backend is the server process's id, asked over SQL: a pooler in between
	// makes up another for the protocol.
	Backend int32
	// Pooled: what answers the protocol is not the server itself.
	Pooled bool
	// Fsync is the server's setting. Any but "on" is the word of who runs the
	// server that its storage is durable by other means.
	Fsync string

	synchronousCommit string
	readOnly          bool
	inRecovery        bool
	serverEncoding    string
	clientEncoding    string
	standardStrings   string
}

// Establish sets the session up, with these settings beside those that every
// session has, and checks in one round trip that the server behind the connection
// can keep what it acknowledges; otherwise the error wraps [ErrUnsuitable].
func Establish(ctx context.Context, conn *pgconn.PgConn, settings map[string]string) (Facts, error) {
	version := conn.ParameterStatus("server_version")
	major, err := majorVersion(version)
	if err != nil {
		return Facts{}, err
	}
	if major < OldestServer {
		return Facts{}, unsuitable("the server is PostgreSQL %d; use version %d or newer", major, OldestServer)
	}
	query, values := settingsQuery(settings)
	result := conn.ExecParams(ctx, query, values, nil, nil, nil).Read()
	if result.Err != nil {
		return Facts{}, fmt.Errorf("set the session up: %w", result.Err)
	}
	if len(result.Rows) != 1 || len(result.Rows[0]) < factColumns {
		return Facts{}, errors.New("set the session up: the server gave no facts")
	}
	row := result.Rows[0]
	backend, err := strconv.ParseInt(string(row[7]), 10, 32)
	if err != nil {
		return Facts{}, fmt.Errorf("set the session up: %w", err)
	}
	short, _, _ := strings.Cut(version, " ")
	f := Facts{
		Version:           short,
		Major:             major,
		Backend:           int32(backend),
		Pooled:            uint32(backend) != conn.PID(),
		Fsync:             string(row[6]),
		synchronousCommit: string(row[0]),
		readOnly:          string(row[1]) != "off",
		inRecovery:        string(row[2]) == "t",
		serverEncoding:    string(row[3]),
		clientEncoding:    string(row[4]),
		standardStrings:   string(row[5]),
	}
	conn.CustomData()[factsKey] = f
	return f, f.check()
}

// factsKey is where a connection keeps its Facts.
const factsKey = "leftfold facts"

// FactsOf are those that [Establish] found on the connection; zero if it was not
// called.
func FactsOf(conn *pgconn.PgConn) Facts {
	f, _ := conn.CustomData()[factsKey].(Facts)
	return f
}

// factColumns is how many columns settingsQuery puts before the settings.
const factColumns = 8

// settingsQuery reads the facts and applies the settings. synchronous_commit is
// set to what it is: who turned it off should hear of it, not be overruled in
// silence, and who turns it off later changes no connection that was checked.
func settingsQuery(own map[string]string) (string, [][]byte) {
	all := map[string]string{}
	for _, m := range []map[string]string{sessionSettings, own} {
		for name, value := range m {
			all[name] = value
		}
	}
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	sort.Strings(names)

	var q strings.Builder
	q.WriteString(`SELECT set_config('synchronous_commit', current_setting('synchronous_commit'), false), current_setting('transaction_read_only'),
		pg_is_in_recovery(), current_setting('server_encoding'), current_setting('client_encoding'),
		current_setting('standard_conforming_strings'), current_setting('fsync'), pg_backend_pid()`)
	var values [][]byte
	for _, name := range names {
		values = append(values, []byte(all[name]))
		fmt.Fprintf(&q, ", set_config('%s', $%d, false)", name, len(values))
	}
	return q.String(), values
}

// check refuses a server that cannot keep what it acknowledges.
func (f Facts) check() error {
	switch {
	case f.inRecovery:
		return unsuitable("the server is a standby (pg_is_in_recovery); connect to the primary, or list all hosts with target_session_attrs=primary")
	case f.readOnly:
		return unsuitable("transaction_read_only is on; connect to a writable primary and set default_transaction_read_only = off for the role, database and server")
	case f.synchronousCommit != "on" && f.synchronousCommit != "remote_apply":
		return unsuitable("synchronous_commit is %s, with which the server loses commits it has acknowledged; set it to on or remote_apply for the role, database or server (ALTER ROLE ... SET synchronous_commit = on)", f.synchronousCommit)
	case f.serverEncoding != "UTF8":
		return unsuitable("server_encoding is %s; create the database with ENCODING 'UTF8'", f.serverEncoding)
	case f.clientEncoding != "UTF8":
		return unsuitable("client_encoding is %s; set it to UTF8", f.clientEncoding)
	case f.standardStrings != "on":
		return unsuitable("standard_conforming_strings is %s; set it to on", f.standardStrings)
	}
	return nil
}

// unsuitableError is an ErrUnsuitable and what to do.
type unsuitableError struct{ advice string }

func (e *unsuitableError) Error() string        { return ErrUnsuitable.Error() + ": " + e.advice }
func (e *unsuitableError) Is(target error) bool { return target == ErrUnsuitable }

func unsuitable(format string, args ...any) error {
	return &unsuitableError{fmt.Sprintf(format, args...)}
}

// Advice is the setting and the fix that an [ErrUnsuitable] tells of, without what
// the driver says around them; empty for other errors.
func Advice(err error) string {
	var u *unsuitableError
	if errors.As(err, &u) {
		return u.advice
	}
	return ""
}

// majorVersion reads "16.2 (Debian ...)", "18beta1" and the like.
func majorVersion(text string) (int, error) {
	digits := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	if digits < 0 {
		digits = len(text)
	}
	major, err := strconv.Atoi(text[:digits])
	if err != nil {
		return 0, fmt.Errorf("the server's version %q is not understood", text)
	}
	return major, nil
}
