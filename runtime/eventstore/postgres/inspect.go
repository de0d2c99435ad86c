package postgres

import (
	"context"

	server "github.com/leftfold/leftfold/api/postgres"
)

// inspect looks once, at the start, at what a single connection cannot tell.
func (s *Store) inspect(ctx context.Context) error {
	conn, err := s.control.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	f := server.FactsOf(conn.Conn().PgConn())
	if f.Fsync != "on" {
		s.log.Warn("the PostgreSQL server runs with fsync off: unless its storage is durable by other means, a crash of the server loses commits", "fsync", f.Fsync)
	}
	if f.Major > server.NewestServer {
		s.log.Warn("the PostgreSQL server is newer than any this release was tested with", "version", f.Major, "newest", server.NewestServer)
	}
	allowed, err := s.ServerConnections(ctx)
	if err != nil {
		return err
	}
	if n := s.Connections(); n > allowed {
		s.log.Warn("the PostgreSQL server allows fewer connections than this process may use: raise max_connections or lower the pools' sizes",
			"allowed", allowed, "used", n)
	}
	return server.RefuseSharedSessions(ctx, s.control, conn)
}

// migrate brings the schema to this release's version.
func (s *Store) migrate(ctx context.Context) error {
	m, err := server.Migrate(ctx, s.control, s.options.Schema)
	if err == nil && m.From != m.To {
		s.log.Info("brought the event store's schema up to date", "schema", s.options.Schema, "from", m.From, "to", m.To)
	}
	return err
}
