//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leftfold/leftfold/hack/internal/ledger"
	"github.com/leftfold/leftfold/hack/internal/stage"
)

const (
	accounts    = 32
	connections = 8
)

// load is steady traffic on a bank: many accounts through the Service and
// straight at pods, and one account in every shard whose pauses are measured.
type load struct {
	bank  *stage.Bank
	books *ledger.Books
	pulse *ledger.Pulse
	stop  context.CancelFunc
	ended sync.WaitGroup
}

// begin starts the load by the given doors, and by the Service.
func begin(t *testing.T, bank *stage.Bank, doors ...string) *load {
	t.Helper()
	service, err := bank.ServiceURL(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	run := fmt.Sprintf("load%d", time.Now().UnixMilli()%1e8)
	l := &load{bank: bank, books: ledger.New(service, run)}
	if err := l.books.Open(t.Context(), accounts); err != nil {
		t.Fatal(err)
	}
	if l.pulse, err = l.books.Shards(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.books.Enter(append([]string{service}, doors...)...)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	l.stop = stop
	l.ended.Go(func() { l.books.Drive(ctx, accounts, connections, uint64(time.Now().UnixNano())) })
	l.ended.Go(func() { l.pulse.Beat(ctx) })
	t.Cleanup(func() { stop(); l.ended.Wait() })
	return l
}

// end stops the load, settles what is open, and compares the books with all that
// the runtime tells. Failures that are not excused fail the test.
func (l *load) end(t *testing.T, excused func(ledger.Failure) bool) ledger.Totals {
	t.Helper()
	l.stop()
	l.ended.Wait()
	service, err := l.bank.ServiceURL(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l.books.Enter(service)
	var wrong []string
	for _, f := range l.books.Failures() {
		if excused == nil || !excused(f) {
			wrong = append(wrong, f.At.Format(time.TimeOnly+".000")+" "+f.String())
		}
	}
	if len(wrong) > 0 {
		t.Errorf("%d commands failed at living doors, such as:\n%s", len(wrong), strings.Join(wrong[:min(len(wrong), 10)], "\n"))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := l.books.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	totals, err := l.books.Check(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(ctx, "../../bin/leftfold", "verify", "--server", service).CombinedOutput(); err != nil {
		t.Fatalf("leftfold verify: %v\n%s", err, out)
	}
	return totals
}

// recovered waits until every shard has taken a write after the given moment,
// and tells the pauses in order of length.
func (l *load) recovered(t *testing.T, since time.Time) []ledger.Gap {
	t.Helper()
	var gaps []ledger.Gap
	eventually(t, 30*time.Second, func() (err error) {
		gaps, err = l.pulse.Gaps(since)
		return err
	})
	slices.SortFunc(gaps, func(a, b ledger.Gap) int { return int(a.Took - b.Took) })
	return gaps
}

// report prints what a fault cost.
func report(t *testing.T, gaps []ledger.Gap, totals ledger.Totals) {
	t.Helper()
	t.Attr("measured", fmt.Sprintf("pauses of %d shards: median %s, longest %s; %d commands accepted, %d refused by rule, nothing lost or doubled",
		len(gaps), gaps[len(gaps)/2].Took.Round(time.Millisecond), gaps[len(gaps)-1].Took.Round(time.Millisecond), totals.Accepted, totals.Refused))
}
