package projection_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leftfold/leftfold/runtime/eventstore/postgres"
	"github.com/leftfold/leftfold/runtime/projection"
	"github.com/leftfold/leftfold/runtime/projection/projectiontest"
)

// The simulation of projections: two workers of each of two shards, as if a shard's
// owner of the past did not know it yet, write to one table of a real PostgreSQL.
// A seed decides whose transaction makes its next step, and which steps fail. It
// is not under virtual time, which stands still while a server answers; nothing
// here waits for a clock. Package simulation has the rest of the data plane.

var (
	interleavingSeed  = flag.Int64("seed", -1, "run this seed of the interleaving alone")
	interleavingSeeds = flag.Uint64("seeds", 20, "how many seeds of the interleaving to run")
)

// actor is one worker, on a goroutine that stands still before each step of its
// transactions until it is told to go on.
type actor struct {
	name    string
	step    *projection.Stepper
	head    int64
	at      chan string                // the step it stands before
	goOn    chan projectiontest.Strike // what becomes of that step
	done    chan struct{}
	waiting string // the step it stands before; empty while it runs
	ended   bool
}

// interleaving is one run.
type interleaving struct {
	t      *testing.T
	rig    *projectiontest.Rig
	r      *rand.Rand
	actors []*actor
	trace  []string
}

// logged is a shard whose events are all there; a test reads it as a worker's
// source.
type logged struct{ *projectiontest.Shard }

// Changed never keeps a worker waiting.
func (logged) Changed() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func (a *actor) run(ctx context.Context) {
	defer close(a.done)
	for a.step.Offset() < a.head && ctx.Err() == nil {
		_ = a.step.Step(ctx) // a worker tries again, whatever it was
	}
}

// settle waits until every worker stands before a step, has come to the end, or
// waits for a lock of another.
func (i *interleaving) settle() {
	deadline := time.Now().Add(patience)
	for spin := 0; ; spin++ {
		running := 0
		for _, a := range i.actors {
			if a.waiting == "" && !a.ended {
				i.look(a)
			}
			if a.waiting == "" && !a.ended {
				running++
			}
		}
		if running == 0 {
			return
		}
		var locked int
		if err := i.rig.DB.Reader.QueryRowContext(i.t.Context(), `SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted`).Scan(&locked); err != nil {
			i.t.Fatal(err)
		}
		if locked == running {
			return
		}
		if time.Now().After(deadline) {
			i.t.Fatalf("%d workers run and %d of them wait for a lock; the steps were\n%s", running, locked, strings.Join(i.trace, "\n"))
		}
	}
}

// look sees where a running worker is by now.
func (i *interleaving) look(a *actor) {
	select {
	case a.waiting = <-a.at:
	case <-a.done:
		a.ended = true
	case <-time.After(200 * time.Microsecond):
	}
}

// play lets one worker after the other make a step, until all have come to the
// end.
func (i *interleaving) play() {
	for {
		i.settle()
		var ready []*actor
		for _, a := range i.actors {
			if a.waiting != "" {
				ready = append(ready, a)
			}
		}
		if len(ready) == 0 {
			return
		}
		a := ready[i.r.IntN(len(ready))]
		strike := projectiontest.Pass
		switch i.r.IntN(40) {
		case 0:
			strike = projectiontest.Before
		case 1:
			strike = projectiontest.After
		}
		step, _, _ := strings.Cut(strings.Join(strings.Fields(a.waiting), " "), " WHERE")
		i.trace = append(i.trace, fmt.Sprintf("  %s, offset %d: %s%s", a.name, a.step.Offset(), [...]string{"", "fails before ", "fails after "}[strike], step))
		a.waiting = ""
		a.goOn <- strike
	}
}

// interleave runs one seed, and gives what is wrong with the rows, with the
// events and steps that led there.
func interleave(t *testing.T, r *projectiontest.Rig, seed uint64) string {
	i := &interleaving{t: t, rig: r, r: rand.New(rand.NewPCG(seed, 7))}

	aggregate, name := fmt.Sprintf("till%d", seed), fmt.Sprintf("sales-%d", seed)
	a := r.Aggregate(aggregate, 2, till)
	def := r.Define(name, strings.ReplaceAll(sales, "till", aggregate))
	m := r.Manager()
	apply(t, m, def)
	m.Close() // it has made the table; it owns nothing

	want := map[string]int{}
	for n, s := range a.Shards {
		for range 3 + i.r.IntN(6) {
			e := projectiontest.Event{Entity: fmt.Sprint("x", n), Type: "Added", Data: added{string(rune('a' + i.r.IntN(3))), 1 + i.r.IntN(3)}}
			s.Append(e)
			want[e.Data.(added).Key] += e.Data.(added).Amount
			i.trace = append(i.trace, fmt.Sprintf("  shard %d has %+v", n, e.Data))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	for n, s := range a.Shards {
		for twin := range 2 {
			i.actors = append(i.actors, i.newActor(ctx, fmt.Sprintf("worker %d of shard %d", twin, n), &def, aggregate, s))
		}
	}
	i.play()
	cancel()

	rows := map[string]string{}
	for key, sum := range want {
		rows[fmt.Sprintf("%q", key)] = fmt.Sprintf(`{"sum":%d}`, sum)
	}
	if diff := cmp.Diff(rows, r.Rows(name)); diff != "" {
		return fmt.Sprintf("seed %d: the rows are not a fold of the events (-want +got); -seed=%d repeats it\n%s\n%s", seed, seed, diff, strings.Join(i.trace, "\n"))
	}
	return ""
}

func (i *interleaving) newActor(ctx context.Context, name string, def *projection.Definition, aggregate string, s *projectiontest.Shard) *actor {
	db, fault := i.rig.Faulty()
	step, err := projection.NewStepper(ctx, projection.Config{
		DB: db, Log: i.rig.Store, MaxBatch: 1 + i.r.IntN(3), FlushInterval: time.Nanosecond, Logger: projectiontest.Logger(i.t),
	}, def, aggregate, s.ID, logged{s})
	if err != nil {
		i.t.Fatal(err)
	}
	_, head, _ := s.Committed(0, 0)
	a := &actor{name: name, step: step, head: head, at: make(chan string), goOn: make(chan projectiontest.Strike), done: make(chan struct{})}
	fault.Gate(func(what string) projectiontest.Strike {
		a.at <- what
		return <-a.goOn
	})
	go a.run(ctx)
	return a
}

// chosenSeeds are the first so many, or the one that -seed asks for.
func chosenSeeds(count uint64) []uint64 {
	if *interleavingSeed >= 0 {
		return []uint64{uint64(*interleavingSeed)}
	}
	var out []uint64
	for seed := range count {
		out = append(out, seed)
	}
	return out
}

func TestRowsAreAFoldOfTheEventsInWhateverOrderTransactionsStep(t *testing.T) {
	r := roomy(t)
	for _, seed := range chosenSeeds(*interleavingSeeds) {
		if wrong := interleave(t, r, seed); wrong != "" {
			t.Fatal(wrong)
		}
	}
}

// roomy gives a rig on which no worker waits for a connection that another has.
func roomy(t *testing.T) *projectiontest.Rig {
	return projectiontest.Postgres(t, func(o *postgres.Options) { o.ProjectionConnections = 12 })
}
