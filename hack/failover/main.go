// Command failover measures what faults cost the callers of a bank on a real
// cluster of this machine, prints the distributions, and writes a page with plots.
// It ends with 1 when a promise was not kept, or anything was lost, doubled or
// answered from the past.
//
//	hack/failover.sh            needs root
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/leftfold/leftfold/hack/internal/failover"
	"github.com/leftfold/leftfold/hack/internal/stage"
)

const namespace = "failover"

type options struct {
	root, page string
	rounds     int
	faults     *regexp.Regexp
	seed       uint64
}

func main() {
	var o options
	flag.StringVar(&o.root, "root", ".", "the repository")
	flag.IntVar(&o.rounds, "rounds", 0, "how often each fault happens; 0: as often as each needs for its figures")
	run := flag.String("run", "", "only faults whose name matches this regular expression")
	flag.StringVar(&o.page, "page", "failover.html", "where the page goes")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "of the load")
	flag.Parse()
	var err error
	if o.faults, err = regexp.Compile(*run); err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		err = measure(ctx, o)
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "failover: "+err.Error())
		os.Exit(1)
	}
}

func measure(ctx context.Context, o options) (err error) {
	var faults []*failover.Fault
	for _, f := range failover.Faults() {
		if o.faults.MatchString(f.Name) {
			faults = append(faults, f)
		}
	}
	if len(faults) == 0 {
		return fmt.Errorf("no fault matches %q", o.faults)
	}
	report := &failover.Report{
		Version: version(ctx, o.root), Machine: machine(), Began: time.Now(),
		Command: fmt.Sprintf("make failover ROUNDS=%d RUN=%q SEED=%d", o.rounds, o.faults, o.seed),
	}
	s, err := stage.Raise(ctx, stage.Options{Root: o.root, Log: os.Stderr, Yielding: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close(context.WithoutCancel(ctx))) }()
	if err := s.Postgres.RecycleWAL(ctx); err != nil {
		return err
	}
	bank, err := s.ApplyBank(ctx, namespace)
	if err != nil {
		return err
	}
	if err := bank.AwaitReady(ctx, time.Minute); err != nil {
		return err
	}
	campaign := &failover.Campaign{Bank: bank, Binary: filepath.Join(o.root, "bin", "leftfold"), Log: os.Stderr, Seed: o.seed}
	var wrong []error
	for _, f := range faults {
		rounds := o.rounds
		if rounds == 0 {
			rounds = f.Rounds
		}
		fmt.Fprintf(os.Stderr, "== %s, %d times\n", f.Title, rounds)
		result, err := campaign.Run(ctx, f, rounds)
		if result.Rounds > 0 {
			report.Results = append(report.Results, result)
		}
		wrong = append(wrong, err)
		for _, broken := range result.Broke() {
			wrong = append(wrong, fmt.Errorf("%s: %s", f.Title, broken))
		}
		if ctx.Err() != nil {
			break
		}
	}
	report.Took = time.Since(report.Began).Round(time.Second)
	if _, err := bank.Kubectl(context.WithoutCancel(ctx), "delete", "namespace", namespace, "--timeout=90s"); err != nil {
		wrong = append(wrong, err)
	}
	wrong = append(wrong, report.Text(os.Stdout), write(o.page, report))
	return errors.Join(wrong...)
}

func write(name string, report *failover.Report) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := errors.Join(report.HTML(file), file.Close()); err != nil {
		return err
	}
	fmt.Println("plots in", name)
	return nil
}

func version(ctx context.Context, root string) string {
	out, err := exec.CommandContext(ctx, filepath.Join(root, "bin", "leftfold"), "--version").Output()
	if err != nil {
		return "of unknown version"
	}
	return strings.TrimPrefix(strings.TrimSpace(string(out)), "leftfold version ")
}

// machine describes this one.
func machine() string {
	model := "unknown"
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			model = strings.TrimSpace(strings.TrimLeft(name, "\t :"))
			break
		}
	}
	return fmt.Sprintf("%d processors (%s), %s/%s, %s", runtime.NumCPU(), model, runtime.GOOS, runtime.GOARCH, runtime.Version())
}
