package sqlite

import (
	"errors"
	"log/slog"
	"time"
)

// ErrInUse says that another process has the folder.
var ErrInUse = errors.New("the data folder is in use")

// Options are the settings of a Store.
type Options struct {
	// Dir is the folder of the database, made when it is not there. It holds
	// leftfold.db with SQLite's -wal and -shm files beside it, and leftfold.lock.
	Dir string
	// LockWait is how long Open waits for another process to let go of Dir: one
	// that was killed may take a moment to end. Default 2 s; negative: not at all.
	LockWait time.Duration
	// Logger is for what an operator should know. Default: slog.Default().
	Logger *slog.Logger
}

const (
	databaseFile = "leftfold.db"
	lockFile     = "leftfold.lock"

	// busyTimeout is how long a statement waits for a lock that somebody outside
	// holds, such as the sqlite3 shell; within the process nobody waits so.
	busyTimeout = 5 * time.Second
	// readers is the number of connections for owners' reads; they are short,
	// and there is one file.
	readers = 4
	// projectionReaders is the number of connections for queries of projections,
	// kept apart so that slow queries do not hold up owners.
	projectionReaders = 4
	// cacheKiB is the page cache of the connection that writes, readCacheKiB that
	// of each that reads. SQLite's memory comes on top of Go's heap, and eight
	// readers with the writer's cache were 64 MiB resident once many entities had
	// been loaded; what they miss is in the kernel's page cache.
	cacheKiB, readCacheKiB = 8 << 10, 1 << 10
	// checkpointPages is how long the write-ahead log grows, in pages of 4 KiB,
	// before its content moves into the database file: a checkpoint costs two
	// more fsyncs, in the commit that starts it.
	checkpointPages = 4000
)

func (o *Options) setDefaults() {
	if o.LockWait == 0 {
		o.LockWait = 2 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
}
