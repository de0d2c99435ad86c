package eventstore

import "fmt"

const (
	// Slots is the number of slots an aggregate's entities are spread over.
	Slots = 1 << 16
	// MaxShards is how many shards an aggregate may have.
	MaxShards = 256
)

// DivideSlots gives the slot ranges of an aggregate's n shards (1..MaxShards),
// by shard number: evenly, without gap or overlap. With 16 shards, shard 3 has
// 12288..16383. It panics when n is out of range.
func DivideSlots(n int) []SlotRange {
	if n < 1 || n > MaxShards {
		panic(fmt.Sprintf("eventstore: %d shards, not 1..%d", n, MaxShards))
	}
	ranges := make([]SlotRange, n)
	for i := range ranges {
		ranges[i] = SlotRange{First: uint16(i * Slots / n), Last: uint16((i+1)*Slots/n - 1)}
	}
	return ranges
}
