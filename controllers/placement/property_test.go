package placement_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/leftfold/leftfold/controllers/placement"
)

// anyMembers draws members in all states.
func anyMembers(t *rapid.T, least int) []placement.Member {
	n := rapid.IntRange(least, 9).Draw(t, "members")
	members := pods(n)
	for i := range members {
		members[i].Node = rapid.SampledFrom([]string{"", "n1", "n2", "n3", "n4", "n5"}).Draw(t, "node")
		members[i].Zone = rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "zone")
		members[i].Revision = int64(rapid.IntRange(1, 2).Draw(t, "revision"))
		members[i].Draining = rapid.IntRange(0, 4).Draw(t, "draining") == 0
		members[i].Ready = rapid.IntRange(0, 4).Draw(t, "ready") > 0
	}
	return members
}

// steady makes all of them ready, of one revision and not draining.
func steady(members []placement.Member) []placement.Member {
	for i := range members {
		members[i].Revision, members[i].Draining, members[i].Ready = 1, false, true
	}
	return members
}

// anyShards draws shards, owned by some of the members, by others, or by nobody.
func anyShards(t *rapid.T, members []placement.Member) []placement.Shard {
	owners := []string{"", "gone"}
	for _, m := range members {
		owners = append(owners, m.ID)
	}
	var shards []placement.Shard
	for a := range rapid.IntRange(0, 4).Draw(t, "aggregates") {
		uneven := rapid.Bool().Draw(t, "uneven")
		for n := range rapid.IntRange(1, 24).Draw(t, "shards") {
			s := placement.Shard{
				ShardID: placement.ShardID{Aggregate: fmt.Sprintf("a%d", a), Number: n},
				Owner:   rapid.SampledFrom(owners).Draw(t, "owner"),
			}
			if uneven {
				s.Load = rapid.Float64Range(0, 3000).Draw(t, "load")
				s.Weight = rapid.Float64Range(0, 3).Draw(t, "weight")
			}
			if rapid.IntRange(0, 9).Draw(t, "failed") == 0 {
				s.Avoid = []string{rapid.SampledFrom(owners).Draw(t, "avoid")}
			}
			shards = append(shards, s)
		}
	}
	return shards
}

func anyPolicy(t *rapid.T) placement.Policy {
	return placement.Policy{
		MaxMoves:  rapid.SampledFrom([]int{0, 1, 2, 5, 100}).Draw(t, "max moves"),
		Tolerance: rapid.SampledFrom([]float64{0, 0.05, 0.3}).Draw(t, "tolerance"),
	}
}

func isOrphan(s placement.Shard, members []placement.Member) bool {
	return memberOf(members, s.Owner).ID == ""
}

func TestEveryOrphanIsPlacedIfAndOnlyIfAReadyMemberExists(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := anyMembers(t, 0)
		shards := anyShards(t, members)
		plan := placement.Compute(members, shards, anyPolicy(t))
		ready := false
		for _, m := range members {
			ready = ready || m.Ready
		}
		left := 0
		for _, s := range carriedOut(shards, plan) {
			if isOrphan(s, members) {
				left++
			}
		}
		before := 0
		for _, s := range shards {
			if isOrphan(s, members) {
				before++
			}
		}
		want := 0
		if !ready {
			want = before
		}
		if left != want || len(plan.Unplaced) != want {
			t.Fatalf("ready member: %t; left: got %d, unplaced %d, want %d", ready, left, len(plan.Unplaced), want)
		}
	})
}

func TestMovesGoOnlyWhereTheyMay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := anyMembers(t, 1)
		shards := anyShards(t, members)
		avoid := map[placement.ShardID][]string{}
		for _, s := range shards {
			avoid[s.ShardID] = s.Avoid
		}
		newest, sound := int64(0), false
		for _, m := range members {
			if m.Ready && !m.Draining {
				newest, sound = max(newest, m.Revision), true
			}
		}
		seen := map[placement.ShardID]bool{}
		for _, move := range placement.Compute(members, shards, anyPolicy(t)).Assign {
			to := memberOf(members, move.To)
			if !to.Ready || move.To == move.From || seen[move.Shard] {
				t.Fatalf("%+v to %+v; seen before: %t", move, to, seen[move.Shard])
			}
			seen[move.Shard] = true
			if sound && (to.Draining || to.Revision != newest) {
				t.Fatalf("%+v to %+v, though a member of revision %d is there", move, to, newest)
			}
			optional := move.Reason == placement.Balance || move.Reason == placement.Spread
			if optional && slices.Contains(avoid[move.Shard], move.To) {
				t.Fatalf("%+v, where it failed", move)
			}
			if !sound && move.Reason != placement.Orphaned {
				t.Fatalf("%+v, though all members are to be emptied", move)
			}
		}
	})
}

func TestPlannedMovesAreBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := anyMembers(t, 1)
		shards := anyShards(t, members)
		bound := rapid.IntRange(1, 5).Draw(t, "bound")
		moving := 0
		for i := range shards {
			if rapid.IntRange(0, 9).Draw(t, "moving") == 0 && !isOrphan(shards[i], members) {
				shards[i].Moving = true
				moving++
			}
		}
		plan := placement.Compute(members, shards, placement.Policy{MaxMoves: bound})
		planned := len(plan.Assign) - reasons(plan)[placement.Orphaned]
		if want := max(0, bound-moving); planned > want {
			t.Fatalf("planned moves: got %d, want at most %d; %+v", planned, want, plan.Assign)
		}
	})
}

func TestRepeatedPlansComeToAnEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := anyMembers(t, 0)
		shards := anyShards(t, members)
		policy := anyPolicy(t)
		after, moves := settled(t, members, shards, policy)
		// Every shard leaves where it is for one good reason, or two.
		if limit := 10 + 2*len(shards); moves > limit {
			t.Fatalf("moves: got %d for %d shards", moves, len(shards))
		}
		for _, s := range after {
			if m := memberOf(members, s.Owner); m.Draining && policy.MaxMoves >= 0 && anyTarget(members) {
				t.Fatalf("left on a draining member: %+v", s)
			}
		}
	})
}

func anyTarget(members []placement.Member) bool {
	for _, m := range members {
		if m.Ready && !m.Draining {
			return true
		}
	}
	return false
}

func TestLoadsAreCloseOnceThereIsNothingToDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := steady(anyMembers(t, 1))
		shards := anyShards(t, members)
		for i := range shards {
			shards[i].Avoid = nil
		}
		shards, _ = settled(t, members, shards, placement.Policy{Tolerance: 0.1})
		cost := map[string]float64{}
		total, dearest := 0.0, 0.0
		for _, s := range shards {
			c := s.Load/100 + 1
			if s.Weight > 0 {
				c += s.Weight - 1
			}
			cost[s.Owner] += c
			total += c
			dearest = max(dearest, c)
		}
		least, most := math.Inf(1), 0.0
		for _, m := range members {
			least, most = min(least, cost[m.ID]), max(most, cost[m.ID])
		}
		tolerance := 0.1 * total / float64(len(members))
		if gap, want := most-least, tolerance+max(tolerance, dearest); gap > want*1.000001 {
			t.Fatalf("heaviest - lightest: got %.3f (%v), want at most %.3f", gap, cost, want)
		}
	})
}

func TestAnAggregateIsSpreadOnceThereIsNothingToDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zones := []string{"a", "b", "c"}[:rapid.IntRange(2, 3).Draw(t, "zones")]
		members := pods(len(zones)*rapid.IntRange(1, 3).Draw(t, "members a zone"), zones...)
		shards := anyShards(t, members)
		for i := range shards {
			shards[i].Load, shards[i].Weight, shards[i].Avoid = 0, 0, nil
		}
		shards, _ = settled(t, members, shards, placement.Policy{MaxMoves: 4, Tolerance: 0.01})
		zone := byZone(members)
		got := count(shards, func(s placement.Shard) string { return s.Aggregate + "/" + zone(s) })
		for aggregate, n := range count(shards, func(s placement.Shard) string { return s.Aggregate }) {
			even := (n + len(zones) - 1) / len(zones)
			for _, z := range zones {
				// Where exchanging two shards would take three, one more may stay.
				if there := got[aggregate+"/"+z]; there > even {
					t.Fatalf("%s has %d of %d shards in zone %s, want at most %d", aggregate, there, n, z, even+1)
				}
			}
		}
	})
}

func TestOrderOfMembersAndShardsDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := anyMembers(t, 1)
		shards := anyShards(t, members)
		policy := anyPolicy(t)
		if rapid.Bool().Draw(t, "ties") {
			members = steady(members)
			for i := range shards {
				shards[i].Load, shards[i].Weight, shards[i].Avoid = 0, 0, nil
				if isOrphan(shards[i], members) {
					shards[i].Owner = members[0].ID
				}
			}
		}
		want := placement.Compute(members, shards, policy)
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		random.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
		random.Shuffle(len(shards), func(i, j int) { shards[i], shards[j] = shards[j], shards[i] })
		if got := placement.Compute(members, shards, policy); !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, want %+v", got, want)
		}
	})
}

func TestANewMemberIsGivenAboutItsShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "members")
		all := pods(n + 1)
		shards := orphans("account", rapid.IntRange(1, 200).Draw(t, "shards"))
		shards, _ = settled(t, all[:n], shards, placement.Policy{})
		_, moves := settled(t, all, shards, placement.Policy{})
		if share := (len(shards) + n) / (n + 1); moves > share {
			t.Fatalf("moves: got %d, want at most the new member's share, %d of %d", moves, share, len(shards))
		}
	})
}

func TestALostMemberMovesNothingButItsOwn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := pods(rapid.IntRange(2, 9).Draw(t, "members"), "a", "b", "c")
		shards := orphans("account", rapid.IntRange(1, 100).Draw(t, "shards"))
		shards, _ = settled(t, members, shards, placement.Policy{})
		lost := members[0].ID
		plan := placement.Compute(members[1:], shards, placement.Policy{})
		if got, want := len(plan.Assign), count(shards, byOwner)[lost]; got != want {
			t.Fatalf("moves: got %d, want the %d shards of the lost member", got, want)
		}
		for _, move := range plan.Assign {
			if move.From != lost {
				t.Fatalf("moved off a living member: %+v", move)
			}
		}
	})
}
