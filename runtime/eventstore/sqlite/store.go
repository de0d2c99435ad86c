package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	_ "modernc.org/sqlite" // the driver

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// Store is an eventstore.Store in a SQLite file. It is safe for concurrent use.
type Store struct {
	log    *slog.Logger
	lock   *os.File
	writer *sql.DB // one connection
	reader *sql.DB
	// projections reads for projections' queries.
	projections *sql.DB
	statements  statements

	mu     sync.Mutex
	closed bool
	calls  sync.WaitGroup // calls in flight, and transactions that were abandoned
}

var _ eventstore.Store = (*Store)(nil)

// Open opens the store in o.Dir, making folder and database when they are not
// there, and brings the schema up to date. Errors: ErrInUse while another process
// has the folder; eventstore.ErrUnsafe when the folder cannot keep the promises.
func Open(ctx context.Context, o Options) (*Store, error) {
	o.setDefaults()
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := checkFileSystem(dir); err != nil {
		return nil, err
	}
	lock, err := lockFolder(ctx, filepath.Join(dir, lockFile), o.LockWait)
	if err != nil {
		return nil, err
	}
	s := &Store{log: o.Logger, lock: lock}
	if err := s.open(ctx, filepath.Join(dir, databaseFile)); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", filepath.Join(dir, databaseFile), err), s.free())
	}
	return s, syncFolder(dir)
}

func (s *Store) open(ctx context.Context, file string) error {
	var err error
	if s.writer, err = connect(file, 1, cacheKiB, "_txlock", "immediate"); err != nil {
		return err
	}
	if err := verify(ctx, s.writer); err != nil {
		return err
	}
	if err := migrate(ctx, s.writer, s.log); err != nil {
		return err
	}
	if s.reader, err = connect(file, readers, readCacheKiB, "_pragma", "query_only(1)"); err != nil {
		return err
	}
	if s.projections, err = connect(file, projectionReaders, readCacheKiB, "_pragma", "query_only(1)"); err != nil {
		return err
	}
	return s.statements.prepare(ctx, s.writer, s.reader)
}

// connect makes a pool whose connections all have the store's settings.
func connect(file string, connections, cacheKiB int, key, value string) (*sql.DB, error) {
	q := url.Values{}
	for _, pragma := range []string{
		"busy_timeout(" + strconv.FormatInt(busyTimeout.Milliseconds(), 10) + ")",
		"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(0)",
		"cache_size(" + strconv.Itoa(-cacheKiB) + ")",
		"wal_autocheckpoint(" + strconv.Itoa(checkpointPages) + ")",
	} {
		q.Add("_pragma", pragma)
	}
	q.Add(key, value)
	name := url.URL{Scheme: "file", Path: file, RawQuery: q.Encode()}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

// verify refuses a database that does not do what it was told: SQLite answers a
// setting that it cannot have with another one, not with an error.
func verify(ctx context.Context, db *sql.DB) error {
	var journal string
	if err := db.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&journal); err != nil {
		return err
	}
	if journal != "wal" {
		return fmt.Errorf("%w: journal_mode is %s, the file system does not support WAL", eventstore.ErrUnsafe, journal)
	}
	var synchronous int
	if err := db.QueryRowContext(ctx, "PRAGMA synchronous").Scan(&synchronous); err != nil {
		return err
	}
	if synchronous < 2 {
		return fmt.Errorf("%w: synchronous is %d, not 2 (FULL)", eventstore.ErrUnsafe, synchronous)
	}
	return nil
}

// syncFolder makes the names of new files durable.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// ProjectionDB gives the handles that projections need. A transaction on writer
// is the store's only one while it lasts, so it must be short; appends wait for
// it. It begins IMMEDIATE. The connections of reader refuse to write. Both end
// with Close, before which every transaction must have ended.
func (s *Store) ProjectionDB() (writer, reader *sql.DB) { return s.writer, s.projections }

// AppendConcurrency is 1: there is one writer.
func (s *Store) AppendConcurrency() int { return 1 }

var errClosed = fmt.Errorf("%w: the store is closed", eventstore.ErrNotAttempted)

// begin counts a call, which must end with s.calls.Done; false after Close.
func (s *Store) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.calls.Add(1)
	return true
}

// Close waits for calls in flight and for transactions that were abandoned, moves
// what is in the write-ahead log into the database, and frees the folder.
func (s *Store) Close() error {
	s.mu.Lock()
	again := s.closed
	s.closed = true
	s.mu.Unlock()
	s.calls.Wait()
	if again {
		return nil
	}
	return s.free()
}

// free closes what is open, the writer after the readers: the last connection to
// go cleans up, and must be one that may write.
func (s *Store) free() error {
	var errs []error
	for _, db := range []*sql.DB{s.projections, s.reader, s.writer} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(append(errs, s.lock.Close())...)
}
