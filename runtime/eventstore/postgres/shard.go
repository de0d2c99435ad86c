package postgres

import (
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

const (
	// shardColumns are a shard's row as readShard wants it.
	shardColumns = `aggregate, shard, first_slot, last_slot, epoch, token, owner, address, head, head_hash, head_time,
	(SELECT a.generation FROM aggregate a WHERE a.id = shard.aggregate)`
	shardSQL = "SELECT " + shardColumns + " FROM shard WHERE aggregate = $1 AND shard = $2"
)

// readShard reads shardColumns.
func readShard(row pgx.Row) (eventstore.ShardState, error) {
	var s eventstore.ShardState
	var first, last int32
	var token, hash []byte
	var at *time.Time
	err := row.Scan(&s.Shard.Aggregate, &s.Shard.Number, &first, &last, &s.Epoch, &token, &s.Owner, &s.Address, &s.Head, &hash, &at,
		&s.Generation)
	if err != nil {
		return eventstore.ShardState{}, err
	}
	s.Slots = eventstore.SlotRange{First: uint16(first), Last: uint16(last)}
	if at != nil {
		s.HeadTime = at.UTC()
	}
	if copy(s.Token[:], token) != len(s.Token) {
		return eventstore.ShardState{}, fmt.Errorf("shard %s: a token of %d bytes", s.Shard, len(token))
	}
	s.HeadHash, err = hashOf(hash)
	return s, err
}

// hashOf reads a hash column.
func hashOf(b []byte) (h eventstore.Hash, err error) {
	if len(b) != len(h) {
		return h, fmt.Errorf("a hash of %d bytes", len(b))
	}
	copy(h[:], b)
	return h, nil
}
