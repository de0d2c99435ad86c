// Command democluster shows Leftfold on a real Kubernetes cluster of this machine:
// it starts the cluster, installs the operator, applies the bank sample on a
// PostgreSQL outside of the cluster, drives load, kills a pod's process, cuts a
// node off, checks that nothing was lost, and takes everything down again.
//
//	hack/demo-cluster.sh            needs root
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/leftfold/leftfold/hack/internal/ledger"
	"github.com/leftfold/leftfold/hack/internal/screen"
	"github.com/leftfold/leftfold/hack/internal/stage"
)

const (
	namespace   = "demo"
	accounts    = 64
	connections = 8
	// loadFor is how long the load runs before each damage, and after the last.
	loadFor = 4 * time.Second
	// cutFor is how long the node stays cut off: longer than any heartbeat
	// timeout, shorter than Kubernetes takes to notice.
	cutFor    = 8 * time.Second
	settleFor = 60 * time.Second
)

func main() {
	root := flag.String("root", ".", "the repository")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	d := &demo{Screen: screen.New(), root: *root}
	err := d.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo: "+err.Error())
		os.Exit(1)
	}
}

// demo is one run; its methods are the acts, in order.
type demo struct {
	*screen.Screen
	root    string
	began   time.Time
	stage   *stage.Stage
	bank    *stage.Bank
	service string
	books   *ledger.Books
	pulse   *ledger.Pulse
	pauses  []string
	// cut is when the node was cut off. From then on an answer that came by the
	// Service may be of its pod, which could not do what it was asked.
	cut time.Time
}

func (d *demo) run(ctx context.Context) (err error) {
	d.began = time.Now()
	defer func() { err = errors.Join(err, d.clean(context.WithoutCancel(ctx))) }()
	for _, act := range []func(context.Context) error{d.raise, d.apply, d.damage, d.check} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Write shows what is being done below, a line at a time.
func (d *demo) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		d.Say("%s", bytes.TrimRight(line, "\n"))
	}
	return len(p), nil
}

func (d *demo) raise(ctx context.Context) (err error) {
	d.Title("A Kubernetes cluster with three nodes, and the operator from its chart")
	d.stage, err = stage.Raise(ctx, stage.Options{Root: d.root, Nodes: 3, Log: d})
	if err != nil {
		return err
	}
	return d.kubectl(ctx, "get", "nodes")
}

// kubectl runs kubectl and shows command and output as a user sees them.
func (d *demo) kubectl(ctx context.Context, args ...string) error {
	d.Command("kubectl", args...)
	out, err := d.stage.Kubectl(ctx, args...)
	if err != nil {
		return err
	}
	for line := range strings.Lines(out) {
		d.Say("%s", strings.TrimRight(line, "\n"))
	}
	return nil
}

func (d *demo) apply(ctx context.Context) (err error) {
	d.Title("A bank of three pods, declared in YAML, on PostgreSQL outside of the cluster")
	d.Command("kubectl", "apply", "-k", "config/samples/bank")
	began := time.Now()
	if d.bank, err = d.stage.ApplyBank(ctx, namespace); err != nil {
		return err
	}
	if err := d.bank.AwaitReady(ctx, time.Minute); err != nil {
		return err
	}
	d.Say("everything Ready after %s", time.Since(began).Round(10*time.Millisecond))
	if err := d.kubectl(ctx, "get", "leftfold", "-n", namespace); err != nil {
		return err
	}
	if d.service, err = d.bank.ServiceURL(ctx); err != nil {
		return err
	}
	for _, words := range []string{
		"send account alice Open owner=Alice",
		"send account alice Deposit amount=10000 --id salary-may",
		"send account alice Withdraw amount=2500",
		"get account alice",
	} {
		if err := d.Show(ctx, "bin/leftfold", "leftfold", 0, append(strings.Fields(words), "--server", d.service)...); err != nil {
			return err
		}
	}
	return nil
}

// damage drives load and does the two damages in the middle of it.
func (d *demo) damage(ctx context.Context) error {
	d.Title("Load from %d connections on %d accounts, through the Service", connections, accounts)
	d.books = ledger.New(d.service, "load")
	if err := d.books.Open(ctx, accounts); err != nil {
		return err
	}
	var err error
	if d.pulse, err = d.books.Shards(ctx); err != nil {
		return err
	}
	drive, cancel := context.WithCancel(ctx)
	var driven sync.WaitGroup
	driven.Go(func() { d.books.Drive(drive, accounts, connections, 1) })
	driven.Go(func() { d.pulse.Beat(drive) })
	err = d.damages(ctx)
	cancel()
	driven.Wait()
	return err
}

func (d *demo) damages(ctx context.Context) error {
	if err := d.load(ctx, loadFor); err != nil {
		return err
	}
	victim, err := d.victim(ctx, func(stage.Pod) bool { return true })
	if err != nil {
		return err
	}
	d.Title("kill -9 of the runtime in pod %s", victim.Name)
	if err := d.pulseBeside(ctx, victim); err != nil {
		return err
	}
	at, err := d.bank.Kill(ctx, victim)
	if err != nil {
		return err
	}
	if err := d.recovered(ctx, "kill -9 of a pod's process", at); err != nil {
		return err
	}
	// Node 1 holds the control plane; another is cut off, as by a pulled cable.
	first := d.stage.Cluster.Nodes()[0].Name
	if victim, err = d.victim(ctx, func(p stage.Pod) bool { return p.Node != first }); err != nil {
		return err
	}
	d.Title("Node %s is cut off from the network", victim.Node)
	if err := d.pulseBeside(ctx, victim); err != nil {
		return err
	}
	at = time.Now()
	d.cut = at
	if err := d.stage.Cluster.Cut(ctx, victim.Node); err != nil {
		return err
	}
	err = d.recovered(ctx, "a node cut off", at)
	if err == nil {
		err = d.load(ctx, cutFor-time.Since(at))
	}
	d.Say("and back again: its pod learns that it lost its shards, and rejoins")
	return errors.Join(err, d.stage.Cluster.Heal(ctx, victim.Node), d.load(ctx, loadFor))
}

// victim is the pod with the most shards among those that will do.
func (d *demo) victim(ctx context.Context, will func(stage.Pod) bool) (stage.Pod, error) {
	pods, err := d.bank.Pods(ctx)
	if err != nil {
		return stage.Pod{}, err
	}
	owners, err := d.bank.Owners(ctx)
	if err != nil {
		return stage.Pod{}, err
	}
	shards := map[string]int{}
	for _, pod := range owners {
		shards[pod]++
	}
	pods = slices.DeleteFunc(pods, func(p stage.Pod) bool { return !p.Ready || shards[p.Name] == 0 || !will(p) })
	if len(pods) == 0 {
		return stage.Pod{}, fmt.Errorf("no pod will do; shards are on %v", shards)
	}
	best := slices.MaxFunc(pods, func(a, b stage.Pod) int { return shards[a.Name] - shards[b.Name] })
	d.Say("it owns %d of %d shards", shards[best.Name], len(owners))
	return best, nil
}

// pulseBeside measures through the pods of other nodes: what enters by the victim
// waits for its own connection.
func (d *demo) pulseBeside(ctx context.Context, victim stage.Pod) error {
	pods, err := d.bank.Pods(ctx)
	if err != nil {
		return err
	}
	var doors []string
	for _, p := range pods {
		if p.Ready && p.Node != victim.Node {
			doors = append(doors, p.URL())
		}
	}
	d.pulse.Enter(doors...)
	// What is under way by other doors ends first: at the victim it would wait for
	// its caller's patience.
	return d.load(ctx, time.Second)
}

func (d *demo) load(ctx context.Context, length time.Duration) error {
	return d.Watch(ctx, length, func() string { return fmt.Sprintf("%d commands answered", d.books.Answered()) })
}

// recovered waits until every shard takes writes again, and keeps how long that
// took.
func (d *demo) recovered(ctx context.Context, what string, at time.Time) error {
	if err := d.load(ctx, loadFor); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, settleFor)
	defer cancel()
	for {
		gaps, err := d.pulse.Gaps(at)
		if err == nil {
			worst := slices.MaxFunc(gaps, func(a, b ledger.Gap) int { return int(a.Took - b.Took) })
			d.pauses = append(d.pauses, fmt.Sprintf("%-34s %s", what+", longest pause", worst.Took.Round(time.Millisecond)))
			d.Say("every shard takes writes; the longest pause of one was %s", worst.Took.Round(time.Millisecond))
			return d.kubectl(ctx, "get", "events", "-n", namespace, "--field-selector", "involvedObject.kind=Runtime", "-o", "custom-columns=REASON:.reason,MESSAGE:.message")
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (d *demo) check(ctx context.Context) error {
	d.Title("Nothing was lost, nothing happened twice")
	bounded, cancel := context.WithTimeout(ctx, settleFor)
	defer cancel()
	if err := d.books.Settle(bounded); err != nil {
		return err
	}
	totals, err := d.books.Check(bounded)
	if err != nil {
		return errors.Join(errors.New("the books and the runtime differ"), err)
	}
	d.Say("%d accepted commands: each has its events in the log, once", totals.Accepted)
	d.Say("%d refused commands: none left an event", totals.Refused)
	d.Say("states and the balances table equal a fold of all %d events", totals.Events)
	if err := d.Show(ctx, "bin/leftfold", "leftfold", 0, "verify", "--server", d.service); err != nil {
		return err
	}
	refused, cutOff := 0, 0
	for _, f := range d.books.Failures() {
		switch {
		case f.Err == nil && f.At.Before(d.cut):
			refused++
		case f.Err == nil:
			cutOff++
		}
	}
	d.Title("Measured on this machine, cluster, database and load generator included")
	for _, line := range d.pauses {
		d.Say("%s", line)
	}
	d.Say("%-34s %d of %d", "commands that living pods refused", refused, d.books.Answered())
	d.Say("%-34s %d, each settled under its key", "refused after the node was cut off", cutOff)
	d.Say("%-34s %s", "the whole demo", time.Since(d.began).Round(time.Second))
	if refused > 0 {
		return fmt.Errorf("living pods refused %d commands", refused)
	}
	return nil
}

func (d *demo) clean(ctx context.Context) error {
	if d.stage == nil {
		return nil
	}
	d.Title("Cleaning up")
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	var err error
	if d.bank != nil {
		_, err = d.stage.Kubectl(ctx, "delete", "namespace", namespace, "--timeout=90s")
	}
	return errors.Join(err, d.stage.Close(ctx))
}
