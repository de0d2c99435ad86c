package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/leftfold/leftfold/api/postgres/pgtest"
)

// release gives the migrations of this release and more of a later one, by version.
func release(t *testing.T, later map[int]string) fs.FS {
	t.Helper()
	files := fstest.MapFS{}
	names, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := migrationFiles.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimPrefix(name, "migrations/")] = &fstest.MapFile{Data: text}
	}
	for version, sql := range later {
		files[fmt.Sprintf("%05d_later.sql", version)] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + sql)}
	}
	return files
}

// ours is the version of this release.
func ours(t *testing.T) int64 {
	t.Helper()
	version, err := newest(release(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	return version
}

func TestASchemaIsBroughtUpToDateOnce(t *testing.T) {
	r := newRig(t)
	if current, err := r.Current(t.Context()); err != nil || current {
		t.Errorf("before: current is %v, %v; want false", current, err)
	}
	for _, want := range []Migration{{0, ours(t)}, {ours(t), ours(t)}} {
		if m, err := r.Migrate(t.Context()); err != nil || m != want {
			t.Errorf("migrated %+v, %v; want %+v", m, err, want)
		}
	}
	if current, err := r.Current(t.Context()); err != nil || !current {
		t.Errorf("after: current is %v, %v; want true", current, err)
	}
	for _, table := range ownTables {
		if !r.tableExists(t, table) {
			t.Errorf("there is no table %s", table)
		}
	}
	if n := r.count(t, "SELECT count(*) FROM pg_tables WHERE schemaname = $1", r.schema); n != len(ownTables) {
		t.Errorf("the migrations make %d tables, and a drop would know %d", n, len(ownTables))
	}
}

func (r *rig) count(t *testing.T, query string, args ...any) (n int) {
	t.Helper()
	if err := r.pool.QueryRow(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAReleaseUsesTheSchemaOfALaterOneUntilThatTakesSomethingAway(t *testing.T) {
	const (
		adds      = "CREATE TABLE later (one integer);"
		takesAway = "DROP TABLE outcome; UPDATE compatibility SET minimum_version = 90;"
	)
	for name, test := range map[string]struct {
		later  map[int]string
		refuse bool
	}{
		"the next release only adds":                   {map[int]string{90: adds}, false},
		"the release after it takes away what it left": {map[int]string{90: adds, 91: takesAway}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := migrated(t)
			later, err := migrate(t.Context(), r.pool, r.schema, release(t, test.later))
			if err != nil {
				t.Fatal(err)
			}
			m, err := r.Migrate(t.Context())
			current, errCurrent := r.Current(t.Context())
			if test.refuse {
				if !errors.Is(err, ErrSchemaTooNew) || !errors.Is(errCurrent, ErrSchemaTooNew) || !strings.Contains(err.Error(), "version 90 and later") {
					t.Errorf("got %v and %v; want ErrSchemaTooNew that names version 90", err, errCurrent)
				}
				return
			}
			if want := (Migration{later.To, later.To}); err != nil || m != want {
				t.Errorf("migrated %+v, %v; want %+v: left alone", m, err, want)
			}
			if errCurrent != nil || !current {
				t.Errorf("current is %v, %v; want true", current, errCurrent)
			}
			if !r.tableExists(t, "later") {
				t.Error("what the later release added is gone")
			}
		})
	}
}

func TestASchemaOfTheFirstReleaseKeepsItsData(t *testing.T) {
	r := newRig(t)
	first := release(t, nil).(fstest.MapFS)
	maps.DeleteFunc(first, func(name string, _ *fstest.MapFile) bool { return !strings.HasPrefix(name, "00001") })
	if _, err := migrate(t.Context(), r.pool, r.schema, first); err != nil {
		t.Fatal(err)
	}
	r.run(t, "INSERT INTO aggregate (name, shards, generation) VALUES ('account', 4, 7)")
	if m, err := r.Migrate(t.Context()); err != nil || m != (Migration{1, ours(t)}) {
		t.Fatalf("migrated %+v, %v; want from 1 to %d", m, err, ours(t))
	}
	if n := r.count(t, "SELECT count(*) FROM aggregate WHERE name = 'account' AND generation = 7"); n != 1 {
		t.Error("the aggregate is gone")
	}
}

// takesAway finds statements that a release before would stumble over.
var takesAway = regexp.MustCompile(`(?i)\b(DROP|RENAME|SET NOT NULL|TYPE)\b`)

// unannounced tells whether a migration takes something away without saying which
// releases can still use the schema.
func unannounced(migration string) bool {
	up, _, _ := strings.Cut(migration, "-- +goose Down")
	up = regexp.MustCompile(`(?m)--.*$`).ReplaceAllString(up, "")
	up = regexp.MustCompile(`(?is)CREATE TABLE .*?;`).ReplaceAllString(up, "")
	return takesAway.MatchString(up) && !strings.Contains(up, "minimum_version")
}

func TestAMigrationThatTakesSomethingAwaySaysWhichReleasesCanStillUseTheSchema(t *testing.T) {
	for text, want := range map[string]bool{
		"-- +goose Up\nALTER TABLE event DROP COLUMN meta;":                                             true,
		"-- +goose Up\nALTER TABLE event ALTER COLUMN seq TYPE text;":                                   true,
		"-- +goose Up\nDROP TABLE event; UPDATE compatibility SET minimum_version = 5;":                 false,
		"-- +goose Up\nALTER TABLE event ADD COLUMN more text;\n-- +goose Down\nDROP TABLE everything;": false,
		"-- +goose Up\nCREATE TABLE a (type text NOT NULL);":                                            false,
	} {
		if got := unannounced(text); got != want {
			t.Errorf("unannounced(%q) = %v, want %v", text, got, want)
		}
	}
	for name, file := range release(t, nil).(fstest.MapFS) {
		if unannounced(string(file.Data)) {
			t.Errorf("%s takes something away and leaves compatibility.minimum_version", name)
		}
	}
}

func TestASchemaThatHoldsSomethingElseIsRefused(t *testing.T) {
	r := newRig(t)
	r.run(t, fmt.Sprintf("CREATE SCHEMA %q; CREATE TABLE event (mine text)", r.schema))
	_, err := r.Migrate(t.Context())
	if !errors.Is(err, ErrUnsuitable) || !strings.Contains(err.Error(), `"event"`) {
		t.Fatalf("got %v; want ErrUnsuitable that names the table", err)
	}
	if !r.is(t, "SELECT count(*) = 0 FROM event") {
		t.Error("the other's table was changed")
	}
}

func TestARoleWithoutTheRightToItsSchemaIsToldWhatToDo(t *testing.T) {
	server := pgtest.Start(t)
	admin := rig{Database: visit(t, server.SuperuserURL(), "theirs"), schema: "theirs"}
	admin.run(t, "CREATE SCHEMA theirs; CREATE SCHEMA seen; CREATE ROLE guest LOGIN PASSWORD 'secret of guests'; GRANT USAGE ON SCHEMA seen TO guest")
	guest := as(t, server.SuperuserURL(), "guest", "secret of guests")
	for name, schema := range map[string]string{
		"it may not create the schema":    "missing",
		"it may not look into the schema": "theirs",
		"it may not create tables":        "seen",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := visit(t, guest, schema).Migrate(t.Context())
			if !errors.Is(err, ErrUnsuitable) || !strings.Contains(err.Error(), `role "guest" lacks a right`) {
				t.Errorf("got %v; want ErrUnsuitable that names the role", err)
			}
		})
	}
}

func TestTheLeastLimitOfConnectionsCounts(t *testing.T) {
	server := pgtest.Start(t, "max_connections = 40", "superuser_reserved_connections = 3")
	admin := rig{Database: visit(t, server.SuperuserURL(), "public")}
	d := visit(t, server.URL(), "public")
	role := d.config.ConnConfig.User
	for _, step := range []struct {
		change string
		want   int
	}{
		{"SELECT", 37},
		{fmt.Sprintf("ALTER DATABASE %q CONNECTION LIMIT 30", d.config.ConnConfig.Database), 30},
		{fmt.Sprintf("ALTER ROLE %q CONNECTION LIMIT 20", role), 20},
	} {
		admin.run(t, step.change)
		if n, err := d.Connections(t.Context()); err != nil || n != step.want {
			t.Errorf("after %q: %d, %v; want %d", step.change, n, err, step.want)
		}
	}
}
