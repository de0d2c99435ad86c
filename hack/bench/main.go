// Command bench measures, in one run on one private PostgreSQL, the statement
// that everything rests on (one append of a batch of events, through the store
// alone), commands in process (the shard host, no HTTP) and commands over HTTP
// against leftfold dev on the same server, and prints their ratios and whether
// they are as wanted. Figures of one machine mean little; ratios of one run
// travel.
//
//	hack/bench.sh            DURATION=10s by default; RUN=process,http picks parts
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/leftfold/leftfold/api/postgres/pgtest"
	"github.com/leftfold/leftfold/hack/internal/ledger"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/eventstore/postgres"
)

const (
	// The ceiling is measured with this batch and this many statements in
	// flight: where the statement stops getting faster.
	batchEvents = 100
	statements  = 4
	// The load over HTTP.
	connections = 128
	entities    = 1000
)

func main() {
	binary := flag.String("binary", "bin/leftfold", "the leftfold command")
	sample := flag.String("sample", "config/samples/bank", "the manifests to serve")
	duration := flag.Duration("duration", 10*time.Second, "how long each part takes")
	parts := flag.String("run", "process,http", "the parts beside the ceiling, with commas")
	profile := flag.String("profile", "", "write a CPU profile of the part in process here")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, options{*binary, *sample, *parts, *profile, *duration}); err != nil {
		fmt.Fprintln(os.Stderr, "bench: "+err.Error())
		os.Exit(1)
	}
}

type options struct {
	binary, sample, parts, profile string
	duration                       time.Duration
}

func run(ctx context.Context, o options) error {
	server, err := pgtest.Launch()
	if err != nil {
		return err
	}
	defer func() { _ = server.Stop() }()
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("%s, %d CPUs, load generator, Leftfold and PostgreSQL together; load before: %s", runtime.Version(), runtime.NumCPU(), load)
	ceiling, err := appends(ctx, server.URL(), o.duration)
	if err != nil {
		return fmt.Errorf("measure the append statement: %w", err)
	}
	fmt.Printf("%-34s %9s %7s %7s\n", "", "events/s", "ratio", "wanted")
	fmt.Printf("%-34s %9.0f\n", fmt.Sprintf("append, %d events, %d at once", batchEvents, statements), ceiling)
	if part(o.parts, "process") {
		store, err := postgres.Open(ctx, postgres.Options{URL: server.URL(), Schema: "process"})
		if err != nil {
			return err
		}
		rate, err := inProcess(ctx, store, o.sample, o.profile, o.duration)
		if err = errors.Join(err, store.Close()); err != nil {
			return fmt.Errorf("measure commands in process: %w", err)
		}
		row(fmt.Sprintf("in process, %d callers", callers), rate, rate/ceiling, 0.5)
	}
	if !part(o.parts, "http") {
		return nil
	}
	m, err := commands(ctx, o, server.URL())
	if err != nil {
		return fmt.Errorf("measure commands over HTTP: %w", err)
	}
	row(fmt.Sprintf("HTTP, %d connections", connections), m.PerSecond, m.PerSecond/ceiling, 0.12)
	fmt.Printf("  p50 %.2f ms, p99 %.2f ms, p99.9 %.2f ms; load generator %.2f CPUs with its start\n", m.P50, m.P99, m.P999, m.cpus)
	for reason, n := range m.Errors {
		fmt.Printf("errors: %s %d\n", reason, n)
	}
	return nil
}

func part(parts, name string) bool { return slices.Contains(strings.Split(parts, ","), name) }

func row(name string, rate, ratio, wanted float64) {
	verdict := "met"
	if ratio < wanted {
		verdict = "not met"
	}
	fmt.Printf("%-34s %9.0f %7.3f %7.3f  %s\n", name, rate, ratio, wanted, verdict)
}

// appends gives events a second of the bare statement: one lane a shard, each
// sending its next batch when the last one is durable. Batches are made and
// hashed by the lane between two statements, as an owner would.
func appends(ctx context.Context, url string, duration time.Duration) (float64, error) {
	store, err := postgres.Open(ctx, postgres.Options{URL: url, Schema: "ceiling"})
	if err != nil {
		return 0, err
	}
	defer func() { _ = store.Close() }()
	aggregate, err := store.EnsureAggregate(ctx, "ceiling", statements)
	if err != nil {
		return 0, err
	}
	var written atomic.Int64
	errs := make(chan error, statements)
	var lanes sync.WaitGroup
	began := time.Now()
	for number := range statements {
		lanes.Go(func() {
			errs <- lane(ctx, store, eventstore.ShardID{Aggregate: aggregate.ID, Number: int32(number)}, began.Add(duration), &written)
		})
	}
	lanes.Wait()
	seconds := time.Since(began).Seconds()
	close(errs)
	for err := range errs {
		if err != nil {
			return 0, err
		}
	}
	return float64(written.Load()) / seconds, nil
}

func lane(ctx context.Context, store eventstore.Store, id eventstore.ShardID, until time.Time, written *atomic.Int64) error {
	state, err := store.Claim(ctx, eventstore.ClaimRequest{Shard: id, Owner: "bench", Token: eventstore.Token{byte(id.Number + 1)}})
	if err != nil {
		return err
	}
	b := eventstore.Batch{Lease: state.Lease}
	for n := 0; time.Now().Before(until); n++ {
		if b.Events, err = events(b, n); err != nil {
			return err
		}
		if r := store.Append(ctx, []eventstore.Batch{b})[0]; r.Status != eventstore.Appended {
			return fmt.Errorf("append: status %d: %w", r.Status, r.Err)
		}
		written.Add(batchEvents)
		last := b.Events[batchEvents-1]
		b.Head, b.HeadHash = last.Seq, last.Hash
	}
	return nil
}

// events makes the next batch: the bank's deposits, each to another entity.
func events(b eventstore.Batch, n int) ([]eventstore.Event, error) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	out := make([]eventstore.Event, batchEvents)
	previous := b.HeadHash
	for i := range out {
		out[i] = eventstore.Event{
			Shard: b.Lease.Shard, Seq: b.Head + int64(i) + 1, Epoch: b.Lease.Epoch,
			Entity: fmt.Sprintf("bench-%d-%d", b.Lease.Shard.Number, i), Version: int64(n) + 1,
			Type: "Deposited", TypeVersion: 1, Data: json.RawMessage(`{"amount":1}`),
			Meta: eventstore.Meta{Time: now}, CommandID: fmt.Sprintf("c-%d-%d-%d", b.Lease.Shard.Number, n, i),
			Generation: 1, RecordedAt: now,
		}
		hash, err := out[i].Link(previous)
		if err != nil {
			return nil, err
		}
		out[i].Hash, previous = hash, hash
	}
	return out, nil
}

type measured struct {
	PerSecond float64          `json:"perSecond"`
	P50       float64          `json:"p50Milliseconds"`
	P99       float64          `json:"p99Milliseconds"`
	P999      float64          `json:"p999Milliseconds"`
	Errors    map[string]int64 `json:"errors"`
	// cpus is how many processors the load generator kept busy.
	cpus float64
}

// commands runs leftfold bench against leftfold dev.
func commands(ctx context.Context, o options, url string) (m measured, err error) {
	p, err := ledger.Start(ctx, os.Stderr, o.binary, "dev", "-f", o.sample, "--listen", "127.0.0.1:0", "--store", url, "--log-level", "error")
	if err != nil {
		return m, err
	}
	defer p.Kill()
	cmd := exec.CommandContext(ctx, o.binary, "bench", "--server", p.URL, "-o", "json",
		"--aggregate", "account", "--prepare", "Open owner=bench", "--command", "Deposit", "amount=1",
		"--entities", fmt.Sprint(entities), "--connections", fmt.Sprint(connections), "--duration", o.duration.String())
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return m, err
	}
	m.cpus = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds() / o.duration.Seconds()
	return m, json.Unmarshal(out, &m)
}
