package postgres

import (
	"context"
	"fmt"

	server "github.com/leftfold/leftfold/api/postgres"
)

// fit takes connections from the largest pools until all of them fit what the
// server allows, so that none starves while another keeps idle ones. false: they
// cannot be made so few.
func (o *Options) fit(allowed int) bool {
	sum := func() int {
		return o.AppendConnections + o.AbandonedConnections + o.ControlConnections + o.QueryConnections + o.ProjectionConnections
	}
	for sum() > allowed {
		largest := &o.AppendConnections
		for _, size := range []*int{&o.QueryConnections, &o.ProjectionConnections, &o.AbandonedConnections} {
			if *size > *largest {
				largest = size
			}
		}
		if *largest <= leastConnections {
			return false
		}
		*largest--
	}
	return true
}

// leastConnections of a pool: one that works, and one that is waited for, or whose
// statement was abandoned.
const leastConnections = 2

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
	// First of all: what follows would fail behind a pooler that shares sessions,
	// with words that say nothing of it.
	if err := server.RefuseSharedSessions(ctx, s.control, conn); err != nil {
		return err
	}
	allowed, err := s.ServerConnections(ctx)
	if err != nil {
		return err
	}
	wanted := s.Connections()
	if !s.options.fit(allowed) {
		return fmt.Errorf("%w: the server allows this role %d connections, and %d are needed at least: raise max_connections, or the CONNECTION LIMIT of the role or database",
			server.ErrUnsuitable, allowed, s.Connections())
	}
	if n := s.Connections(); n < wanted {
		s.log.Warn("the PostgreSQL server allows fewer connections than this process would use, so it makes do with fewer: raise max_connections, or the CONNECTION LIMIT of the role or database",
			"allowed", allowed, "wanted", wanted, "used", n)
	}
	return nil
}

// migrate brings the schema to this release's version.
func (s *Store) migrate(ctx context.Context) error {
	m, err := server.Migrate(ctx, s.control, s.options.Schema)
	if err == nil && m.From != m.To {
		s.log.Info("brought the event store's schema up to date", "schema", s.options.Schema, "from", m.From, "to", m.To)
	}
	return err
}
