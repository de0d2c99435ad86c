package placement

// rendezvous is the hash by which members that are equally good as the owner of a
// shard are told apart (highest random weight): it does not depend on who else is
// there, so members that come and go do not change the order of the others.
func (b *board) rendezvous(shard, member int) uint64 {
	return mix(b.shardSeed[shard] ^ mix(b.memberSeed[member]))
}

// hashName is FNV-1a, which must not change: plans of two releases of the operator
// should agree.
func hashName(name string, seed uint64) uint64 {
	h := 14695981039346656037 ^ mix(seed)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return h
}

// mix spreads every bit of x over all of the result: the finalizer of SplitMix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
