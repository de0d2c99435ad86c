package placement_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/leftfold/leftfold/controllers/placement"
)

// pods makes n ready members of revision 1, m00 and on, in turn in each zone, each
// on a node of its own.
func pods(n int, zones ...string) []placement.Member {
	members := make([]placement.Member, n)
	for i := range members {
		zone := ""
		if len(zones) > 0 {
			zone = zones[i%len(zones)]
		}
		members[i] = placement.Member{
			ID: fmt.Sprintf("m%02d", i), Pod: fmt.Sprintf("bank-%d", i), Node: fmt.Sprintf("n%02d", i),
			Zone: zone, Revision: 1, Ready: true,
		}
	}
	return members
}

// orphans makes shards 0..n-1 of an aggregate, of equal cost.
func orphans(aggregate string, n int) []placement.Shard {
	shards := make([]placement.Shard, n)
	for i := range shards {
		shards[i].ShardID = placement.ShardID{Aggregate: aggregate, Number: i}
	}
	return shards
}

// owned makes shards of equal cost: counts[i] of them belong to the i-th member.
func owned(aggregate string, counts ...int) []placement.Shard {
	var shards []placement.Shard
	for member, count := range counts {
		for range count {
			shards = append(shards, placement.Shard{
				ShardID: placement.ShardID{Aggregate: aggregate, Number: len(shards)},
				Owner:   fmt.Sprintf("m%02d", member),
			})
		}
	}
	return shards
}

// carriedOut is what the shards are after all moves of a plan.
func carriedOut(shards []placement.Shard, plan placement.Plan) []placement.Shard {
	to := map[placement.ShardID]string{}
	for _, move := range plan.Assign {
		to[move.Shard] = move.To
	}
	after := slices.Clone(shards)
	for i := range after {
		if owner, ok := to[after[i].ShardID]; ok {
			after[i].Owner = owner
		}
	}
	return after
}

// settled carries plans out until there is nothing to do, and counts the moves.
func settled(t rapid.TB, members []placement.Member, shards []placement.Shard, policy placement.Policy) ([]placement.Shard, int) {
	t.Helper()
	moves := 0
	// A shard moves for drain once, for balance and spread a few times: far fewer
	// rounds than this, or it goes in circles.
	for range 20 + 4*len(shards) {
		plan := placement.Compute(members, shards, policy)
		if len(plan.Assign) == 0 {
			return shards, moves
		}
		moves += len(plan.Assign)
		shards = carriedOut(shards, plan)
	}
	t.Fatalf("no end of moves; members %+v, shards %+v", members, shards)
	return nil, 0
}

// count tells how many shards each key has.
func count(shards []placement.Shard, key func(placement.Shard) string) map[string]int {
	counts := map[string]int{}
	for _, s := range shards {
		counts[key(s)]++
	}
	return counts
}

func byOwner(s placement.Shard) string { return s.Owner }

func byZone(members []placement.Member) func(placement.Shard) string {
	return func(s placement.Shard) string { return memberOf(members, s.Owner).Zone }
}

func memberOf(members []placement.Member, id string) placement.Member {
	for _, m := range members {
		if m.ID == id {
			return m
		}
	}
	return placement.Member{}
}

func reasons(plan placement.Plan) map[placement.Reason]int {
	counts := map[placement.Reason]int{}
	for _, move := range plan.Assign {
		counts[move.Reason]++
	}
	return counts
}

func wantOwners(t *testing.T, shards []placement.Shard, want map[string]int) {
	t.Helper()
	got := count(shards, byOwner)
	if len(got) != len(want) {
		t.Fatalf("owners: got %v, want %v", got, want)
	}
	for owner, n := range want {
		if got[owner] != n {
			t.Fatalf("owners: got %v, want %v", got, want)
		}
	}
}
