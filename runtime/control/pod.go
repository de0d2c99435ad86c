package control

import (
	"context"

	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
)

// Shard names a shard by its aggregate's name and its number.
type Shard struct {
	Aggregate string
	Number    int32
}

// Message is the name in the form of the wire.
func (s Shard) Message() *leftfoldv1.Shard {
	return &leftfoldv1.Shard{Aggregate: s.Aggregate, Number: s.Number}
}

// ShardOf reads a name from the wire; nil is the zero name.
func ShardOf(m *leftfoldv1.Shard) Shard {
	return Shard{Aggregate: m.GetAggregate(), Number: m.GetNumber()}
}

// Pod is what the operator may ask of this process. All methods but Survey return
// at once; what comes of Grant and Release is told by Service.ReportShard. They
// are called concurrently.
type Pod interface {
	// Ready tells whether the pod answers callers and takes grants.
	Ready() bool
	// Grant asks for a shard to be claimed from its expected epoch.
	Grant(shard Shard, expectedEpoch int64)
	// Release asks for a shard to be drained and given up, if it is served under
	// the epoch.
	Release(shard Shard, epoch int64)
	// Owners tells who owns shards now.
	Owners(owners []*leftfoldv1.Owner)
	// Drain asks that no grant is taken any more, and that ReportDraining is
	// called.
	Drain()
	// Loads gives the events a second of the shards that are served here.
	Loads() []*leftfoldv1.Load
	// Survey reads what the store knows. An error goes into the message, which is
	// the caller's.
	Survey(ctx context.Context) *leftfoldv1.Survey
}

// Identity is who the pod says it is.
type Identity struct {
	// PodUID is the UID of the Pod object: a Hello for another one is refused.
	PodUID string
	// Incarnation is made when the process starts; the store knows owners by it.
	Incarnation string
	// Address is where other pods reach this one, host:port.
	Address string
	// Version is the release's.
	Version string
}
