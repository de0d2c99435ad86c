package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/leftfold/leftfold/api/postgres/pgtest"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/eventstore/postgres"
	"github.com/leftfold/leftfold/runtime/eventstore/sqlite"
)

// place is where events go: a private PostgreSQL, or a folder with SQLite in it.
// Both are on this machine's disk, with the durability that users get.
type place struct {
	// flags are what leftfold dev takes to serve from it.
	flags []string
	open  func(context.Context) (eventstore.Store, error)
	end   func()
}

// kinds are the stores by name.
var kinds = map[string]func() (place, error){"postgres": newServer, "sqlite": newFolder}

// walSegments of 16 MiB are there for reuse.
const walSegments = 60

// recycleWAL gives the database WAL files to use again, as one has that has run for
// a while. A new one makes each file first, and all commits wait for it meanwhile:
// the 99th percentile was a fifth higher for that.
func recycleWAL(server *pgtest.Server) error {
	ctx := context.Background()
	db, err := server.Superuser(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close(ctx) }()
	for range walSegments {
		if _, err := db.Exec(ctx, "SELECT pg_logical_emit_message(false, '', ''), pg_switch_wal()"); err != nil {
			return err
		}
	}
	_, err = db.Exec(ctx, "CHECKPOINT")
	return err
}

func newServer() (place, error) {
	server, err := pgtest.Launch(fmt.Sprintf("min_wal_size = %dMB", walSegments*16))
	if err != nil {
		return place{}, err
	}
	if err := recycleWAL(server); err != nil {
		return place{}, errors.Join(err, server.Stop())
	}
	return place{
		flags: []string{"--store", server.URL()},
		open: func(ctx context.Context) (eventstore.Store, error) {
			return postgres.Open(ctx, postgres.Options{URL: server.URL(), Schema: "leftfold", Logger: slog.New(slog.DiscardHandler)})
		},
		end: func() { _ = server.Stop() },
	}, nil
}

func newFolder() (place, error) {
	folder, err := os.MkdirTemp("", "leftfold-bench-")
	if err != nil {
		return place{}, err
	}
	return place{
		flags: []string{"--data", folder},
		open: func(ctx context.Context) (eventstore.Store, error) {
			// Where leftfold dev keeps the events of the sample's store.
			return sqlite.Open(ctx, sqlite.Options{Dir: filepath.Join(folder, "bank"), Logger: slog.New(slog.DiscardHandler)})
		},
		end: func() { _ = os.RemoveAll(folder) },
	}, nil
}

// within runs f on a fresh place.
func within(kind string, f func(place) error) error {
	p, err := kinds[kind]()
	if err != nil {
		return err
	}
	defer p.end()
	return f(p)
}

// using runs f on an open store of the place, and closes it.
func (p place) using(ctx context.Context, f func(eventstore.Store) error) error {
	store, err := p.open(ctx)
	if err != nil {
		return err
	}
	err = f(store)
	if closing := store.Close(); err == nil {
		err = closing
	}
	return err
}
