package crash

import (
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/leftfold/leftfold/api/postgres/pgtest"
	"github.com/leftfold/leftfold/api/postgres/pgtest/pgproxy"
	"github.com/leftfold/leftfold/hack/internal/ledger"
)

const bank = "../../config/samples/bank"

// dev starts leftfold dev on a store, always at the same address, and makes it the
// world's. The function that it returns starts it again after a kill.
func (w *world) dev(store ...string) (server func() *ledger.Process, restart func()) {
	w.t.Helper()
	address, log := free(w.t), newTail(w.t, "leftfold dev")
	var p *ledger.Process
	restart = func() {
		w.t.Helper()
		var err error
		if p, err = ledger.Start(w.t.Context(), log, w.binary, append([]string{"dev", "-f", bank, "--listen", address}, store...)...); err != nil {
			w.t.Fatal(err)
		}
	}
	restart()
	w.t.Cleanup(func() {
		if code := p.Stop(); code != 0 && !w.t.Failed() {
			w.t.Errorf("exit code %d after SIGTERM, want 0", code)
		}
	})
	w.gone = func() []<-chan struct{} { return []<-chan struct{}{p.Gone()} }
	w.enter(p.URL)
	return func() *ledger.Process { return p }, restart
}

func TestTheProcessIsKilled(t *testing.T) {
	begin := func(w *world, store ...string) {
		server, restart := w.dev(store...)
		w.mayBreak = true
		w.fault = func(int) time.Time {
			server().Kill()
			killed := time.Now()
			restart()
			return killed
		}
	}
	t.Run("SQLite", func(t *testing.T) {
		campaign(t, func(t *testing.T, w *world) { begin(w, "--data", filepath.Join(t.TempDir(), "data")) })
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		campaign(t, func(t *testing.T, w *world) { begin(w, "--store", pgtest.Start(t).URL()) })
	})
}

func TestPostgreSQLIsKilledAndStartedAgain(t *testing.T) {
	campaign(t, func(t *testing.T, w *world) {
		database := pgtest.Start(t)
		w.dev("--store", database.URL())
		w.fault = func(round int) time.Time {
			if err := database.Crash(); err != nil {
				t.Fatal(err)
			}
			down := w.upTo(2 * time.Second)
			if round%5 == 1 { // long enough for every pause between attempts to have grown
				down = 8*time.Second + w.upTo(6*time.Second)
			}
			wait(down)
			if err := database.Restart(); err != nil {
				t.Fatal(err)
			}
			return time.Now()
		}
	})
}

// behind starts a server behind a proxy.
func (w *world) behind(t *testing.T) *pgproxy.Proxy {
	t.Helper()
	url := pgtest.Start(t).URL()
	proxy := pgproxy.Start(t, url, "leftfold_append")
	w.dev("--store", proxy.Through(t, url))
	return proxy
}

func TestConnectionsBreakAroundAppends(t *testing.T) {
	for place := range pgproxy.Places {
		t.Run(place.String(), func(t *testing.T) {
			campaign(t, func(t *testing.T, w *world) {
				proxy := w.behind(t)
				w.fault = func(int) time.Time {
					_, before := proxy.Counts()
					cuts := 1 + w.random.IntN(12)
					proxy.CutStatements(place, cuts)
					deadline := time.After(patience)
					for {
						if _, now := proxy.Counts(); now == before+cuts {
							return time.Now()
						}
						select {
						case <-deadline:
							t.Fatal("there are no appends to cut")
						case <-time.After(time.Millisecond):
						}
					}
				}
			})
		})
	}
}

func TestAllConnectionsBreakAtOnce(t *testing.T) {
	campaign(t, func(t *testing.T, w *world) {
		proxy := w.behind(t)
		w.fault = func(int) time.Time {
			proxy.Cut()
			return time.Now()
		}
	})
}

func TestTheStoreIsSlow(t *testing.T) {
	campaign(t, func(t *testing.T, w *world) {
		proxy := w.behind(t)
		w.fault = func(int) time.Time {
			proxy.Delay(20*time.Millisecond + w.upTo(400*time.Millisecond))
			wait(time.Second + w.upTo(2*time.Second))
			proxy.Delay(0)
			return time.Now()
		}
	})
}

func TestTheStoreHangs(t *testing.T) {
	campaign(t, func(t *testing.T, w *world) {
		proxy := w.behind(t)
		w.fault = func(int) time.Time {
			proxy.Hang()
			wait(500*time.Millisecond + w.upTo(9*time.Second))
			proxy.Resume()
			return time.Now()
		}
	})
}

func (w *world) upTo(d time.Duration) time.Duration { return time.Duration(w.random.Int64N(int64(d))) }

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
