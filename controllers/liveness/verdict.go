package liveness

import "time"

// Kind says what a verdict asks for.
type Kind string

const (
	// Redial: dial the member once more, at once, and tell whether it was refused.
	Redial Kind = "Redial"
	// Dead: the process is gone; all of its shards are orphans.
	Dead Kind = "Dead"
	// Unreachable: nothing is heard of it; all of its shards are orphans.
	Unreachable Kind = "Unreachable"
	// Recovered: a member that was dead or unreachable was heard again. It can be
	// given shards; those it had, it has lost.
	Recovered Kind = "Recovered"
	// Draining: hand its shards over, as planned.
	Draining Kind = "Draining"
	// RestartShard: make the shard be claimed anew, at Place.
	RestartShard Kind = "RestartShard"
	// StallShard: nothing more is tried; a person has to look.
	StallShard Kind = "StallShard"
	// DeletePod: the pod does not help itself; let Kubernetes make another.
	DeletePod Kind = "DeletePod"
	// Held: Unreachable or DeletePod would be due, but it is too many at once for
	// the fault to be theirs. Reason says what it waits for.
	Held Kind = "Held"
)

// Reason says why. The first three are the API's FailoverReasons and
// RestartsExhausted and StoreWentBack condition reasons, letter by letter.
type Reason string

const (
	// ProcessDied: refused, twice.
	ProcessDied Reason = "ProcessDied"
	// Silent is told as Unreachable.
	Silent Reason = "Unreachable"
	// ShardHasFailed is told as ShardFailed.
	ShardHasFailed Reason = "ShardFailed"
	// RestartsExhausted: it failed again after the last restart.
	RestartsExhausted Reason = "RestartsExhausted"
	// StoreWentBack: it failed for that, and others might not know.
	StoreWentBack Reason = "StoreWentBack"
	// ConnectionRefused: once; a redial tells more.
	ConnectionRefused Reason = "ConnectionRefused"
	// HeardAgain: the member answered.
	HeardAgain Reason = "HeardAgain"
	// NotReadyForLong: Ready=False for Settings.NotReady.
	NotReadyForLong Reason = "NotReadyForLong"
	// AllShardsFail: no shard of it serves, for Settings.Failing.
	AllShardsFail Reason = "AllShardsFail"
	// AwaitsStore: most members are silent, and the store's heartbeats are not
	// known, or too old. Read them.
	AwaitsStore Reason = "AwaitsStore"
	// StoreHearsIt: most members are silent, but the store hears this one: it is
	// the observer who is cut off.
	StoreHearsIt Reason = "StoreHearsIt"
	// MostPodsFail: so many are not ready or failing that deleting pods would not
	// help.
	MostPodsFail Reason = "MostPodsFail"
)

// Place says where a shard is to be restarted.
type Place string

const (
	// SamePod: where it failed.
	SamePod Place = "SamePod"
	// AnotherPod: on a member that is not in Verdict.Avoid, while there is one.
	AnotherPod Place = "AnotherPod"
)

// Verdict is something to be done, or to be known.
type Verdict struct {
	// Member is the incarnation it is about; of a shard's, where it failed last.
	Member string
	Kind   Kind
	Reason Reason
	// Since is when it began: the last sign of life, the first refusal, the first
	// failure in a row.
	Since time.Time
	// Shard is set on RestartShard and StallShard alone, as is what follows.
	Shard ShardID
	Place Place
	// Try is the number of restarts in a row, with this one.
	Try int
	// Avoid are the members that the shard failed on, in order of their names.
	Avoid []string
	// Cause and Detail are of the last failure.
	Cause  ShardCause
	Detail string
}
