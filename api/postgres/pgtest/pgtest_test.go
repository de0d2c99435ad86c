package pgtest

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestTheRoleIsAnOrdinaryOneAndTheServerIsDurable(t *testing.T) {
	conn := connect(t, URL(t))
	var superuser, fsync string
	row := conn.QueryRow(t.Context(), "SELECT current_setting('is_superuser'), current_setting('fsync')")
	if err := row.Scan(&superuser, &fsync); err != nil {
		t.Fatal(err)
	}
	if superuser != "off" || fsync != "on" {
		t.Errorf("is_superuser = %s, fsync = %s; want off, on", superuser, fsync)
	}
}

// TestTheServerIsThatOfTheBinaries keeps a run on another version from being one
// on the machine's own.
func TestTheServerIsThatOfTheBinaries(t *testing.T) {
	s := Start(t)
	dir, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	said, err := exec.Command(dir+"/postgres", "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	var version string
	if err := connect(t, s.URL()).QueryRow(t.Context(), "SHOW server_version").Scan(&version); err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(said)); got != "postgres (PostgreSQL) "+version {
		t.Errorf("the server says %q, its binaries %q", version, got)
	}
	t.Log(version)
}

func TestACrashedServerComesBackWithWhatWasCommitted(t *testing.T) {
	s := Start(t, "work_mem = 7MB")
	conn := connect(t, s.URL())
	if _, err := conn.Exec(t.Context(), "CREATE TABLE kept AS SELECT 42 AS answer"); err != nil {
		t.Fatal(err)
	}
	if err := s.Crash(); err != nil {
		t.Fatal(err)
	}
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	var answer int
	var setting string
	row := connect(t, s.URL()).QueryRow(t.Context(), "SELECT answer, current_setting('work_mem') FROM kept")
	if err := row.Scan(&answer, &setting); err != nil {
		t.Fatal(err)
	}
	if answer != 42 || setting != "7MB" {
		t.Errorf("after the crash: answer = %d, work_mem = %s; want 42, 7MB", answer, setting)
	}
}

// TestTheServerEndsWithAProcessThatIsKilled runs itself as a child that starts
// a server and is killed hard.
func TestTheServerEndsWithAProcessThatIsKilled(t *testing.T) {
	const variable = "LEFTFOLD_PGTEST_CHILD"
	if os.Getenv(variable) != "" {
		s := Start(t)
		os.Stdout.WriteString("folder " + s.folder + "\n")
		select {} // until killed
	}
	child := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	child.Env = append(os.Environ(), variable+"=1")
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var seen strings.Builder
	buffer := make([]byte, 4096)
	for !strings.Contains(seen.String(), "folder ") && !strings.Contains(seen.String(), "SKIPPED") {
		n, err := stdout.Read(buffer)
		if err != nil {
			t.Fatalf("the child said %q and ended: %v", seen.String(), err)
		}
		seen.Write(buffer[:n])
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // "killed"
	if strings.Contains(seen.String(), "SKIPPED") {
		t.Skip(seen.String())
	}
	_, rest, _ := strings.Cut(seen.String(), "folder ")
	folder := strings.Fields(rest)[0]
	deadline := time.After(time.Minute)
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if _, err := os.Stat(folder); errors.Is(err, os.ErrNotExist) {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("%s is still there a minute after its process was killed", folder)
		}
	}
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}
