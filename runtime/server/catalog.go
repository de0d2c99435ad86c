package server

import (
	"context"
	"sort"

	"github.com/leftfold/leftfold/runtime/api"
)

// catalog implements api.Catalog.
type catalog struct{ server *Server }

func (c catalog) Shards(ctx context.Context) ([]api.Shard, error) {
	var out []api.Shard
	for _, w := range c.server.workloads() {
		for _, name := range w.names() {
			a := w.aggregate(name)
			rows, err := w.store.Shards(ctx, a.id)
			if err != nil {
				return nil, err
			}
			for _, row := range rows {
				status := api.ShardUnowned
				switch {
				case row.Owner == w.self && a.shard(row.Shard.Number) != nil:
					status = api.ShardServing
				case row.Owner != "" && row.Owner != w.self:
					status = api.ShardRemote
				}
				out = append(out, api.Shard{Aggregate: name, ShardState: row, Status: status})
			}
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Aggregate < out[j].Aggregate })
	return out, nil
}

func (c catalog) Definitions() api.Definitions {
	var d api.Definitions
	for _, w := range c.server.workloads() {
		for _, name := range w.names() {
			generation, spec := w.aggregate(name).current()
			d.Aggregates = append(d.Aggregates, api.AggregateDefinition{Name: name, Generation: generation, Spec: spec})
		}
		d.Projections = append(d.Projections, w.projections.definitions()...)
	}
	sort.Slice(d.Aggregates, func(i, j int) bool { return d.Aggregates[i].Name < d.Aggregates[j].Name })
	sort.Slice(d.Projections, func(i, j int) bool { return d.Projections[i].Name < d.Projections[j].Name })
	return d
}
