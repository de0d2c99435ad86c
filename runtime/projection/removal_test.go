//go:build faults

package projection_test

import (
	"testing"

	"github.com/leftfold/leftfold/runtime/projection"
	"github.com/leftfold/leftfold/runtime/projection/table"
)

// Each guard is taken out alone, and has to be found missing within so many seeds.
func TestEveryRemovedGuardOfProjectionsIsFound(t *testing.T) {
	for name, remove := range map[string]func() (restore func()){
		"compare-and-set of offsets": projection.RemoveOffsetGuard,
		"lock of missing keys":       table.RemoveKeyLock,
	} {
		t.Run(name, func(t *testing.T) {
			defer remove()()
			r := roomy(t)
			const within = 200
			for n, seed := range chosenSeeds(within) {
				if wrong := interleave(t, r, seed); wrong != "" {
					t.Logf("found at seed %d, after %d seeds", seed, n+1)
					if *interleavingSeed >= 0 {
						t.Log(wrong)
					}
					return
				}
			}
			t.Errorf("not found in %d seeds", within)
		})
	}
}
