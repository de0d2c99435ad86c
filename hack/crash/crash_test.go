// Package crash kills the runtime under load and looks at what is left: the
// promise that an acknowledged command is durable, happened once and stays, held
// against real processes, real stores and SIGKILL.
package crash

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leftfold/leftfold/api/postgres/pgtest"
	"github.com/leftfold/leftfold/hack/internal/ledger"
)

var (
	rounds = flag.Int("rounds", 10, "how often the process is killed, on each store")
	seed   = flag.Uint64("seed", 0, "seed of the load and the moments of the kills; 0 takes one from the clock")
)

const (
	accounts    = 24
	connections = 16
	// Kills come between these after the load began.
	soonest, latest = 150 * time.Millisecond, 900 * time.Millisecond
)

func TestNothingIsLostWhenTheProcessIsKilledUnderLoad(t *testing.T) {
	binary := build(t)
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Run("SQLite", func(t *testing.T) {
		kill(t, binary, "--data", filepath.Join(t.TempDir(), "data"))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		kill(t, binary, "--store", pgtest.Start(t).URL())
	})
}

// kill starts the bank, and for each round drives it, kills it, starts it again
// and compares books.
func kill(t *testing.T, binary string, store ...string) {
	t.Logf("seed %d", *seed)
	random := rand.New(rand.NewPCG(*seed, 1))
	address := free(t)
	start := func() *ledger.Process {
		args := append([]string{"dev", "-f", "../../config/samples/bank", "--listen", address}, store...)
		p, err := ledger.Start(t.Context(), testLog{t}, binary, args...)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	server := start()
	defer func() { server.Kill() }()
	books := ledger.New(server.URL, fmt.Sprintf("run%d", *seed%1e6))
	if err := books.Open(t.Context(), accounts); err != nil {
		t.Fatal(err)
	}
	for round := range *rounds {
		ctx, cancel := context.WithCancel(t.Context())
		driven := make(chan struct{})
		go func() {
			defer close(driven)
			books.Drive(ctx, accounts, connections, *seed+uint64(round))
		}()
		select {
		case <-time.After(soonest + time.Duration(random.Int64N(int64(latest-soonest)))):
		case <-server.Gone():
			t.Fatal("the server ended by itself")
		}
		server.Kill()
		server = start()
		// The load goes on through the restart for a moment: callers retry.
		cancel()
		<-driven
		settle, done := context.WithTimeout(t.Context(), time.Minute)
		err := books.Settle(settle)
		done()
		if err != nil {
			t.Fatal(err)
		}
		totals, err := books.Check(t.Context())
		if err != nil {
			t.Fatalf("round %d, seed %d: %v", round, *seed, err)
		}
		verify(t, binary, server.URL)
		t.Logf("round %d: %d accepted, %d refused, %d events, ready %s after the kill", round, totals.Accepted, totals.Refused, totals.Events, server.Ready.Round(time.Millisecond))
	}
	if code := server.Stop(); code != 0 {
		t.Errorf("exit code %d after SIGTERM, want 0", code)
	}
}

func verify(t *testing.T, binary, url string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), binary, "verify", "--server", url).CombinedOutput()
	if err != nil {
		t.Fatalf("leftfold verify: %v\n%s", err, out)
	}
}

// build builds the binary under test, as users get it.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "leftfold")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../../runtime")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

// free finds a port that nobody uses.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// testLog shows the server's warnings and errors with the test that fails.
type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		if strings.Contains(line, "level=ERROR") || strings.Contains(line, "level=WARN") {
			l.t.Log(strings.TrimSpace(line))
		}
	}
	return len(p), nil
}
