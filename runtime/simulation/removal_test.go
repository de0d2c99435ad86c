//go:build faults

package simulation

import (
	"testing"

	"github.com/leftfold/leftfold/runtime/eventstore/storetest/memory"
	"github.com/leftfold/leftfold/runtime/shard"
)

// within is the number of seeds in which a missing guard has to be found.
const within = 200

// Each guard is taken out alone. A simulation that does not find it missing
// would not find the bug that breaks it.
func TestEveryRemovedGuardIsFound(t *testing.T) {
	for name, without := range map[string]memory.Guard{"fence": memory.Fence, "token": memory.Token} {
		t.Run(name, func(t *testing.T) { find(t, without) })
	}
	for _, name := range shard.Guards {
		t.Run(name, func(t *testing.T) {
			defer shard.RemoveGuard(name)()
			find(t, 0)
		})
	}
}

// find runs seeds until one shows a violation.
func find(t *testing.T, without memory.Guard) {
	first, count := chosen()
	for seed := first; seed < first+min(count, within); seed++ {
		if out := simulate(t, seed, without); len(out.violations) > 0 {
			t.Logf("found at seed %d, after %d seeds: %s", seed, seed-first+1, out.violations[0].text)
			if testing.Verbose() && *oneSeed >= 0 {
				t.Log(out.report())
			}
			return
		}
	}
	t.Errorf("not found in %d seeds", min(count, within))
}
