package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// SaveSnapshots implements eventstore.Keeper.
func (s *Store) SaveSnapshots(ctx context.Context, snapshots []eventstore.Snapshot) error {
	if len(snapshots) == 0 {
		return nil
	}
	err := s.write(ctx, func(tx *sql.Tx) error {
		put := on(tx, s.statements.putSnapshot)
		for _, n := range snapshots {
			if _, err := put.exec(n.Aggregate, n.Entity, n.Version, n.Seq, n.Hash[:], n.Time.UnixMicro(),
				notNil(n.State), notNil(n.Window), n.Behavior[:]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("save %d snapshots: %w", len(snapshots), err)
	}
	return nil
}

// DeleteOutcomes implements eventstore.Keeper.
func (s *Store) DeleteOutcomes(ctx context.Context, aggregate eventstore.AggregateID, outcomes []eventstore.Outcome) error {
	if len(outcomes) == 0 {
		return nil
	}
	err := s.write(ctx, func(tx *sql.Tx) error {
		drop := on(tx, s.statements.deleteOutcome)
		for _, o := range outcomes {
			if _, err := drop.exec(aggregate, o.Entity, o.CommandID, o.Time.UnixMicro()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("delete %d outcomes: %w", len(outcomes), err)
	}
	return nil
}
