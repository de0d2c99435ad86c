package placement

// Member is one process that can own shards.
type Member struct {
	// ID is the pod's incarnation, made when its process starts; unique.
	ID string
	// Pod is the pod's name, for people.
	Pod string
	// Node is where the pod runs. Empty: not known, taken as a node of its own.
	Node string
	// Zone is the failure domain of the node. Members without one share one.
	Zone string
	// Revision of the pod's template; a higher one is newer.
	Revision int64
	// Draining: the member is to be emptied, for it goes away.
	Draining bool
	// Ready: the member answers and takes grants.
	Ready bool
}

// ShardID names a shard.
type ShardID struct {
	Aggregate string
	Number    int
}

// Shard is one shard to be owned. Leave out those that nobody may own now, as
// those that wait for a restart.
type Shard struct {
	ShardID
	// Owner is the ID of the member that owns it or, while it moves, of the one
	// that it goes to. Empty, or no member's: the shard is an orphan.
	Owner string
	// Load is events a second, averaged over long enough to be calm. What is not
	// a number, or below 0, is 0.
	Load float64
	// Weight is what the shard costs when idle. Default (0 or less): 1.
	Weight float64
	// Moving: a grant or a handoff of it is under way; it is not moved again.
	Moving bool
	// Avoid lists members that the shard failed on. They are given it only when it
	// has no owner, or one that drains, and there is no other.
	Avoid []string
}

// Policy says how eager to be. The zero value is the default.
type Policy struct {
	// MaxMoves is how many planned moves may be under way at a time, since each
	// pauses a shard. Orphans are not bounded. Default (0): 8. Below 0: none.
	MaxMoves int
	// Tolerance is how far from the mean a member may be before a move is worth
	// it, as a share of the mean. Default (0 or less): 0.1.
	Tolerance float64
	// LoadPerWeight is how many events a second cost as much as one unit of
	// weight. Default (0 or less): 100, so that a trickle moves nothing and a
	// shard at a thousand a second counts as eleven idle ones.
	LoadPerWeight float64
	// AnyRevision lets shards go to members of older revisions too. Default: only
	// the newest that has a ready member.
	AnyRevision bool
	// Unsettled: more members are about to be there, so nothing moves for balance or
	// spread.
	Unsettled bool
}

const (
	defaultMaxMoves      = 8
	defaultTolerance     = 0.1
	defaultLoadPerWeight = 100
)

func (p Policy) withDefaults() Policy {
	if p.MaxMoves == 0 {
		p.MaxMoves = defaultMaxMoves
	}
	if !(p.Tolerance > 0) {
		p.Tolerance = defaultTolerance
	}
	if !(p.LoadPerWeight > 0) {
		p.LoadPerWeight = defaultLoadPerWeight
	}
	return p
}

// Reason says why a shard is moved.
type Reason string

const (
	// Orphaned: the shard has no owner, or one that is gone.
	Orphaned Reason = "Orphaned"
	// Draining: its owner is to be emptied.
	Draining Reason = "Draining"
	// Balance: its owner has more than its share, or the target less.
	Balance Reason = "Balance"
	// Spread: its aggregate's shards would stand or fall with too few zones or
	// nodes.
	Spread Reason = "Spread"
)

// Move gives a shard to a member.
type Move struct {
	Shard ShardID
	// From is Shard.Owner as it was given: empty, or perhaps gone.
	From string
	// To is the ID of the new owner.
	To     string
	Reason Reason
}

// Plan is what to do now.
type Plan struct {
	// Assign holds the moves, the most urgent first; no shard twice.
	Assign []Move
	// Unplaced are orphans that no member can take, in order of their IDs.
	Unplaced []ShardID
}
