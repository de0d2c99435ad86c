package sqlite_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/eventstore/sqlite"
)

func TestOneStoreAFolder(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if _, err := sqlite.Open(t.Context(), sqlite.Options{Dir: dir, LockWait: -1}); !errors.Is(err, sqlite.ErrInUse) {
		t.Errorf("got %v, want ErrInUse", err)
	}
	wantInUse(t, dir, os.Getpid())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
}

func TestOpenWaitsForTheFolder(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	open(t, dir)
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
}

func TestFoldersMayHaveAnyName(t *testing.T) {
	for _, name := range []string{"a b", "a?mode=memory", "a#b", "100%41", "é\U0001f600", "a&b=c", "new/and/deep"} {
		dir := filepath.Join(t.TempDir(), name)
		s := open(t, dir)
		own(t, s)
		if _, err := os.Stat(filepath.Join(dir, "leftfold.db")); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestWhatIsNoDatabaseIsRefusedAndTheFolderLetGo(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "leftfold.db")
	if err := os.WriteFile(file, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), sqlite.Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v, want an error that names %s", err, file)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
}

func TestACleanCloseLeavesOneFileWithEverythingInIt(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	o := own(t, s)
	if r := o.append(t.Context(), s, 10); r.Status != eventstore.Appended {
		t.Fatal(r)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "leftfold.db-wal")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the write-ahead log is still there (%v)", err)
	}
}

func TestASchemaOfANewerReleaseIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	writer, _ := s.ProjectionDB()
	if _, err := writer.ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1); ALTER TABLE event ADD COLUMN later TEXT"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	o := own(t, s)
	if r := o.append(t.Context(), s, 1); r.Status != eventstore.Appended {
		t.Errorf("got %+v", r)
	}
}
