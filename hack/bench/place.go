package main

import (
	"context"
	"errors"
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

func newServer() (place, error) {
	server, err := pgtest.Launch()
	if err != nil {
		return place{}, err
	}
	if err := server.RecycleWAL(context.Background()); err != nil {
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
