package projectiontest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"

	"github.com/leftfold/leftfold/runtime/projection"
)

// ErrInjected is what a Fault makes steps fail with.
var ErrInjected = errors.New("injected")

// Fault makes one step of the transactions on a database fail. Steps are every
// begin, statement and commit of a writing handle, counted from 1.
type Fault struct {
	mu    sync.Mutex
	count int
	at    int
	after bool
	fired chan struct{}
	gate  func(what string) Strike
}

// Strike is what a gate makes of a step.
type Strike uint8

// The fates of a step: it is carried out, or fails before or after that.
const (
	Pass Strike = iota
	Before
	After
)

// Gate has every step ask f, before it is carried out, and wait for its answer.
func (f *Fault) Gate(gate func(what string) Strike) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gate = gate
}

// Arm starts counting anew and makes step at fail, before it is carried out or,
// with after, when it has been. 0 makes none fail.
func (f *Fault) Arm(at int, after bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count, f.at, f.after, f.fired = 0, at, after, make(chan struct{})
}

// Steps is how many steps there have been since Arm.
func (f *Fault) Steps() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}

// Fired is closed when the fault has struck.
func (f *Fault) Fired() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fired
}

// step counts one step and carries it out, unless it is the one that fails.
func (f *Fault) step(what string, do func() error) error {
	f.mu.Lock()
	f.count++
	strike, after := f.count == f.at, f.after
	n, gate := f.count, f.gate
	if strike {
		close(f.fired)
	}
	f.mu.Unlock()
	if gate != nil {
		s := gate(what)
		strike, after = strike || s != Pass, after || s == After
	}
	if strike && !after {
		return fmt.Errorf("%w before step %d (%s)", ErrInjected, n, what)
	}
	err := do()
	if err == nil && strike {
		return fmt.Errorf("%w after step %d (%s)", ErrInjected, n, what)
	}
	return err
}

// Faulty gives the rig's database with a writing handle that fails as told. It
// borrows the store's connections, one for each transaction.
func (r *Rig) Faulty() (projection.DB, *Fault) {
	f := &Fault{fired: make(chan struct{})}
	db := r.DB
	db.Writer = sql.OpenDB(borrower{inner: r.DB.Writer, fault: f})
	db.Writer.SetMaxIdleConns(-1) // a borrowed connection goes back at once
	r.T.Cleanup(func() { _ = db.Writer.Close() })
	return db, f
}

// borrower is a driver.Connector that takes connections of another handle.
type borrower struct {
	inner *sql.DB
	fault *Fault
}

// Connect implements driver.Connector.
func (b borrower) Connect(ctx context.Context) (driver.Conn, error) {
	held, err := b.inner.Conn(ctx)
	if err != nil {
		return nil, err
	}
	c := &conn{held: held, fault: b.fault}
	err = held.Raw(func(raw any) error {
		c.begin, _ = raw.(driver.ConnBeginTx)
		c.exec, _ = raw.(driver.ExecerContext)
		c.query, _ = raw.(driver.QueryerContext)
		c.prepare, _ = raw.(driver.ConnPrepareContext)
		c.check, _ = raw.(driver.NamedValueChecker)
		if c.begin == nil || c.exec == nil || c.query == nil || c.prepare == nil {
			return fmt.Errorf("%T lacks what a test needs", raw)
		}
		return nil
	})
	if err != nil {
		_ = held.Close()
		return nil, err
	}
	return c, nil
}

// Driver implements driver.Connector.
func (b borrower) Driver() driver.Driver { return b.inner.Driver() }

type conn struct {
	held    *sql.Conn
	fault   *Fault
	begin   driver.ConnBeginTx
	exec    driver.ExecerContext
	query   driver.QueryerContext
	prepare driver.ConnPrepareContext
	check   driver.NamedValueChecker
}

func (c *conn) Close() error { return c.held.Close() }

func (c *conn) Begin() (driver.Tx, error) { return c.BeginTx(context.Background(), driver.TxOptions{}) }

func (c *conn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

func (c *conn) CheckNamedValue(v *driver.NamedValue) error {
	if c.check == nil {
		return driver.ErrSkip
	}
	return c.check.CheckNamedValue(v)
}

func (c *conn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	var inner driver.Tx
	err := c.fault.step("begin", func() (err error) {
		inner, err = c.begin.BeginTx(ctx, o)
		return err
	})
	if err != nil {
		if inner != nil {
			_ = inner.Rollback()
		}
		return nil, err
	}
	return &tx{inner: inner, fault: c.fault}, nil
}

func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	var out driver.Result
	err := c.fault.step(query, func() (err error) {
		out, err = c.exec.ExecContext(ctx, query, args)
		return err
	})
	return out, err
}

func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	var out driver.Rows
	err := c.fault.step(query, func() (err error) {
		out, err = c.query.QueryContext(ctx, query, args)
		return err
	})
	if err != nil && out != nil {
		_ = out.Close()
	}
	return out, err
}

func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	var out driver.Stmt
	err := c.fault.step("prepare "+query, func() (err error) {
		out, err = c.prepare.PrepareContext(ctx, query)
		return err
	})
	if err != nil && out != nil {
		_ = out.Close()
	}
	return out, err
}

type tx struct {
	inner driver.Tx
	fault *Fault
}

func (t *tx) Commit() error {
	err := t.fault.step("commit", t.inner.Commit)
	if errors.Is(err, ErrInjected) {
		_ = t.inner.Rollback() // before a commit: the server would do it; after: there is nothing left
	}
	return err
}

func (t *tx) Rollback() error { return t.inner.Rollback() }
