// Package routing decides which shard an entity lives in, and brings a call to
// that shard's owner. It is the only place where an entity becomes a slot and a
// slot a shard.
//
// A call for a shard that is moving or restarting is held, bounded in number
// and in time, and goes on by itself once the shard has an owner again; so a
// short absence is latency to the caller, not an error. A held command has not
// run, and it keeps its id, so trying it again is harmless.
//
// Routing never decides who owns a shard (the store does), and never touches
// events.
package routing

import "github.com/cespare/xxhash/v2"

// Slots is the number of slots that every aggregate has.
const Slots = 1 << 16

// Slot is the entity's slot: the top 16 bits of xxHash64 (seed 0) of its id. It
// is fixed for ever; a test pins it with known values.
func Slot(entity string) uint16 {
	return uint16(xxhash.Sum64String(entity) >> 48)
}
