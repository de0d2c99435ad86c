package postgres

import (
	"context"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// Supported versions of the server. A newer one is used with a warning.
const (
	oldestServer = 14
	newestServer = 18
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

// facts are what a new connection told about its server.
type facts struct {
	synchronousCommit string
	readOnly          bool
	inRecovery        bool
	serverEncoding    string
	clientEncoding    string
	standardStrings   string
	fsync             string
	major             int
	backend           int32
	// pooled: what answers the protocol is not the server itself.
	pooled bool
}

// establish sets the session up and checks, in one round trip, that the server
// behind the connection can keep the store's promises.
func establish(ctx context.Context, conn *pgconn.PgConn, settings map[string]string) (facts, error) {
	major, err := majorVersion(conn.ParameterStatus("server_version"))
	if err != nil {
		return facts{}, err
	}
	if major < oldestServer {
		return facts{}, unsafe("the server is PostgreSQL %d; use version %d or newer", major, oldestServer)
	}
	query, values := settingsQuery(settings)
	result := conn.ExecParams(ctx, query, values, nil, nil, nil).Read()
	if result.Err != nil {
		return facts{}, fmt.Errorf("set the session up: %w", result.Err)
	}
	if len(result.Rows) != 1 || len(result.Rows[0]) < factColumns {
		return facts{}, fmt.Errorf("set the session up: the server gave no facts")
	}
	row := result.Rows[0]
	backend, err := strconv.ParseInt(string(row[7]), 10, 32)
	if err != nil {
		return facts{}, fmt.Errorf("set the session up: %w", err)
	}
	f := facts{
		synchronousCommit: string(row[0]),
		readOnly:          string(row[1]) != "off",
		inRecovery:        string(row[2]) == "t",
		serverEncoding:    string(row[3]),
		clientEncoding:    string(row[4]),
		standardStrings:   string(row[5]),
		fsync:             string(row[6]),
		major:             major,
		backend:           int32(backend),
		pooled:            uint32(backend) != conn.PID(),
	}
	return f, f.check()
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

// check refuses a server that cannot keep the store's promises.
func (f facts) check() error {
	switch {
	case f.inRecovery:
		return unsafe("the server is a standby (pg_is_in_recovery); connect to the primary, or list all hosts with target_session_attrs=primary")
	case f.readOnly:
		return unsafe("transaction_read_only is on; connect to a writable primary and set default_transaction_read_only = off for the role, database and server")
	case f.synchronousCommit != "on" && f.synchronousCommit != "remote_apply":
		return unsafe("synchronous_commit is %s, with which the server loses commits it has acknowledged; set it to on or remote_apply for the role, database or server (ALTER ROLE ... SET synchronous_commit = on)", f.synchronousCommit)
	case f.serverEncoding != "UTF8":
		return unsafe("server_encoding is %s; create the database with ENCODING 'UTF8'", f.serverEncoding)
	case f.clientEncoding != "UTF8":
		return unsafe("client_encoding is %s; set it to UTF8", f.clientEncoding)
	case f.standardStrings != "on":
		return unsafe("standard_conforming_strings is %s; set it to on", f.standardStrings)
	}
	return nil
}

func unsafe(format string, args ...any) error {
	return fmt.Errorf("%w: %s", eventstore.ErrUnsafe, fmt.Sprintf(format, args...))
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
