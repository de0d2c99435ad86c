package sqlite_test

import (
	"testing"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// before3 makes a schema what it was before migration 3.
const before3 = `
ALTER TABLE projection DROP COLUMN source_created;
ALTER TABLE projection DROP COLUMN source_generation;
ALTER TABLE projection DROP COLUMN source_uid;
ALTER TABLE shard DROP COLUMN floor;
ALTER TABLE aggregate DROP COLUMN source_created;
ALTER TABLE aggregate DROP COLUMN source_generation;
ALTER TABLE aggregate DROP COLUMN source_uid;
ALTER TABLE aggregate DROP COLUMN before;
ALTER TABLE aggregate DROP COLUMN revision;
DELETE FROM goose_db_version WHERE version_id >= 3;`

func TestDefinitionsFromBeforeTheirSourcesWereKeptGoOn(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	a, err := s.EnsureAggregate(t.Context(), "account", 2)
	if err != nil {
		t.Fatal(err)
	}
	for revision := range int64(2) {
		if _, err := s.AcceptDefinition(t.Context(), a.ID, revision, eventstore.Acceptance{Definition: []byte("old")}); err != nil {
			t.Fatal(err)
		}
	}
	writer, _ := s.ProjectionDB()
	if _, err := writer.ExecContext(t.Context(), before3); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = open(t, dir)
	got, err := s.EnsureAggregate(t.Context(), "account", 2)
	if err != nil {
		t.Fatal(err)
	}
	if string(got.Definition) != "old" || got.Generation != 2 || got.Revision != 0 || got.Source != (eventstore.Source{}) || got.Before != nil {
		t.Errorf("got %+v", got)
	}
	got, err = s.AcceptDefinition(t.Context(), a.ID, 0, eventstore.Acceptance{Definition: []byte("new")})
	if err != nil {
		t.Fatal(err)
	}
	if got.Generation != 3 || got.Revision != 1 {
		t.Errorf("the next one is %+v", got)
	}
}
