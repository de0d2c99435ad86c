package routing

import "github.com/cespare/xxhash/v2"

// Slots is the number of slots that every aggregate has.
const Slots = 1 << 16

// Slot is the entity's slot: the top 16 bits of xxHash64 (seed 0) of its id. It
// is fixed for ever; a test pins it with known values.
func Slot(entity string) uint16 {
	return uint16(xxhash.Sum64String(entity) >> 48)
}
