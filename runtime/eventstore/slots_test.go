package eventstore

import "testing"

func TestDivideSlotsLeavesNoGapAndNoOverlap(t *testing.T) {
	for n := 1; n <= MaxShards; n++ {
		next, least, most := 0, Slots, 0
		for i, r := range DivideSlots(n) {
			if int(r.First) != next || r.Last < r.First {
				t.Fatalf("%d shards: shard %d has %d..%d, want it to begin at %d", n, i, r.First, r.Last, next)
			}
			size := int(r.Last) - int(r.First) + 1
			least, most = min(least, size), max(most, size)
			next += size
		}
		if next != Slots || most-least > 1 {
			t.Fatalf("%d shards cover %d slots, with %d to %d each", n, next, least, most)
		}
	}
}

func TestDivideSlotsGivesShard3Of16ItsRange(t *testing.T) {
	if got, want := DivideSlots(16)[3], (SlotRange{First: 12288, Last: 16383}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}
