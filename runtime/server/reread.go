package server

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/leftfold/leftfold/runtime/problem"
)

// readAttempts is how often a read of rows is tried. After an outage the pool
// still holds connections that are dead, and each attempt finds one out.
const readAttempts = 3

// reread does a read of rows, again if the database was not there, for a read
// has changed nothing. When it stays away the problem is NotAttempted.
func reread(ctx context.Context, read func() error) error {
	var err error
	for range readAttempts {
		if err = read(); err == nil || ctx.Err() != nil || !unreachable(err) {
			return err
		}
	}
	p := problem.New(problem.NotAttempted, "the database with the rows cannot be reached")
	p.RetryAfter = time.Second
	return p
}

// unreachable tells that an error is of the way to the database, or of its
// coming and going, and not of the statement.
func unreachable(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		// Connection exceptions, too few resources, operator intervention.
		for _, class := range []string{"08", "53", "57"} {
			if strings.HasPrefix(pg.Code, class) {
				return true
			}
		}
		return false
	}
	var connect *pgconn.ConnectError
	var network net.Error
	for _, cause := range []error{io.EOF, io.ErrUnexpectedEOF, driver.ErrBadConn, sql.ErrConnDone, net.ErrClosed} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return errors.As(err, &connect) || errors.As(err, &network) || pgconn.SafeToRetry(err)
}
