package server

import (
	"context"

	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
	"github.com/leftfold/leftfold/runtime/control"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/routing"
)

// Who owns shards elsewhere is learnt from the operator, which tells at once; from
// the store, whenever its rows are read for another purpose; and by asking the
// store while calls wait. The higher epoch counts, so it does not matter who is
// late.

// Owners implements control.Pod.
func (p *pod) Owners(owners []*leftfoldv1.Owner) {
	for _, o := range owners {
		name := control.ShardOf(o.GetShard())
		remote := routing.Remote{Epoch: o.GetEpoch()}
		if o.GetIncarnation() != "" {
			remote.Address = o.GetAddress()
		}
		p.w.router.Learn(name.Aggregate, name.Number, remote)
	}
}

// learn takes note of what the store says of a shard.
func (p *pod) learn(name control.Shard, row eventstore.ShardState) {
	p.w.router.Learn(name.Aggregate, name.Number, remoteOf(row))
}

func remoteOf(row eventstore.ShardState) routing.Remote {
	r := routing.Remote{Epoch: row.Epoch}
	if row.Owner != "" {
		r.Address = row.Address
	}
	return r
}

// lookup asks the store who owns a shard, for calls that wait.
func (m *Managed) lookup(ctx context.Context, aggregate string, number int32) (routing.Remote, error) {
	w, a, err := m.find(aggregate)
	if err != nil {
		return routing.Remote{}, err
	}
	row, err := w.store.Shard(ctx, eventstore.ShardID{Aggregate: a.id, Number: number})
	if err != nil {
		return routing.Remote{}, err
	}
	return remoteOf(row), nil
}
