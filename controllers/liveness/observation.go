package liveness

import "time"

// ShardID names a shard.
type ShardID struct {
	Aggregate string
	Number    int
}

// Observation is something that was seen since the last step, in the order in
// which it was seen. Members are named by their incarnation.
type Observation interface{ observe(*Tracker, time.Time) }

// Joined tells that the member is to be watched; its clock starts. Told again, it
// does nothing.
type Joined struct{ Member string }

// Left tells that the member's pod is gone, or nothing is expected of it any more.
type Left struct{ Member string }

// Pong tells that the member has answered a ping.
type Pong struct{ Member string }

// Refused tells that a connection to the member was refused or reset.
type Refused struct {
	Member string
	// Redial: it was the dial that the verdict Redial asked for.
	Redial bool
}

// Drains tells that the member said so, or that its pod is being deleted.
type Drains struct {
	Member string
	Cause  DrainCause
}

// DrainCause says how the drain was known.
type DrainCause string

// Causes of a drain; they are the reasons of the verdict.
const (
	// Announced: the member said so.
	Announced DrainCause = "Announced"
	// PodDeleted: its pod has a deletion timestamp.
	PodDeleted DrainCause = "PodDeleted"
)

// Readiness tells the pod's condition Ready, as Kubernetes has it. A member that
// it was never told of counts as ready.
type Readiness struct {
	Member string
	Ready  bool
}

// ShardFailed tells that the member cannot serve a shard, as it says itself. To be
// told once for each failure.
type ShardFailed struct {
	Member string
	Shard  ShardID
	Cause  ShardCause
	// Detail is the error's text, for people.
	Detail string
}

// ShardCause says in what way a shard failed.
type ShardCause string

// Ways for a shard to fail.
const (
	// Panicked: its code panicked.
	Panicked ShardCause = "Panicked"
	// Stuck: it did not get on.
	Stuck ShardCause = "Stuck"
	// StoreRefused: the store refused what it wrote, for another reason than an
	// old epoch.
	StoreRefused ShardCause = "StoreRefused"
	// WentBack: the store has lost events that the member knows to be acknowledged.
	WentBack ShardCause = "WentBack"
)

// ShardServed tells that the member serves the shard. To be told when it begins;
// told again, it does nothing.
type ShardServed struct {
	Member string
	Shard  ShardID
}

// ShardReleased tells that the member has the shard no more, as planned.
type ShardReleased struct {
	Member string
	Shard  ShardID
}

// Retry tells that what made the shard fail may have changed (its definition did,
// or a person asks): its count starts anew, and it is restarted if it is down.
type Retry struct{ Shard ShardID }

// Heartbeats tells how old the members' heartbeats in the store are, by the
// database's clock. It speaks for all: who is not in it has none. It counts for as
// long as Settings.Timeout.
type Heartbeats struct{ Ages map[string]time.Duration }
