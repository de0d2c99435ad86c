package bounds

import (
	"flag"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leftfold/leftfold/api/postgres/pgtest"
)

var (
	entities = flag.Int("entities", 25_000, "how many entities get a command, for the bound of resident memory; 1000000 for the promised figure")
	store    = flag.String("store", "sqlite", "what the memory test runs on: sqlite or postgres")
)

// maxResidentKiB is the promise: what a process of the default budget keeps
// resident, however many entities it has met.
const maxResidentKiB = 150 << 10

// The default budget is filled by some 15,000 small entities, so that the short
// form is past it as well.
func TestResidentMemoryIsBoundedHoweverManyEntitiesAreTouched(t *testing.T) {
	where := []string{"--data", filepath.Join(t.TempDir(), "data")}
	if *store == "postgres" {
		where = []string{"--store", pgtest.Start(t).URL()}
	}
	p := start(t, build(t), bank, where...)
	t.Logf("before: %d KiB resident", p.kib(t, "VmRSS"))

	const connections = 128
	var next atomic.Int64
	var failure atomic.Pointer[error]
	var senders sync.WaitGroup
	began := time.Now()
	for range connections {
		senders.Go(func() {
			if err := touch(p.address, &next, int64(*entities)); err != nil {
				failure.Store(&err)
				next.Store(int64(*entities))
			}
		})
	}
	done := make(chan struct{})
	go func() { senders.Wait(); close(done) }()
	report := time.NewTicker(20 * time.Second)
	defer report.Stop()
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true
		case <-report.C:
		}
		t.Logf("%8d entities after %4.0f s: %6d KiB resident, %6d at most; %.0f loaded",
			min(next.Load(), int64(*entities)), time.Since(began).Seconds(), p.kib(t, "VmRSS"), p.kib(t, "VmHWM"), p.metric(t, "leftfold_entities_loaded"))
	}
	if err := failure.Load(); err != nil {
		t.Fatal(*err)
	}
	if loaded := p.metric(t, "leftfold_entities_loaded"); loaded == 0 || loaded >= float64(*entities) {
		t.Errorf("%.0f of %d entities are in memory: the budget was not reached, so nothing is shown", loaded, *entities)
	}
	if most := p.kib(t, "VmHWM"); most > maxResidentKiB {
		t.Errorf("%d KiB resident at most, want %d", most, maxResidentKiB)
	}
	if code := p.Stop(); code != 0 {
		t.Errorf("it ended with %d", code)
	}
}

// touch opens accounts that have not been opened.
func touch(address string, next *atomic.Int64, end int64) error {
	w, err := dial(address)
	if err != nil {
		return err
	}
	defer func() { _ = w.Close() }()
	for i := next.Add(1) - 1; i < end; i = next.Add(1) - 1 {
		status, body, err := w.post(fmt.Sprintf("/v1/aggregates/account/touched-%07d/Open", i), `{"owner":"somebody"}`)
		if err != nil {
			return err
		}
		if status != 200 {
			return fmt.Errorf("account %d: %d %s", i, status, body)
		}
	}
	return nil
}
