package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// supervisePooler is supervise for PgBouncer. SIGTERM ends it at once, whoever is
// connected.
const supervisePooler = `
"$1" "$2/pgbouncer.ini" >>"$2/log" 2>&1 &
pid=$!
trap '' INT TERM HUP
cat >/dev/null
kill -TERM $pid 2>/dev/null
wait $pid
rm -rf "$2"
`

// PgBouncer is a private pooler in front of a server.
type PgBouncer struct {
	server *Server
	folder string
	port   int
	host   *Server // how files and processes are made the unprivileged user's
}

// StartPgBouncer puts Debian's PgBouncer in front of the server, for its ordinary
// role, and stops it when the test ends. Settings are lines of the section
// [pgbouncer], such as "pool_mode = transaction". The test is skipped where
// PgBouncer is missing, which continuous integration forbids.
func (s *Server) StartPgBouncer(t testing.TB, settings ...string) *PgBouncer {
	t.Helper()
	binary, err := pgbouncer()
	if err != nil {
		t.Skipf("SKIPPED, this proves nothing about poolers: %v", err)
	}
	folder, err := os.MkdirTemp("", "leftfold-pgbouncer-")
	if err != nil {
		t.Fatal(err)
	}
	p := &PgBouncer{server: s, folder: folder, host: &Server{folder: folder, as: s.as}}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	if p.port, err = freePort(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.host.own(folder), p.configure(settings)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", supervisePooler, "sh", binary, folder)
	p.host.prepare(cmd)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close() // the supervisor reads nothing but the end
		if err := cmd.Wait(); err != nil {
			t.Errorf("stop PgBouncer: %v", err)
		}
	})
	p.awaitReady(t)
	return p
}

// pgbouncer finds the program: Debian has it where a plain user's PATH does not
// look.
func pgbouncer() (string, error) {
	if path, err := exec.LookPath("pgbouncer"); err == nil {
		return path, nil
	}
	if path, err := exec.LookPath("/usr/sbin/pgbouncer"); err == nil {
		return path, nil
	}
	return "", errors.New("pgbouncer is not installed (the package pgbouncer)")
}

// URL connects through the pooler as the ordinary role.
func (p *PgBouncer) URL() string { return p.url(role, database) }

func (p *PgBouncer) url(user, db string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(user, password),
		Host: net.JoinHostPort("127.0.0.1", fmt.Sprint(p.port)), Path: "/" + db, RawQuery: "sslmode=disable"}
	return u.String()
}

// Reconfigure replaces the settings and makes the pooler read them.
func (p *PgBouncer) Reconfigure(t testing.TB, settings ...string) {
	t.Helper()
	if err := p.configure(settings); err != nil {
		t.Fatal(err)
	}
	p.command(t, "RELOAD")
}

// command runs a command of PgBouncer's console.
func (p *PgBouncer) command(t testing.TB, command string) {
	t.Helper()
	config, err := pgx.ParseConfig(p.url(superuser, "pgbouncer"))
	if err != nil {
		t.Fatal(err)
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), command); err != nil {
		t.Fatalf("%s: %v", command, err)
	}
}

func (p *PgBouncer) configure(settings []string) error {
	users := fmt.Sprintf("%q %q\n%q %q\n", role, password, superuser, password)
	lines := append([]string{
		"[databases]",
		fmt.Sprintf("%s = host=%s port=%d", database, p.server.host, p.server.port),
		"[pgbouncer]",
		"listen_addr = 127.0.0.1",
		fmt.Sprintf("listen_port = %d", p.port),
		"unix_socket_dir =",
		"auth_type = scram-sha-256",
		"auth_file = " + filepath.Join(p.folder, "users"),
		"admin_users = " + superuser,
	}, settings...)
	return errors.Join(
		p.host.write(filepath.Join(p.folder, "users"), users),
		p.host.write(filepath.Join(p.folder, "pgbouncer.ini"), strings.Join(lines, "\n")+"\n"))
}

func (p *PgBouncer) awaitReady(t testing.TB) {
	t.Helper()
	deadline := time.After(startTimeout)
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		conn, err := pgx.Connect(t.Context(), p.URL())
		if err == nil {
			_ = conn.Close(t.Context())
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			log, _ := os.ReadFile(filepath.Join(p.folder, "log")) // best effort: err tells the rest
			t.Fatalf("PgBouncer takes no connections: %v\n%s", err, log)
		}
	}
}
