package shard

import (
	"fmt"
	"testing"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

func TestOutcomeRowsThatWaitToBeDeletedAreBounded(t *testing.T) {
	p := &pruner{}
	for i := range maxStaleOutcomes + 10 {
		p.add(eventstore.AggregateID(i%2+1), eventstore.Outcome{CommandID: fmt.Sprint(i)})
	}
	if n := len(p.stale[1]) + len(p.stale[2]); n != maxStaleOutcomes {
		t.Errorf("%d rows wait, want %d", n, maxStaleOutcomes)
	}
}
