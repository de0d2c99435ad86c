package server_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

func TestAPositionOfNumbersThatAddUpToTooMuchIsAnsweredAsAnyOther(t *testing.T) {
	r := start(t, sqlitePlace(t), probe(t))
	for i := range 40 { // enough for every shard to have some
		r.add(t, fmt.Sprintf("e-%d", i))
	}
	for _, less := range []int64{0, 1, 2} {
		var far eventstore.Position
		far.Set(eventstore.ShardID{Aggregate: 1, Number: 0}, math.MaxInt64)
		far.Set(eventstore.ShardID{Aggregate: 1, Number: 1}, math.MaxInt64-less)
		after, err := far.Encode()
		if err != nil {
			t.Fatal(err)
		}
		a := r.ok(t, get("/v1/events/probe?after="+after))
		if n := len(a.list("events")); n == 0 {
			t.Errorf("no events of the other shards: %s", a.text)
		}
	}
}
