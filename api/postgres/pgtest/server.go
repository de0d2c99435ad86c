package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrNoBinaries says that no PostgreSQL is installed here.
var ErrNoBinaries = errors.New("no PostgreSQL binaries in /usr/lib/postgresql/*/bin nor in PATH (install the package postgresql, or set LEFTFOLD_TEST_POSTGRES)")

const (
	// superuser is the role that initdb makes; role is what URL connects as: it
	// owns database and nothing else.
	superuser = "postgres"
	role      = "leftfold"
	database  = "leftfold"
	// password is no secret: the server listens on the loopback for minutes.
	// It is there so that tests can look for it where it must not be.
	password = "s3cret-0f-pgtest"

	// startTimeout covers initdb and recovery on a slow, busy machine.
	startTimeout = 2 * time.Minute
	// portTries bounds how often another process may take the port that was
	// free a moment ago.
	portTries = 5
)

// supervise runs the server and ends it, and removes its folder, when standard
// input closes: that happens when the process that started it ends, however.
// SIGQUIT is PostgreSQL's immediate stop: the folder is thrown away anyhow.
const supervise = `
"$1/postgres" -D "$2/data" -p "$3" >>"$2/log" 2>&1 &
pid=$!
echo $pid
trap '' INT TERM HUP
cat >/dev/null
kill -QUIT $pid 2>/dev/null
wait $pid
rm -rf "$2"
`

// Server is a private PostgreSQL.
type Server struct {
	bin    string
	folder string
	host   string
	// networks may connect besides the loopback, in CIDR form.
	networks []string
	port     int
	as       *syscall.Credential // nil: as this process

	mu         sync.Mutex
	stdin      io.Closer
	supervisor *exec.Cmd
	postmaster int
	groups     []string
}

// Launch starts a private server with the given lines of postgresql.conf. The
// caller stops it; if it does not, the server ends with the process. The error
// wraps ErrNoBinaries where PostgreSQL is not installed.
func Launch(settings ...string) (*Server, error) { return LaunchAt("127.0.0.1", nil, settings...) }

// LaunchAt is Launch on an address of this machine that hosts of the given
// networks (in CIDR form) can reach, such as a bridge to network namespaces.
func LaunchAt(host string, networks []string, settings ...string) (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	as, err := unprivileged()
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "leftfold-postgres-")
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, folder: folder, host: host, networks: networks, as: as}
	if err := errors.Join(s.own(folder), s.reachBinaries()); err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	if err := s.initialize(settings); err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	if err := s.startAtFreePort(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	if err := s.createRole(); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// URL connects as an ordinary role that owns its database and nothing else.
func (s *Server) URL() string { return s.url(role, database) }

// SuperuserURL connects as the superuser to the same database: for what tests
// do to a server, never for what they test.
func (s *Server) SuperuserURL() string { return s.url(superuser, database) }

// Address is the server's "host:port".
func (s *Server) Address() string { return net.JoinHostPort(s.host, strconv.Itoa(s.port)) }

// Crash kills the server as a power cut would: no process of it writes another
// byte. Restart recovers it.
func (s *Server) Crash() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.killLocked()
}

// Restart starts a crashed server again on the same port and waits until it has
// recovered.
func (s *Server) Restart() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.supervisor != nil {
		return errors.New("the server runs already")
	}
	return s.startLocked()
}

// Join moves the server into control groups, given by their folders, now and when it
// is restarted: it may stand for one that has a machine to itself.
func (s *Server) Join(groups ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groups = groups
	return s.joinLocked()
}

func (s *Server) joinLocked() error {
	for _, group := range s.groups {
		procs := filepath.Join(group, "cgroup.procs")
		if err := os.WriteFile(procs, []byte(strconv.Itoa(s.postmaster)), 0o644); err != nil {
			return err
		}
		for _, pid := range childrenOf(s.postmaster) {
			err := os.WriteFile(procs, []byte(strconv.Itoa(pid)), 0o644)
			if err != nil && !errors.Is(err, syscall.ESRCH) { // it has ended
				return err
			}
		}
	}
	return nil
}

// Stop ends the server and removes its folder. A second Stop does nothing.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.endLocked()
	return errors.Join(err, os.RemoveAll(s.folder))
}

func (s *Server) url(user, db string) string {
	return fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable", user, password, s.Address(), db)
}

// initialize makes the data folder and its configuration.
func (s *Server) initialize(settings []string) error {
	secret := filepath.Join(s.folder, "password")
	if err := s.write(secret, password+"\n"); err != nil {
		return err
	}
	initdb := exec.Command(filepath.Join(s.bin, "initdb"), "-D", filepath.Join(s.folder, "data"),
		"-U", superuser, "--pwfile", secret, "--auth", "scram-sha-256", "-E", "UTF8", "--locale", "C.UTF-8")
	s.prepare(initdb)
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	lines := append([]string{
		"listen_addresses = '" + s.host + "'",
		"unix_socket_directories = ''",
		"fsync = on",
		"max_connections = 200",
		"shared_buffers = 64MB",
		"dynamic_shared_memory_type = mmap", // in its folder: nothing is left of one that was killed
		"log_min_messages = warning",
	}, settings...)
	if err := s.write(filepath.Join(s.folder, "data", "postgresql.auto.conf"), strings.Join(lines, "\n")+"\n"); err != nil {
		return err
	}
	return s.write(filepath.Join(s.folder, "data", "pg_hba.conf"), s.admitted())
}

// admitted is who may connect, always by password.
func (s *Server) admitted() string {
	rules := ""
	for _, network := range append([]string{"127.0.0.1/32", s.host + "/32"}, s.networks...) {
		rules += "host all all " + network + " scram-sha-256\n"
		rules += "host replication " + superuser + " " + network + " scram-sha-256\n"
	}
	return rules
}

func (s *Server) write(path, text string) error {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	return s.own(path)
}

func (s *Server) startAtFreePort() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	for range portTries {
		if s.port, err = freePort(); err != nil {
			return err
		}
		if err = s.startLocked(); err == nil {
			return nil
		}
	}
	return err
}

// startLocked starts the supervisor with the server and waits until the server
// takes connections.
func (s *Server) startLocked() error {
	cmd := exec.Command("/bin/sh", "-c", supervise, "sh", s.bin, s.folder, strconv.Itoa(s.port))
	s.prepare(cmd)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.stdin, s.supervisor = stdin, cmd
	if _, err := fmt.Fscan(stdout, &s.postmaster); err != nil {
		return errors.Join(fmt.Errorf("start the server: %w", err), s.killLocked())
	}
	if err := errors.Join(s.awaitReady(), s.joinLocked()); err != nil {
		return errors.Join(err, s.killLocked())
	}
	return nil
}

// awaitReady returns when the server takes connections, or has ended.
func (s *Server) awaitReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, s.url(superuser, "postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		if syscall.Kill(s.postmaster, 0) != nil {
			log, _ := os.ReadFile(filepath.Join(s.folder, "log")) // best effort: the error below stands without it
			return fmt.Errorf("the server ended at its start: %s", log)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the server takes no connections: %w", err)
		case <-time.After(interval):
		}
	}
}

// endLocked lets the supervisor stop the server and remove the folder.
func (s *Server) endLocked() error {
	if s.supervisor == nil {
		return nil
	}
	_ = s.stdin.Close() // the supervisor reads nothing but the end
	err := s.supervisor.Wait()
	s.supervisor = nil
	return err
}

// killLocked kills the server and its supervisor at once; the folder stays.
func (s *Server) killLocked() error {
	if s.supervisor == nil {
		return nil
	}
	_ = s.supervisor.Process.Kill()
	if s.postmaster > 0 {
		// Stopped first, the postmaster cannot replace the children it loses.
		_ = syscall.Kill(s.postmaster, syscall.SIGSTOP)
		for _, pid := range childrenOf(s.postmaster) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		_ = syscall.Kill(s.postmaster, syscall.SIGKILL)
	}
	_ = s.stdin.Close()
	_ = s.supervisor.Wait() // "killed" is what was asked for
	s.supervisor = nil
	return s.awaitGone()
}

// awaitGone returns when the killed postmaster has left the process table (its
// new parent reaps it), so that the next start does not find it alive.
func (s *Server) awaitGone() error {
	deadline := time.Now().Add(startTimeout)
	for syscall.Kill(s.postmaster, 0) == nil && !zombie(s.postmaster) {
		if time.Now().After(deadline) {
			return fmt.Errorf("killed postmaster %d is still there", s.postmaster)
		}
		time.Sleep(interval)
	}
	return os.Remove(filepath.Join(s.folder, "data", "postmaster.pid"))
}

// walSegments of 16 MiB are there for reuse.
const walSegments = 60

// RecycleWAL gives the server WAL files to use again, as one has that has run for a
// while. A new one makes each file first, and all commits wait for that meanwhile,
// 80 ms every few seconds where it was measured.
func (s *Server) RecycleWAL(ctx context.Context) error {
	db, err := s.Superuser(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close(ctx) }()
	statements := []string{fmt.Sprintf("ALTER SYSTEM SET min_wal_size = '%dMB'", walSegments*16), "SELECT pg_reload_conf()"}
	for range walSegments {
		statements = append(statements, "SELECT pg_logical_emit_message(false, '', ''), pg_switch_wal()")
	}
	for _, statement := range append(statements, "CHECKPOINT") {
		if _, err := db.Exec(ctx, statement); err != nil {
			return fmt.Errorf("recycle the WAL: %s: %w", statement, err)
		}
	}
	return nil
}
