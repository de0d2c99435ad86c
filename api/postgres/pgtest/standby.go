package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
)

// StartStandby starts a hot standby that streams from the server, made with
// pg_basebackup, and stops it when the test ends. With the server set to
// "synchronous_standby_names = '*'", commits wait for it.
func (s *Server) StartStandby(t testing.TB) *Server {
	t.Helper()
	standby, err := s.launchStandby()
	require(t, err)
	t.Cleanup(func() {
		if err := standby.Stop(); err != nil {
			t.Errorf("stop the standby: %v", err)
		}
	})
	return standby
}

func (s *Server) launchStandby() (*Server, error) {
	folder, err := os.MkdirTemp("", "leftfold-postgres-")
	if err != nil {
		return nil, err
	}
	standby := &Server{bin: s.bin, folder: folder, host: s.host, as: s.as}
	if err := errors.Join(standby.own(folder), standby.reachBinaries()); err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	source := fmt.Sprintf("host=%s port=%d user=%s password=%s", s.host, s.port, superuser, password)
	backup := exec.Command(filepath.Join(standby.bin, "pg_basebackup"),
		"-d", source, "-D", filepath.Join(folder, "data"), "-R", "-X", "stream", "-c", "fast")
	standby.prepare(backup)
	if out, err := backup.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("pg_basebackup: %w: %s", err, out), os.RemoveAll(folder))
	}
	if err := standby.startAtFreePort(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	return standby, nil
}

// Promote makes a standby a primary and returns when it takes writes.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	s.execute(t, "SELECT pg_promote(true, "+strconv.Itoa(int(startTimeout.Seconds()))+")")
}

// Set changes a setting for all sessions of the server, new and old, as ALTER
// SYSTEM and a reload do; it returns when a session of its own has seen it. An
// empty value takes it back. Not for settings that need a restart.
func (s *Server) Set(t testing.TB, name, value string) {
	t.Helper()
	change := "ALTER SYSTEM SET " + name + " = '" + value + "'"
	if value == "" {
		change = "ALTER SYSTEM RESET " + name
	}
	s.execute(t, change,
		// Otherwise undoing what makes all transactions read only would be refused.
		"SET default_transaction_read_only = off", "SELECT pg_reload_conf()")
}

// Superuser opens a session as the superuser; the caller closes it.
func (s *Server) Superuser(ctx context.Context) (*pgx.Conn, error) {
	return pgx.Connect(ctx, s.SuperuserURL())
}

// TerminateClients ends the sessions of the ordinary role and tells how many.
func (s *Server) TerminateClients(ctx context.Context) (n int, err error) {
	conn, err := s.Superuser(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	err = conn.QueryRow(ctx, "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = $1", role).Scan(&n)
	return n, err
}

// execute runs statements as the superuser, each by itself.
func (s *Server) execute(t testing.TB, statements ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.url(superuser, "postgres")+"&options=-c%20default_transaction_read_only%3Doff")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}
