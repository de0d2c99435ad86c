package server

import (
	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
	"github.com/leftfold/leftfold/runtime/control"
	"github.com/leftfold/leftfold/runtime/eventstore"
)

// Owners implements control.Pod.
func (p *pod) Owners(owners []*leftfoldv1.Owner) {
	for _, o := range owners {
		p.learn(control.ShardOf(o.GetShard()), eventstore.ShardState{
			Lease: eventstore.Lease{Epoch: o.GetEpoch()}, Owner: eventstore.Incarnation(o.GetIncarnation()), Address: o.GetAddress(),
		})
	}
}

// learn takes note of who owns a shard.
func (p *pod) learn(control.Shard, eventstore.ShardState) {}
