package shard

import (
	"cmp"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// View is what the Fleet sees of a Runtime's pods. It is a snapshot: it is never
// changed, and not to be changed. It follows what happens within [viewEvery].
type View struct {
	// Members are the pods' processes, in order of pod and incarnation.
	Members []Member
	// Shards of all aggregates, in order of aggregate and number.
	Shards []Shard
	// Definitions that pods have told of, in order of kind and name.
	Definitions []Definition
	// Projections that the store knows, in order of name.
	Projections []Projection
	// Surveyed: the reachable pods and the store have told what they know. Before
	// that, what is missing here may well exist.
	Surveyed bool
}

// Member is the process in a pod.
type Member struct {
	// Incarnation is made when the process starts; empty before it was reached.
	Incarnation string
	// Pod and UID are the pod's; both are empty for an owner that the store names
	// and that no pod is known of.
	Pod string
	UID string
	// Node that the pod runs on.
	Node string
	// Address where the process answers other pods, host:port.
	Address string
	// Revision of the pod's template; a higher one is newer. 0: not known.
	Revision int64
	// Ready: it answers callers and takes grants.
	Ready bool
	// Draining: its shards are being handed over, for it goes away.
	Draining bool
	// Shards that it owns.
	Shards int
}

// State is what is going on with a shard.
type State string

// States of a shard.
const (
	// Unowned: nobody serves it, and nobody is asked to.
	Unowned State = "Unowned"
	// Claiming: a pod was asked to take it.
	Claiming State = "Claiming"
	// Owned: a pod serves it.
	Owned State = "Owned"
	// HandingOff: it moves from one living pod to another, as planned.
	HandingOff State = "HandingOff"
	// Stalled: it failed after every restart, or a restart would lose what a pod
	// knows to be lost; no more are made.
	Stalled State = "Stalled"
)

// Shard is a shard and who owns it.
type Shard struct {
	Aggregate string
	Number    int32
	// First and Last slot, both inclusive.
	First, Last int32
	// Epoch counts its owners. 0: never owned.
	Epoch int64
	State State
	// Pod and Node of its owner, and the owner's incarnation. Empty: nobody
	// serves it.
	Pod, Node, Owner string
	// Restarts counts how often it was restarted because it failed.
	Restarts int32
	// LastFailover is the latest unplanned move; nil: there was none.
	LastFailover *Failover
	// Reason is one of the API's condition reasons: Owned, Unowned, Claiming,
	// HandingOff, RestartsExhausted, StoreWentBack.
	Reason string
	// Message says more, for people.
	Message string
}

// Stall says of a stalled shard why nothing more is tried, and what ends that: what
// follows its name in a sentence, and what it said itself.
func (s *Shard) Stall() string {
	if s.Reason == v1alpha1.ReasonStoreWentBack {
		return "stays closed: the store has lost events of it that were acknowledged. Bring them back and change its Aggregate, " +
			"or delete the pod that knows of them, and it goes on without. " + s.Message
	}
	return "failed on every pod it was tried on, and is tried again when its Aggregate changes. It says: " + s.Message
}

// Failover is an unplanned move of a shard.
type Failover struct {
	Reason v1alpha1.FailoverReason
	// Detected is when the failure was noticed.
	Detected time.Time
	// Recovered is when the shard took writes again. Zero: not yet.
	Recovered time.Time
	// Duration between the two, by a clock that never jumps.
	Duration time.Duration
}

// Definition is what has become of an Aggregate or Projection object, over all
// pods.
type Definition struct {
	// Kind is Aggregate or Projection.
	Kind string
	Name string
	UID  types.UID
	// Observed is the highest metadata.generation that a pod has seen.
	Observed int64
	// Accepted is the lowest generation of the object that a ready pod serves, 0:
	// none.
	Accepted int64
	// Reason is why Observed does not serve, one of the API's condition reasons;
	// empty when it does.
	Reason string
	// Message names the field and the fix.
	Message string
}

// Projection is how far a projection is, over all of its shards.
type Projection struct {
	Name string
	// Table is the SQL name of the table that serves. Empty: none does yet.
	Table string
	// Position as the HTTP API gives and takes it. Empty: too long for that.
	Position string
	// LagEvents counts stored events that it has not read; Lag is the age of the
	// oldest of them.
	LagEvents int64
	Lag       time.Duration
	// Quarantined counts entities that are parked.
	Quarantined int64
	Paused      bool
	// Rebuilding: a changed definition is being built beside the one that serves.
	Rebuilding bool
}

// Shard finds a shard.
func (v View) Shard(aggregate string, number int32) (Shard, bool) {
	at, found := slices.BinarySearchFunc(v.Shards, Shard{Aggregate: aggregate, Number: number}, compareViewed)
	if !found {
		return Shard{}, false
	}
	return v.Shards[at], true
}

// ShardsOf lists the shards of an aggregate, in order of their numbers.
func (v View) ShardsOf(aggregate string) []Shard {
	first, _ := slices.BinarySearchFunc(v.Shards, Shard{Aggregate: aggregate}, compareViewed)
	last := first
	for last < len(v.Shards) && v.Shards[last].Aggregate == aggregate {
		last++
	}
	return v.Shards[first:last:last]
}

// Definition finds what has become of an object; kind is Aggregate or Projection.
func (v View) Definition(kind, name string) (Definition, bool) {
	for _, d := range v.Definitions {
		if d.Kind == kind && d.Name == name {
			return d, true
		}
	}
	return Definition{}, false
}

// Projection finds a projection.
func (v View) Projection(name string) (Projection, bool) {
	for _, p := range v.Projections {
		if p.Name == name {
			return p, true
		}
	}
	return Projection{}, false
}

func compareViewed(a, b Shard) int {
	return cmp.Or(cmp.Compare(a.Aggregate, b.Aggregate), cmp.Compare(a.Number, b.Number))
}

// viewEvery is how soon a change is in the View. What reads it writes Kubernetes
// objects for people, and looks at Runtimes whole: with 50 ms the operator and the API
// server took half a processor while shards moved, as much as the moves themselves.
const viewEvery = 250 * time.Millisecond
