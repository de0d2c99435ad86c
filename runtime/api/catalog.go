package api

import "context"

// shardRow is a shard as the catalogue shows it.
type shardRow struct {
	Aggregate string      `json:"aggregate"`
	Shard     int32       `json:"shard"`
	Slots     slotRange   `json:"slots"`
	Epoch     int64       `json:"epoch"`
	Owner     string      `json:"owner"`
	Address   string      `json:"address"`
	Head      int64       `json:"head"`
	HeadHash  string      `json:"headHash"`
	State     ShardStatus `json:"state"`
}

type slotRange struct {
	First uint16 `json:"first"`
	Last  uint16 `json:"last"`
}

type shardList struct {
	Shards []shardRow `json:"shards"`
}

func (c *call) listShards() error {
	if _, err := c.parameters(nil); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), c.ReadTimeout)
	defer cancel()
	shards, err := c.Catalog.Shards(ctx)
	if err != nil {
		return err
	}
	list := shardList{Shards: make([]shardRow, len(shards))}
	for i, s := range shards {
		// HeadHash of an empty shard is all zeros, what its first event's hash
		// continues.
		list.Shards[i] = shardRow{
			Aggregate: s.Aggregate, Shard: s.Shard.Number, Slots: slotRange{s.Slots.First, s.Slots.Last},
			Epoch: s.Epoch, Owner: string(s.Owner), Address: s.Address,
			Head: s.Head, HeadHash: s.HeadHash.String(), State: s.Status,
		}
	}
	return c.ok(list)
}

func (c *call) listDefinitions() error {
	if _, err := c.parameters(nil); err != nil {
		return err
	}
	list := c.Catalog.Definitions()
	if list.Aggregates == nil {
		list.Aggregates = []AggregateDefinition{}
	}
	if list.Projections == nil {
		list.Projections = []ProjectionDefinition{}
	}
	return c.ok(list)
}

// describe answers with the OpenAPI document of what is served now.
func (c *call) describe() error {
	if _, err := c.parameters(nil); err != nil {
		return err
	}
	return c.ok(document31(c.Catalog.Definitions(), c.Version))
}
