package shard_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/leftfold/leftfold/api/postgres/pgtest"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/eventstore/postgres"
	"github.com/leftfold/leftfold/runtime/eventstore/sqlite"
)

// The model test in real time, on the stores that the runtime ships.

func TestRandomFaultsAndTakeoversOnPostgreSQL(t *testing.T) {
	onReal(t, func(t *testing.T) (eventstore.Store, error) {
		return postgres.Open(t.Context(), postgres.Options{URL: pgtest.URL(t), Schema: pgtest.Schema(t), Logger: quiet()})
	})
}

func TestRandomFaultsAndTakeoversOnSQLite(t *testing.T) {
	onReal(t, func(t *testing.T) (eventstore.Store, error) {
		return sqlite.Open(t.Context(), sqlite.Options{Dir: t.TempDir(), Logger: quiet()})
	})
}

func onReal(t *testing.T, open func(t *testing.T) (eventstore.Store, error)) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			store, err := open(t)
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			newModel(t, seed, store, scale{
				clients: 6, commands: 60, entities: 3, patience: 300 * time.Millisecond, rates: stormy,
			}).run()
		})
	}
}
