// Command bench measures, in one run on private stores, the statement that
// everything rests on (one append of a batch of events, through the store alone),
// commands in process (the shard host, no HTTP), commands over HTTP against leftfold
// dev on the same store, and what a long log costs. It prints ratios and whether
// they are as wanted. Figures of one machine mean little; ratios of one run travel.
//
//	hack/bench.sh            DURATION=10s by default; STORE and RUN pick parts
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
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
	var o options
	flag.StringVar(&o.binary, "binary", "bin/leftfold", "the leftfold command")
	flag.StringVar(&o.sample, "sample", "config/samples/bank", "the manifests to serve")
	flag.DurationVar(&o.duration, "duration", 10*time.Second, "how long each part takes")
	flag.StringVar(&o.stores, "store", "postgres,sqlite", "the stores to measure on")
	flag.StringVar(&o.parts, "run", "process,http,hot,history", "the parts beside the ceiling")
	flag.StringVar(&o.profile, "profile", "", "write CPU profiles here: FILE.process of commands in process, FILE.replay of the replay")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench: "+err.Error())
		os.Exit(1)
	}
}

type options struct {
	binary, sample, stores, parts, profile string
	duration                               time.Duration
}

func (o options) measures(part string) bool {
	return slices.Contains(strings.Split(o.parts, ","), part)
}

// warmUp is how long load runs before it is measured: caches fill, feeds and
// connection pools grow, PostgreSQL extends its files.
func (o options) warmUp() time.Duration { return o.duration / 4 }

// profiled runs f, under a CPU profile if one was asked for.
func (o options) profiled(part string, f func() error) error {
	if o.profile == "" {
		return f()
	}
	file, err := os.Create(o.profile + "." + part)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	if err := pprof.StartCPUProfile(file); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	return f()
}

func run(ctx context.Context, o options) error {
	loadavg, _ := os.ReadFile("/proc/loadavg")
	note("%s, %d CPUs, load generator, Leftfold and store together; load before: %s",
		runtime.Version(), runtime.NumCPU(), strings.TrimSpace(string(loadavg)))
	for kind := range strings.SplitSeq(o.stores, ",") {
		if kinds[kind] == nil {
			return fmt.Errorf("there is no store %q", kind)
		}
		fmt.Printf("\n%-42s %9s %7s %7s\n", kind, "", "ratio", "wanted")
		var ceiling float64
		err := within(kind, func(p place) (err error) {
			ceiling, err = commands(ctx, o, p)
			return err
		})
		if err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		if o.measures("hot") {
			err := within(kind, func(p place) error {
				err := p.using(ctx, func(store eventstore.Store) error { return hotInProcess(ctx, store, o) })
				if err != nil {
					return err
				}
				return hot(ctx, o, p)
			})
			if err != nil {
				return fmt.Errorf("%s: a hot entity: %w", kind, err)
			}
		}
		if o.measures("history") {
			if err := history(ctx, o, kind, ceiling); err != nil {
				return fmt.Errorf("%s: history: %w", kind, err)
			}
		}
	}
	return nil
}

// commands measures the ceiling before and after the rest, which is compared
// with their mean.
func commands(ctx context.Context, o options, p place) (ceiling float64, err error) {
	if !o.measures("process") && !o.measures("http") && !o.measures("history") {
		return 0, nil
	}
	var before, after, inside float64
	var alone time.Duration
	err = p.using(ctx, func(store eventstore.Store) (err error) {
		if _, err = appends(ctx, store, "warm-up", o.warmUp()); err != nil {
			return err
		}
		if before, err = appends(ctx, store, "before", o.duration); err != nil {
			return err
		}
		if alone, err = oneAppend(ctx, store, o.duration/2); err != nil {
			return err
		}
		if o.measures("process") {
			if inside, err = inProcess(ctx, store, o); err != nil {
				return fmt.Errorf("in process: %w", err)
			}
		}
		after, err = appends(ctx, store, "after", o.duration)
		return err
	})
	if err != nil {
		return 0, err
	}
	ceiling = (before + after) / 2
	fmt.Printf("%-42s %9.0f\n", fmt.Sprintf("append, %d events, %d at once, events/s", batchEvents, statements), ceiling)
	note("  %.0f before and %.0f after the part in process", before, after)
	if o.measures("process") {
		ratio(fmt.Sprintf("in process, %d callers, commands/s", callers), inside, ceiling, 0.5)
	}
	if o.measures("http") {
		if err := overHTTP(ctx, o, p, ceiling, alone); err != nil {
			return 0, fmt.Errorf("HTTP: %w", err)
		}
	}
	return ceiling, nil
}

func ratio(name string, rate, ceiling, wanted float64) {
	fmt.Printf("%-42s %9.0f %7.3f %7.3f  %s\n", name, rate, rate/ceiling, wanted, verdict(rate/ceiling >= wanted))
}

func atMost(name string, figure, limit float64) {
	fmt.Printf("%-42s %9.2f %7s %7.1f  %s\n", name, figure, "", limit, verdict(figure <= limit))
}

func note(format string, args ...any) { fmt.Printf(format+"\n", args...) }

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "not met"
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1000 }
