package shard_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/eventstore/storetest/memory"
)

// newStore is an empty store for one test: the model that the conformance suite
// holds real ones to. It survives the hosts on it.
func newStore(t *testing.T) eventstore.Store {
	t.Helper()
	return memory.New(memory.Options{})
}

// sameEvents compares events by their hash, which covers all else: a store may
// spell their data in another way.
var sameEvents = cmp.Options{
	cmpopts.IgnoreFields(eventstore.Event{}, "Data"),
	cmpopts.EquateEmpty(),
}

func benchStore(b *testing.B) eventstore.Store {
	b.Helper()
	return memory.New(memory.Options{})
}
