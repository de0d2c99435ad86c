package crash

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leftfold/leftfold/hack/internal/history"
	"github.com/leftfold/leftfold/hack/internal/ledger"
	"github.com/leftfold/leftfold/hack/internal/witness"
)

var (
	rounds   = flag.Int("rounds", 2, "how often each fault happens")
	seed     = flag.Uint64("seed", 0, "seed of the load and of the moments of the faults; 0 takes one from the clock")
	duration = flag.Duration("duration", 0, "go on with rounds of each fault for so long, whatever -rounds says")
	// Three seconds are promised. By default it is more: make test has other
	// packages on the same machine, and its word is about what happens at all.
	resume = flag.Duration("resume", 10*time.Second, "how long after a fault's end a shard may refuse or hold its callers")
)

const (
	accounts    = 24
	connections = 8
	readers     = 4
	// pulseEvery leaves most of the machine to the load and to the server.
	pulseEvery = 50 * time.Millisecond
	// Faults come between these after the load began.
	soonest, latest = 150 * time.Millisecond, 900 * time.Millisecond
	// afterwards the load goes on for so long.
	afterwards = 300 * time.Millisecond
	// patience bounds every wait for something that must come.
	patience = time.Minute
	// blockRounds is after how many rounds a world ends and another begins: books
	// read the whole log after each.
	blockRounds = 10
)

// world is a bank and those who use it.
type world struct {
	t       *testing.T
	binary  string
	random  *rand.Rand
	seed    uint64
	doors   []string
	witness *witness.Witness
	// gone gives the processes that must not end by themselves.
	gone func() []<-chan struct{}
	// mayBreak: callers may lose their connections.
	mayBreak bool
	failures int
	// fault breaks something, mends it, and says when it was mended.
	fault func(round int) time.Time

	worst  lapse
	totals history.Counts
}

// lapse is how long after a fault's end things worked again on every shard.
type lapse struct{ writes, reads, rows, settled time.Duration }

func (l lapse) String() string {
	ms := func(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
	return fmt.Sprintf("writes %s, reads %s, rows %s, all settled %s", ms(l.writes), ms(l.reads), ms(l.rows), ms(l.settled))
}

// campaign lets a fault happen again and again, each time in a new world after
// blockRounds rounds.
func campaign(t *testing.T, begin func(t *testing.T, w *world)) {
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", *seed)
	began, round, worst, counts := time.Now(), 0, lapse{}, history.Counts{}
	ended := true // the last block, to its end: what is late is told, and the rest looked at
	more := func() bool {
		if *duration > 0 {
			return time.Since(began) < *duration
		}
		return round < *rounds
	}
	for block := uint64(0); more() && ended; block++ {
		ended = false
		t.Run(fmt.Sprintf("from round %d", round), func(t *testing.T) {
			w := &world{t: t, binary: build(t), seed: *seed + block<<32, random: rand.New(rand.NewPCG(*seed, block))}
			begin(t, w)
			w.open()
			for range blockRounds {
				if !more() {
					break
				}
				w.round(round)
				round++
			}
			ended = true
			worst = lapse{max(worst.writes, w.worst.writes), max(worst.reads, w.worst.reads), max(worst.rows, w.worst.rows), max(worst.settled, w.worst.settled)}
			counts.Add(w.totals)
		})
	}
	if round == 0 && !t.Failed() {
		t.Fatal("there was no round, so nothing is shown: -rounds or -duration is to be more than 0")
	}
	t.Logf("%d rounds, seed %d, longest after a fault's end: %s; judged: %+v", round, *seed, worst, counts)
}

// enter says where the customers of the bank come in.
func (w *world) enter(doors ...string) { w.doors = doors }

func (w *world) open() {
	w.t.Helper()
	var err error
	w.witness, err = witness.Open(w.t.Context(), witness.Config{
		Doors: w.doors, Run: fmt.Sprintf("run%d", w.seed%1e6), Accounts: accounts, Connections: connections, Readers: readers,
		PulseEvery: pulseEvery, Binary: w.binary,
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// round drives the bank, lets the fault happen, waits until all is well again, and
// compares what everybody knows.
func (w *world) round(number int) {
	t := w.t
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var load sync.WaitGroup
	defer load.Wait()
	defer cancel()
	load.Go(func() { w.witness.Live(ctx, w.seed+uint64(number)) })
	wait(soonest + time.Duration(w.random.Int64N(int64(latest-soonest))))
	w.stillThere()
	ended := w.fault(number)
	w.witness.Pulse.Enter()
	l := w.recovered(ctx, ended)
	wait(afterwards)
	w.stillThere()
	cancel()
	load.Wait()

	if !w.mayBreak {
		w.allAnswered(number)
	}
	settle, done := context.WithTimeout(t.Context(), patience)
	defer done()
	stopped := time.Now()
	if err := w.witness.Books.Settle(settle); err != nil {
		t.Fatalf("round %d, seed %d: %v", number, *seed, err)
	}
	l.settled = time.Since(stopped)
	w.worst = lapse{max(w.worst.writes, l.writes), max(w.worst.reads, l.reads), max(w.worst.rows, l.rows), max(w.worst.settled, l.settled)}
	for what, took := range map[string]time.Duration{"writes": l.writes, "reads": l.reads, "rows": l.rows, "commands without an answer": l.settled} {
		if took > *resume {
			t.Errorf("round %d, seed %d: %s took %s after the fault's end, %s are promised", number, *seed, what, took.Round(time.Millisecond), *resume)
		}
	}
	w.compare(number, l)
}

// allAnswered wants an answer to every call: one that settles it, or one that says
// that it may be sent again.
func (w *world) allAnswered(number int) {
	w.t.Helper()
	all := w.witness.Books.Failures()
	for _, f := range all[w.failures:] {
		if f.Err != nil {
			w.t.Errorf("round %d, seed %d: a caller of a living process got no answer: %v", number, *seed, f)
		}
	}
	w.failures = len(all)
}

// compare looks at everything, while nobody writes.
func (w *world) compare(number int, l lapse) {
	t := w.t
	t.Helper()
	totals, counts, err := w.witness.Compare(t.Context())
	if err != nil {
		t.Fatalf("round %d, seed %d: %v", number, *seed, err)
	}
	w.totals.Add(counts)
	t.Logf("round %d: %d accepted, %d refused, %d events; %+v; %s", number, totals.Accepted, totals.Refused, totals.Events, counts, l)
}

// recovered waits until each shard has taken a write, a read and a read of its row
// after the fault's end.
func (w *world) recovered(ctx context.Context, ended time.Time) (l lapse) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var all sync.WaitGroup
	var mu sync.Mutex
	first := func(took *time.Duration, try func() bool) {
		all.Go(func() {
			for !try() {
				select {
				case <-ctx.Done():
					return
				case <-time.After(10 * time.Millisecond):
				}
			}
			mu.Lock()
			defer mu.Unlock()
			*took = max(*took, time.Since(ended))
		})
	}
	first(&l.writes, func() bool { return w.witness.Pulse.Resumed(ended) != nil })
	for _, account := range w.witness.Pulse.Accounts() {
		first(&l.reads, func() bool { return w.witness.View(ctx, account, 0) })
		first(&l.rows, func() bool { return w.witness.Row(ctx, account, w.witness.Books.Latest(account)) })
	}
	all.Wait()
	if ctx.Err() != nil {
		failures := w.witness.Books.Failures()
		w.t.Fatalf("no recovery within %s of the fault's end, seed %d; the last failures: %v", patience, *seed, failures[max(0, len(failures)-20):])
	}
	return l
}

func (w *world) stillThere() {
	w.t.Helper()
	if w.gone == nil {
		return
	}
	for _, gone := range w.gone() {
		select {
		case <-gone:
			w.t.Fatal("the process ended by itself")
		default:
		}
	}
}

func wait(d time.Duration) { <-time.After(d) }

var built struct {
	once   sync.Once
	binary string
	err    error
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	folder, err := os.MkdirTemp("", "leftfold-crash-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(folder) }()
	built.binary = filepath.Join(folder, "leftfold")
	return m.Run()
}

// build builds the binary under test once, as users get it.
func build(t *testing.T) string {
	t.Helper()
	built.once.Do(func() { built.err = ledger.Build(context.Background(), built.binary) })
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.binary
}

// tail keeps what a process logged last, and shows it when the test has failed.
type tail struct {
	mu    sync.Mutex
	name  string
	lines []string
}

const tailLines = 150

func newTail(t *testing.T, name string) *tail {
	l := &tail{name: name}
	t.Cleanup(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if t.Failed() {
			t.Logf("%s logged last:\n%s", l.name, strings.Join(l.lines, ""))
		}
	})
	return l
}

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(string(p)) {
		l.lines = append(l.lines, line)
	}
	l.lines = l.lines[max(0, len(l.lines)-tailLines):]
	return len(p), nil
}
