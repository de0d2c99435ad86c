package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// Claim implements eventstore.Log. It waits for an append by waiting for the
// writer.
func (s *Store) Claim(ctx context.Context, r eventstore.ClaimRequest) (eventstore.ShardState, error) {
	var row eventstore.ShardState
	err := s.write(ctx, func(tx *sql.Tx) (err error) {
		row, err = scanShard(on(tx, s.statements.claim).row(r.Token[:], string(r.Owner), r.Address,
			r.Shard.Aggregate, r.Shard.Number, r.Expected))
		if errors.Is(err, sql.ErrNoRows) {
			return whyNot(tx, r)
		}
		return err
	})
	if err != nil {
		return eventstore.ShardState{}, fmt.Errorf("claim shard %s: %w", r.Shard, err)
	}
	return row, nil
}

// whyNot says why no row could be claimed.
func whyNot(tx *sql.Tx, r eventstore.ClaimRequest) error {
	var epoch int64
	err := tx.QueryRow("SELECT epoch FROM shard WHERE aggregate = ? AND shard = ?", r.Shard.Aggregate, r.Shard.Number).Scan(&epoch)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return reject("%w", eventstore.ErrUnknownName)
	case err != nil:
		return err
	case epoch == r.Expected:
		return reject("%w: the shard is closed", eventstore.ErrRefused)
	}
	return reject("%w: epoch %d, expected %d", eventstore.ErrRefused, epoch, r.Expected)
}

// Release implements eventstore.Log.
func (s *Store) Release(ctx context.Context, t eventstore.Tenure) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		ok, err := changed(on(tx, s.statements.release).exec(append(leaseValues(t.Lease), t.Head, t.HeadHash[:])...))
		if err == nil && !ok {
			return reject("%w", eventstore.ErrRefused)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("release shard %s: %w", t.Shard, err)
	}
	return nil
}

// leaseValues are the parameters of holds.
func leaseValues(l eventstore.Lease) []any {
	return []any{l.Shard.Aggregate, l.Shard.Number, l.Epoch, l.Token[:]}
}

// changed reports whether a statement changed a row.
func changed(r sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	return n > 0, err
}

// Check implements eventstore.Log.
func (s *Store) Check(ctx context.Context, tenures []eventstore.Tenure) ([]bool, error) {
	if !s.begin() {
		return nil, errClosed
	}
	defer s.calls.Done()
	held := make([]bool, len(tenures))
	for i := range tenures {
		t := &tenures[i]
		var n int
		if err := s.statements.check.QueryRowContext(ctx, append(leaseValues(t.Lease), t.Head, t.Head, t.HeadHash[:])...).Scan(&n); err != nil {
			return nil, fmt.Errorf("check the lease of shard %s: %w", t.Shard, err)
		}
		held[i] = n > 0
	}
	return held, nil
}
