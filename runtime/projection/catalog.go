package projection

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// The states of a version.
const (
	stateBuilding = "building"
	stateServing  = "serving"
	stateRetired  = "retired"
)

// record is what the store knows of a projection.
type record struct {
	id       int64
	name     string
	serving  int
	viewed   int
	last     int
	paused   bool
	source   eventstore.Source
	versions []versionRecord // by number
}

// versionRecord is a row of projection_version.
type versionRecord struct {
	number      int
	state       string
	relation    string
	fingerprint string
	spec        string
	layout      string
}

func (r *record) version(v *versionRecord) Version {
	return Version{Projection: r.id, Number: v.number, Name: r.name, Relation: v.relation}
}

// find gives the version with that number, nil when there is none.
func (r *record) find(number int) *versionRecord {
	for i := range r.versions {
		if r.versions[i].number == number {
			return &r.versions[i]
		}
	}
	return nil
}

// accepted gives the version of the last accepted definition: the one that is
// being built, else the one that serves; nil when there is none.
func (r *record) accepted() *versionRecord {
	if v := r.building(); v != nil {
		return v
	}
	return r.find(r.serving)
}

// building gives the version that is being built, nil when there is none.
func (r *record) building() *versionRecord {
	for i := range r.versions {
		if r.versions[i].state == stateBuilding {
			return &r.versions[i]
		}
	}
	return nil
}

// querier is a *sql.DB or *sql.Tx.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// readRecord gives nil when the store does not know the projection. lock is the
// dialect's ForUpdate, or empty.
func readRecord(ctx context.Context, q querier, name, lock string) (*record, error) {
	r := &record{name: name}
	var created int64
	err := q.QueryRowContext(ctx, `SELECT id, serving, viewed, last_version, paused, source_uid, source_generation, source_created
		FROM projection WHERE name = $1`+lock, name).
		Scan(&r.id, &r.serving, &r.viewed, &r.last, &r.paused, &r.source.UID, &r.source.Generation, &created)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read projection %s: %w", name, err)
	}
	if created != 0 {
		r.source.Created = time.UnixMicro(created).UTC()
	}
	rows, err := q.QueryContext(ctx, `SELECT version, state, relation, fingerprint, spec, layout
		FROM projection_version WHERE projection = $1 ORDER BY version`, r.id)
	if err != nil {
		return nil, fmt.Errorf("read versions of %s: %w", name, err)
	}
	defer rows.Close()
	for rows.Next() {
		var v versionRecord
		if err := rows.Scan(&v.number, &v.state, &v.relation, &v.fingerprint, &v.spec, &v.layout); err != nil {
			return nil, fmt.Errorf("read versions of %s: %w", name, err)
		}
		r.versions = append(r.versions, v)
	}
	return r, rows.Err()
}

// lockRecord gives the projection's record, made when it is new, and holds its
// row until the transaction ends: changes of one projection happen in turn.
func lockRecord(ctx context.Context, tx *sql.Tx, d Dialect, name string) (*record, error) {
	if _, err := tx.ExecContext(ctx, `INSERT INTO projection (name) VALUES ($1) ON CONFLICT (name) DO NOTHING`, name); err != nil {
		return nil, fmt.Errorf("record projection %s: %w", name, err)
	}
	return readRecord(ctx, tx, name, d.ForUpdate())
}

// takeName makes the SQL name the projection's, unless it is another's.
func takeName(ctx context.Context, tx *sql.Tx, s Storage, r *record, relation string) error {
	done, err := tx.ExecContext(ctx, `INSERT INTO projection_relation (relation, projection) VALUES ($1, $2)
		ON CONFLICT (relation) DO NOTHING`, relation, r.id)
	if err != nil {
		return fmt.Errorf("take the name %s: %w", relation, err)
	}
	if n, err := done.RowsAffected(); err != nil {
		return err
	} else if n == 1 {
		taken, err := s.Taken(ctx, tx, relation)
		if err != nil {
			return fmt.Errorf("take the name %s: %w", relation, err)
		}
		if taken {
			return fmt.Errorf("%w: %s is a table of the store or another schema object; choose another table.name", ErrTableNameTaken, relation)
		}
		return nil
	}
	var owner int64
	var ownerName string
	if err := tx.QueryRowContext(ctx, `SELECT n.projection, p.name FROM projection_relation n
		JOIN projection p ON p.id = n.projection WHERE n.relation = $1`, relation).Scan(&owner, &ownerName); err != nil {
		return fmt.Errorf("take the name %s: %w", relation, err)
	}
	if owner != r.id {
		return fmt.Errorf("%w: %s belongs to projection %s; choose another table.name", ErrTableNameTaken, relation, ownerName)
	}
	return nil
}

// addVersion makes a version with its storage. The first one serves at once.
func addVersion(ctx context.Context, tx *sql.Tx, s Storage, r *record, def *Definition) error {
	v := versionRecord{
		number: r.last + 1, state: stateBuilding, relation: def.Target.Relation(),
		fingerprint: def.Fingerprint, spec: string(def.Spec), layout: def.Target.Layout(),
	}
	first := r.serving == 0
	if first {
		v.state = stateServing
	}
	if err := takeName(ctx, tx, s, r, v.relation); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO projection_version (projection, version, state, relation, fingerprint, spec, layout)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`, r.id, v.number, v.state, v.relation, v.fingerprint, v.spec, v.layout); err != nil {
		return fmt.Errorf("record version %d of %s: %w", v.number, r.name, err)
	}
	if err := def.Target.Create(ctx, tx, r.version(&v)); err != nil {
		return fmt.Errorf("create version %d of %s: %w", v.number, r.name, err)
	}
	r.last = v.number
	if first {
		if err := s.Show(ctx, tx, r.version(&v), v.layout, ""); err != nil {
			return fmt.Errorf("show %s: %w", r.name, err)
		}
		r.serving, r.viewed = v.number, v.number
	}
	if _, err := tx.ExecContext(ctx, `UPDATE projection SET last_version = $2, serving = $3, viewed = $4 WHERE id = $1`,
		r.id, r.last, r.serving, r.viewed); err != nil {
		return fmt.Errorf("record version %d of %s: %w", v.number, r.name, err)
	}
	r.versions = append(r.versions, v)
	return nil
}

// retire makes a version one that nobody works on; its storage goes later.
func retire(ctx context.Context, tx *sql.Tx, r *record, v *versionRecord) error {
	v.state = stateRetired
	_, err := tx.ExecContext(ctx, `UPDATE projection_version SET state = $3 WHERE projection = $1 AND version = $2`,
		r.id, v.number, v.state)
	if err != nil {
		return fmt.Errorf("retire version %d of %s: %w", v.number, r.name, err)
	}
	// Without its offsets no worker anywhere can move on.
	if _, err := tx.ExecContext(ctx, `DELETE FROM projection_offset WHERE projection = $1 AND version = $2`, r.id, v.number); err != nil {
		return fmt.Errorf("retire version %d of %s: %w", v.number, r.name, err)
	}
	return nil
}

// errOutdated: the store has a definition of a newer source.
var errOutdated = errors.New("a newer definition is stored")

// define brings the store's record in line with a definition: a version with
// its fingerprint is the newest one that is not retired. errOutdated when the
// definition's source is older than the record's.
func define(ctx context.Context, db *DB, s Storage, def *Definition) error {
	return db.Write(ctx, func(tx *sql.Tx) error {
		r, err := lockRecord(ctx, tx, db.Dialect, def.Name)
		if err != nil {
			return err
		}
		if r.accepted() != nil && def.Source.OlderThan(r.source) {
			return errOutdated
		}
		if !def.Source.Same(r.source) {
			if err := setSource(ctx, tx, r, def.Source); err != nil {
				return err
			}
		}
		building := r.building()
		if building != nil && building.fingerprint == def.Fingerprint {
			return nil
		}
		if building != nil {
			if err := retire(ctx, tx, r, building); err != nil {
				return err
			}
		}
		if v := r.find(r.serving); v != nil && v.fingerprint == def.Fingerprint {
			return nil
		}
		return addVersion(ctx, tx, s, r, def)
	})
}

func setSource(ctx context.Context, tx *sql.Tx, r *record, source eventstore.Source) error {
	var created int64
	if !source.Created.IsZero() {
		created = source.Created.UnixMicro()
	}
	if _, err := tx.ExecContext(ctx, `UPDATE projection SET source_uid = $2, source_generation = $3, source_created = $4 WHERE id = $1`,
		r.id, source.UID, source.Generation, created); err != nil {
		return fmt.Errorf("record the source of %s: %w", r.name, err)
	}
	return nil
}

// rebuild starts a new version of the same definition.
func rebuild(ctx context.Context, db *DB, s Storage, def *Definition) error {
	return db.Write(ctx, func(tx *sql.Tx) error {
		r, err := lockRecord(ctx, tx, db.Dialect, def.Name)
		if err != nil {
			return err
		}
		if building := r.building(); building != nil {
			if err := retire(ctx, tx, r, building); err != nil {
				return err
			}
		}
		return addVersion(ctx, tx, s, r, def)
	})
}

// setPaused records whether the projection rests.
func setPaused(ctx context.Context, db *DB, name string, paused bool) error {
	return db.Write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE projection SET paused = $2 WHERE name = $1`, name, paused); err != nil {
			return fmt.Errorf("pause or resume %s: %w", name, err)
		}
		return nil
	})
}
