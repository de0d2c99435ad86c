package placement_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/leftfold/leftfold/controllers/placement"
)

// largeCluster is 10,000 shards of 50 aggregates on 200 members in three zones,
// four shards in five under uneven load.
func largeCluster() ([]placement.Member, []placement.Shard) {
	random := rand.New(rand.NewPCG(1, 2))
	var shards []placement.Shard
	for a := range 50 {
		for _, s := range orphans(fmt.Sprintf("aggregate-%02d", a), 200) {
			if random.IntN(5) > 0 {
				s.Load = 400 * random.ExpFloat64()
			}
			shards = append(shards, s)
		}
	}
	members := pods(200, "a", "b", "c")
	return members, carriedOut(shards, placement.Compute(members, shards, placement.Policy{}))
}

func BenchmarkCompute(b *testing.B) {
	members, shards := largeCluster()
	unowned := make([]placement.Shard, len(shards))
	skewed := make([]placement.Shard, len(shards))
	for i, s := range shards {
		unowned[i], skewed[i] = s, s
		unowned[i].Owner = ""
		// Every aggregate on its own four members of one zone: all is wrong.
		skewed[i].Owner = members[(i/200*12+i%4*3)%200].ID
	}
	cases := []struct {
		name    string
		members []placement.Member
		shards  []placement.Shard
	}{
		{"five of 200 members lost", members[5:], shards},
		{"all well", members, shards},
		{"all shards orphans", members, unowned},
		{"all shards in the wrong place", members, skewed},
	}
	for _, c := range cases {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			var plan placement.Plan
			for b.Loop() {
				plan = placement.Compute(c.members, c.shards, placement.Policy{})
			}
			b.ReportMetric(float64(len(plan.Assign)), "moves")
		})
	}
}
