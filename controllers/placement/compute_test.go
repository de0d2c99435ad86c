package placement_test

import (
	"math"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leftfold/leftfold/controllers/placement"
)

func TestWhoIsGivenOrphans(t *testing.T) {
	tests := []struct {
		name   string
		change func(members []placement.Member)
		want   map[string]int
	}{
		{"ready members share them evenly", func([]placement.Member) {},
			map[string]int{"m00": 4, "m01": 4, "m02": 4}},
		{"a member that is not ready is given none", func(m []placement.Member) { m[1].Ready = false },
			map[string]int{"m00": 6, "m02": 6}},
		{"a member that drains is given none", func(m []placement.Member) { m[1].Draining = true },
			map[string]int{"m00": 6, "m02": 6}},
		{"only members of the newest revision are given any", func(m []placement.Member) { m[2].Revision = 2 },
			map[string]int{"m02": 12}},
		{"older members serve while no newer one is ready",
			func(m []placement.Member) { m[2].Revision, m[2].Ready = 2, false },
			map[string]int{"m00": 6, "m01": 6}},
		{"older members serve while the newer ones drain",
			func(m []placement.Member) { m[2].Revision, m[2].Draining = 2, true },
			map[string]int{"m00": 6, "m01": 6}},
		{"a ready member that drains serves when there is no other", func(m []placement.Member) {
			m[0].Ready, m[1].Draining, m[2].Ready = false, true, false
		}, map[string]int{"m01": 12}},
		{"nobody ready leaves them orphans", func(m []placement.Member) {
			m[0].Ready, m[1].Ready, m[2].Ready = false, false, false
		}, map[string]int{"": 12}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			members := pods(3)
			test.change(members)
			shards := orphans("account", 12)
			plan := placement.Compute(members, shards, placement.Policy{})
			wantOwners(t, carriedOut(shards, plan), test.want)
			if got, want := len(plan.Unplaced), test.want[""]; got != want {
				t.Errorf("unplaced: got %d, want %d", got, want)
			}
		})
	}
}

func TestShardsOfALostMemberAllMoveAtOnceToTheLeastLoaded(t *testing.T) {
	shards := owned("account", 6, 2, 4, 12)
	plan := placement.Compute(pods(3), shards, placement.Policy{MaxMoves: 1})
	if got := reasons(plan)[placement.Orphaned]; got != 12 {
		t.Fatalf("orphans placed: got %d, want 12; %+v", got, plan)
	}
	wantOwners(t, carriedOut(shards, plan), map[string]int{"m00": 8, "m01": 8, "m02": 8})
	if got := plan.Assign[0].From; got != "m03" {
		t.Errorf("From of a lost member's shard: got %q, want m03", got)
	}
}

func TestOrphansArePlacedEvenWhenPlannedMovesAreForbidden(t *testing.T) {
	plan := placement.Compute(pods(2), orphans("account", 5), placement.Policy{MaxMoves: -1})
	if got := len(plan.Assign); got != 5 {
		t.Fatalf("moves: got %d, want 5", got)
	}
}

func TestADrainingMemberIsEmptiedStepByStep(t *testing.T) {
	members, shards := pods(3), owned("account", 10, 10, 10)
	members[0].Draining = true
	policy := placement.Policy{MaxMoves: 4}
	for _, want := range []int{6, 2, 0} {
		plan := placement.Compute(members, shards, policy)
		if got := reasons(plan); got[placement.Draining] != len(plan.Assign) {
			t.Fatalf("moves for other reasons while a member drains: %v", got)
		}
		shards = carriedOut(shards, plan)
		if got := count(shards, byOwner)["m00"]; got != want {
			t.Fatalf("left on the draining member: got %d, want %d", got, want)
		}
	}
	wantOwners(t, shards, map[string]int{"m01": 15, "m02": 15})
}

func TestMovesUnderWayCountAgainstTheBound(t *testing.T) {
	members, shards := pods(3), owned("account", 10, 10, 10)
	members[0].Draining = true
	shards[15].Moving, shards[16].Moving, shards[0].Moving = true, true, true
	plan := placement.Compute(members, shards, placement.Policy{MaxMoves: 4})
	if got := len(plan.Assign); got != 1 {
		t.Fatalf("moves beside three under way, of four: got %d, want 1", got)
	}
	if plan.Assign[0].Shard == shards[0].ShardID {
		t.Fatal("a shard that moves was moved again")
	}
}

func TestAMovingShardWhoseTargetIsGoneIsAnOrphan(t *testing.T) {
	shards := orphans("account", 1)
	shards[0].Owner, shards[0].Moving = "gone", true
	plan := placement.Compute(pods(1), shards, placement.Policy{})
	want := []placement.Move{{Shard: shards[0].ShardID, From: "gone", To: "m00", Reason: placement.Orphaned}}
	if diff := cmp.Diff(want, plan.Assign); diff != "" {
		t.Fatal(diff)
	}
}

func TestAMemberThatIsNotReadyKeepsWhatItOwns(t *testing.T) {
	members, shards := pods(3), owned("account", 4, 4, 4)
	members[0].Ready = false
	if plan := placement.Compute(members, shards, placement.Policy{}); len(plan.Assign) > 0 {
		t.Fatalf("got moves %+v", plan.Assign)
	}
}

func TestNothingMovesWhen(t *testing.T) {
	tests := []struct {
		name    string
		members []placement.Member
		shards  []placement.Shard
	}{
		{"there is nothing", nil, nil},
		{"there are no shards", pods(3), nil},
		{"all members have as many", pods(3), owned("account", 4, 4, 4)},
		{"shards do not divide", pods(3), owned("account", 6, 5, 5)},
		{"the difference is within the tolerance", pods(2), owned("account", 54, 46)},
		{"there are fewer shards than members", pods(3), owned("account", 1, 1)},
		{"a trickle of load is uneven", pods(2), func() []placement.Shard {
			shards := owned("account", 10, 10)
			shards[0].Load = 50
			return shards
		}()},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if plan := placement.Compute(test.members, test.shards, placement.Policy{}); len(plan.Assign) > 0 {
				t.Fatalf("got moves %+v", plan.Assign)
			}
		})
	}
}

func TestBalanceGoesByLoadAsWellAsByNumber(t *testing.T) {
	shards := owned("account", 8, 8)
	for i := range 4 {
		shards[i].Load = 1000 // eleven idle ones each
	}
	after, moves := settled(t, pods(2), shards, placement.Policy{})
	hot := map[string]int{}
	for i := range 4 {
		hot[after[i].Owner]++
	}
	if hot["m00"] != 2 || hot["m01"] != 2 {
		t.Errorf("hot shards: got %v, want two each", hot)
	}
	if moves != 2 {
		t.Errorf("moves: got %d, want 2", moves)
	}
}

func TestAWaveringLoadDoesNotSendAShardBack(t *testing.T) {
	members := pods(3)
	shards := owned("account", 2, 1, 1)
	for round := range 20 {
		for i := range shards {
			shards[i].Load = 1000 * (1 + 0.04*math.Sin(float64(7*round+3*i)))
		}
		if plan := placement.Compute(members, shards, placement.Policy{}); len(plan.Assign) > 0 {
			t.Fatalf("round %d: got moves %+v", round, plan.Assign)
		}
	}
}

func TestLoadsThatAreNoNumbersAreZero(t *testing.T) {
	shards := orphans("account", 4)
	shards[0].Load, shards[1].Load, shards[2].Load = math.NaN(), math.Inf(1), -5
	plan := placement.Compute(pods(2), shards, placement.Policy{})
	wantOwners(t, carriedOut(shards, plan), map[string]int{"m00": 2, "m01": 2})
}

func TestARolloutMovesEachShardOnce(t *testing.T) {
	// Surge of one: a new member is ready before an old one drains.
	members, shards := pods(3), owned("account", 10, 10, 10)
	total := 0
	for old := range 3 {
		fresh := pods(6)[3+old]
		fresh.Revision = 2
		members = append(members, fresh)
		members[old].Draining = true
		var moves int
		shards, moves = settled(t, members, shards, placement.Policy{})
		total += moves
		if got := count(shards, byOwner)[members[old].ID]; got != 0 {
			t.Fatalf("left on an old member that drains: %d", got)
		}
		members[old].Ready = false
	}
	wantOwners(t, shards, map[string]int{"m03": 10, "m04": 10, "m05": 10})
	// Once each, and what the first new members had to take in for the later ones.
	if total > 30+20 {
		t.Errorf("moves: got %d, want at most 50", total)
	}
}

func TestAnAggregateIsSpreadOverZonesThenNodes(t *testing.T) {
	members := pods(4, "a", "a", "b", "b")
	members[0].Node, members[1].Node = "n1", "n2"
	members[2].Node, members[3].Node = "n3", "n3"
	shards := orphans("account", 4)
	after := carriedOut(shards, placement.Compute(members, shards, placement.Policy{}))
	if got, want := count(after, byZone(members)), map[string]int{"a": 2, "b": 2}; !reflect.DeepEqual(got, want) {
		t.Errorf("zones: got %v, want %v", got, want)
	}
	two := orphans("order", 2)
	members = members[:3]
	members[0].Node, members[1].Node, members[2].Node = "n1", "n1", "n2"
	members[2].Zone = "a"
	after = carriedOut(two, placement.Compute(members, two, placement.Policy{}))
	nodes := count(after, func(s placement.Shard) string { return memberOf(members, s.Owner).Node })
	if len(nodes) != 2 {
		t.Errorf("two shards, two nodes: got %v", nodes)
	}
}

func TestShardsChangePlacesForSpread(t *testing.T) {
	members := pods(2, "a", "b")
	shards := append(owned("account", 4, 0), owned("order", 0, 4)...)
	after, moves := settled(t, members, shards, placement.Policy{})
	for _, aggregate := range [][]placement.Shard{after[:4], after[4:]} {
		if got, want := count(aggregate, byZone(members)), map[string]int{"a": 2, "b": 2}; !reflect.DeepEqual(got, want) {
			t.Errorf("zones of %s: got %v, want %v", aggregate[0].Aggregate, got, want)
		}
	}
	if moves != 4 {
		t.Errorf("moves: got %d, want 4", moves)
	}
}

func TestAShardAvoidsWhereItFailed(t *testing.T) {
	members := pods(2)
	shards := orphans("account", 1)
	shards[0].Avoid = []string{"m00"}
	plan := placement.Compute(members, shards, placement.Policy{})
	if got := plan.Assign[0].To; got != "m01" {
		t.Errorf("with another: got %s, want m01", got)
	}
	shards[0].Avoid = []string{"m00", "m01"}
	if plan = placement.Compute(members, shards, placement.Policy{}); len(plan.Assign) != 1 {
		t.Errorf("without another: got %+v, want one move", plan)
	}
}

func TestNoShardMovesForBalanceOrSpreadToWhereItFailed(t *testing.T) {
	tests := []struct {
		name   string
		shards []placement.Shard
		policy placement.Policy
		want   placement.Reason // with nothing to avoid
	}{
		{"balance", owned("account", 6, 0), placement.Policy{}, placement.Balance},
		{"spread", owned("account", 2, 0), placement.Policy{Tolerance: 1}, placement.Spread},
		{"exchange", append(owned("account", 4, 0), owned("order", 0, 4)...), placement.Policy{}, placement.Spread},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			members := pods(2, "a", "b")
			if got := reasons(placement.Compute(members, test.shards, test.policy)); got[test.want] == 0 {
				t.Fatalf("with nothing to avoid: got moves %v, want some for %s", got, test.want)
			}
			for i, s := range test.shards {
				if s.Owner == "m00" {
					test.shards[i].Avoid = []string{"m01"}
				}
			}
			if plan := placement.Compute(members, test.shards, test.policy); len(plan.Assign) > 0 {
				t.Fatalf("got moves %+v", plan.Assign)
			}
		})
	}
}

func TestArgumentsAreLeftAlone(t *testing.T) {
	members, shards := pods(3), owned("account", 9, 0, 0)
	members[0], members[2] = members[2], members[0]
	shards[0], shards[5] = shards[5], shards[0]
	placement.Compute(members, shards, placement.Policy{})
	if members[0].ID != "m02" || shards[0].Number != 5 || shards[0].Owner != "m00" {
		t.Fatalf("members %+v, shards %+v", members, shards)
	}
}
