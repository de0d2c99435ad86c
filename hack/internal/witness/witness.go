// Package witness is the customers of a bank under test: they send commands, read
// states, rows and the past, keep a pulse on every shard, and remember what they
// were told. When they rest, Compare holds that against everything the runtime
// says: the log, states, rows, repeated answers (package ledger), the order in
// which things were seen (package history), and the chains (leftfold verify).
//
// It breaks nothing, and it starts nothing: what happens to the bank meanwhile is
// its caller's.
package witness

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"sync"
	"time"

	"github.com/leftfold/leftfold/hack/internal/history"
	"github.com/leftfold/leftfold/hack/internal/ledger"
)

// Config says who the customers are.
type Config struct {
	// Doors are addresses of the runtime; calls go to them in turn. Verify asks at
	// the first.
	Doors []string
	// Run goes into the names of accounts and keys, so that runs on one store do not
	// meet.
	Run string
	// Accounts are driven by Connections, each of which rests for Rest between two
	// commands; Readers read them and the pulse's.
	Accounts, Connections, Readers int
	Rest                           time.Duration
	// PulseEvery is how long the pulse of a shard rests between two commands.
	PulseEvery time.Duration
	// Binary is the leftfold that verifies.
	Binary string
}

// Witness is the customers.
type Witness struct {
	Books *ledger.Books
	Pulse *ledger.Pulse

	config  Config
	history *history.History
}

// Open opens the accounts, one in every shard for the pulse among them.
func Open(ctx context.Context, c Config) (*Witness, error) {
	w := &Witness{Books: ledger.New(c.Doors[0], c.Run), config: c, history: history.New()}
	w.Books.Enter(c.Doors...)
	w.Books.Observe(w.history.Command)
	w.Books.Conditional(5)
	w.Books.Rest(c.Rest)
	if err := w.Books.Open(ctx, c.Accounts); err != nil {
		return nil, err
	}
	var err error
	if w.Pulse, err = w.Books.Shards(ctx); err != nil {
		return nil, err
	}
	w.Pulse.Every = c.PulseEvery
	return w, nil
}

// Enter points the customers at other addresses, and verify at the first of them;
// the pulse's stay if it has its own.
func (w *Witness) Enter(doors ...string) {
	w.config.Doors = doors
	w.Books.Enter(doors...)
}

// Live has them come and go until ctx ends.
func (w *Witness) Live(ctx context.Context, seed uint64) {
	var all sync.WaitGroup
	all.Go(func() { w.Books.Drive(ctx, w.config.Accounts, w.config.Connections, seed) })
	all.Go(func() { w.Pulse.Beat(ctx) })
	for r := range w.config.Readers {
		all.Go(func() { w.read(ctx, rand.New(rand.NewPCG(seed, 100+uint64(r)))) })
	}
	all.Wait()
}

// Accounts are all that are used.
func (w *Witness) Accounts() []string {
	all := w.Pulse.Accounts()
	for i := range w.config.Accounts {
		all = append(all, w.Books.Account(i))
	}
	return all
}

func (w *Witness) read(ctx context.Context, random *rand.Rand) {
	everyone := w.Accounts()
	for ctx.Err() == nil {
		account := everyone[random.IntN(len(everyone))]
		latest := w.Books.Latest(account)
		ok := false
		switch random.IntN(4) {
		case 0:
			ok = w.View(ctx, account, 1+random.Int64N(latest.Version+1))
		case 1:
			ok = w.Row(ctx, account, latest)
		case 2:
			ok = w.Row(ctx, account, ledger.Acknowledged{})
		default:
			ok = w.View(ctx, account, 0)
		}
		pause := max(w.config.Rest, 5*time.Millisecond)
		if !ok {
			pause = max(pause, 20*time.Millisecond)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// View reads an account's state, the newest or that of a version, and tells whether
// there was an answer.
func (w *Witness) View(ctx context.Context, account string, version int64) bool {
	began := time.Now()
	v, err := w.Books.View(ctx, account, version)
	if err == nil {
		w.history.Read(account, version, v, began, time.Now())
	}
	return err == nil
}

// Row reads an account's row, no older than what was acknowledged, and tells whether
// there was an answer.
func (w *Witness) Row(ctx context.Context, account string, after ledger.Acknowledged) bool {
	began := time.Now()
	v, err := w.Books.Row(ctx, account, after.Position, time.Second)
	if err == nil {
		w.history.Row(account, after.Version, v, began, time.Now())
	}
	return err == nil
}

// Compare looks at everything, and begins a new history. It is called while the
// customers rest and no command is open (ledger.Books.Settle). All that is wrong is
// told at once.
func (w *Witness) Compare(ctx context.Context) (ledger.Totals, history.Counts, error) {
	var silent error
	for _, account := range w.Accounts() {
		if !w.View(ctx, account, 0) {
			silent = errors.Join(silent, fmt.Errorf("%s gives no answer", account))
		}
	}
	totals, err := w.Books.Check(ctx)
	if err != nil {
		return totals, history.Counts{}, errors.Join(silent, err)
	}
	counts, err := w.history.Check(totals.Balances)
	out, unverified := exec.CommandContext(ctx, w.config.Binary, "verify", "--server", w.config.Doors[0]).CombinedOutput()
	if unverified != nil {
		unverified = fmt.Errorf("leftfold verify: %w\n%s", unverified, out)
	}
	return totals, counts, errors.Join(silent, err, unverified)
}
