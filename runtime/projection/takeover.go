package projection

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// takeOver moves the pointer to the version being built, if it is proven not to
// be behind: on no shard are its offsets below those of the version that
// serves, which the transaction locks, nor, where that one has none, below the
// head; and no entity is parked in it that the old one does not park as early.
func (m *Manager) takeOver(ctx context.Context, r *record, v *versionRecord) (bool, error) {
	m.mu.Lock()
	def := m.compiled[compiledKey(r.name, v.fingerprint)]
	m.mu.Unlock()
	if def == nil {
		return false, nil
	}
	shards, err := m.shards(ctx, def)
	if err != nil {
		return false, err
	}
	// Without locks first: while the answer is no, nobody is held up.
	ready, err := isReady(ctx, m.env.DB.Reader, r, v, shards, "")
	if err != nil || !ready {
		return false, err
	}
	taken := false
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err = m.env.DB.Write(ctx, func(tx *sql.Tx) error {
		now, err := readRecord(ctx, tx, r.name, m.env.DB.ForUpdate())
		if err != nil || now == nil {
			return err
		}
		next := now.find(v.number)
		if now.serving != r.serving || next == nil || next.state != stateBuilding {
			return nil // another process was first
		}
		if taken, err = isReady(ctx, tx, now, next, shards, m.env.DB.ForUpdate()); err != nil || !taken {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE projection SET serving = $2 WHERE id = $1`, now.id, next.number); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE projection_version SET state = $3 WHERE projection = $1 AND version = $2`,
			now.id, next.number, stateServing); err != nil {
			return err
		}
		if old := now.find(now.serving); old != nil {
			return retire(ctx, tx, now, old)
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("take over: %w", err)
	}
	return taken, nil
}

// isReady is the proof. lock is the dialect's ForUpdate, or empty.
func isReady(ctx context.Context, q querier, r *record, v *versionRecord, shards []eventstore.ShardState, lock string) (bool, error) {
	before, err := readOffsets(ctx, q, r.id, r.serving, lock)
	if err != nil {
		return false, err
	}
	after, err := readOffsets(ctx, q, r.id, v.number, "")
	if err != nil {
		return false, err
	}
	for id, seq := range before {
		if after[id] < seq {
			return false, nil
		}
	}
	for _, s := range shards {
		if _, known := before[s.Shard]; !known && after[s.Shard] < s.Head {
			return false, nil
		}
	}
	fresh, err := newlyParked(ctx, q, r, v)
	return fresh == 0, err
}

// newlyParked counts the entities that the version being built parks and the
// one that serves does not, or not as early.
func newlyParked(ctx context.Context, q querier, r *record, v *versionRecord) (int, error) {
	var n int
	err := q.QueryRowContext(ctx, `SELECT count(*) FROM projection_quarantine n WHERE n.projection = $1 AND n.version = $2
		AND NOT EXISTS (SELECT 1 FROM projection_quarantine o WHERE o.projection = n.projection AND o.version = $3
			AND o.aggregate = n.aggregate AND o.entity = n.entity AND o.failed_seq <= n.failed_seq)`,
		r.id, v.number, r.serving).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("compare quarantines: %w", err)
	}
	return n, nil
}

// moveView makes the SQL name show the version that serves. It gives up soon
// when readers are in the way, and is tried again.
func (m *Manager) moveView(ctx context.Context, r *record) error {
	return m.env.DB.writeSchema(ctx, func(tx *sql.Tx) error {
		now, err := readRecord(ctx, tx, r.name, m.env.DB.ForUpdate())
		if err != nil || now == nil {
			return err
		}
		next := now.find(now.serving)
		if now.viewed == now.serving || next == nil {
			*r = *now
			return nil
		}
		replaces := ""
		if old := now.find(now.viewed); old != nil {
			replaces = old.relation
		}
		if err := m.env.Storage.Show(ctx, tx, now.version(next), next.layout, replaces); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE projection SET viewed = $2 WHERE id = $1`, now.id, now.serving); err != nil {
			return err
		}
		now.viewed = now.serving
		*r = *now
		return nil
	})
}

// dropVersion removes a retired version with all that belongs to it.
func dropVersion(ctx context.Context, db *DB, s Storage, r *record, v *versionRecord) error {
	return db.writeSchema(ctx, func(tx *sql.Tx) error {
		if err := s.Drop(ctx, tx, r.version(v)); err != nil {
			return err
		}
		for _, query := range []string{
			`DELETE FROM projection_offset WHERE projection = $1 AND version = $2`,
			`DELETE FROM projection_quarantine WHERE projection = $1 AND version = $2`,
			`DELETE FROM projection_version WHERE projection = $1 AND version = $2`,
		} {
			if _, err := tx.ExecContext(ctx, query, r.id, v.number); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM projection_relation WHERE projection = $1
			AND relation NOT IN (SELECT relation FROM projection_version WHERE projection = $1)`, r.id)
		return err
	})
}
