// Command demo shows Leftfold on the bank sample: it starts the development
// server on an embedded store, uses it through the leftfold command, kills it
// hard under load, starts it again, and checks that nothing was lost.
//
//	hack/demo.sh            ends by itself
//	hack/demo.sh --serve    leaves the server running until Ctrl-C
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"

	"github.com/leftfold/leftfold/hack/internal/ledger"
	"github.com/leftfold/leftfold/hack/internal/screen"
)

// The load: enough accounts for many shards, enough connections for group
// commit to show, short enough for a demo.
const (
	accounts    = 64
	connections = 32
	loadFor     = 4 * time.Second
	settleFor   = 60 * time.Second
)

func main() {
	binary := flag.String("binary", "bin/leftfold", "the leftfold command")
	sample := flag.String("sample", "config/samples/bank", "the manifests to serve")
	serve := flag.Bool("serve", false, "leave the server running until interrupted")
	listen := flag.String("listen", "", "address to listen on (default: a free port, with --serve :8080)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	d := demo{Screen: screen.New(), binary: *binary, sample: *sample, listen: *listen, serve: *serve}
	if err := d.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "demo: "+err.Error())
		os.Exit(1)
	}
}

// demo is one run; its methods are the acts, in order.
type demo struct {
	*screen.Screen
	binary, sample, listen string
	serve                  bool

	data, log string
	server    *ledger.Process
	books     *ledger.Books
	// killed is when the server was killed, recovered when it took the next
	// command.
	killed, recovered time.Time
	restart           time.Duration
	driven            time.Duration
}

func (d *demo) run(ctx context.Context) (err error) {
	folder, err := os.MkdirTemp("", "leftfold-demo-")
	if err != nil {
		return err
	}
	d.data, d.log = filepath.Join(folder, "data"), filepath.Join(folder, "log")
	defer func() {
		if d.server != nil {
			d.server.Kill()
		}
		if err != nil {
			d.showLog()
		}
		_ = os.RemoveAll(folder)
	}()
	if d.listen == "" {
		d.listen = "127.0.0.1:0"
		if d.serve {
			d.listen = "localhost:8080"
		}
	}
	for _, act := range []func(context.Context) error{d.start, d.use, d.history, d.load, d.recover, d.check, d.stay, d.end} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) launch(ctx context.Context) error {
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	args := []string{"dev", "-f", d.sample, "--data", d.data, "--listen", d.listen}
	d.Command("leftfold", args...)
	d.server, err = ledger.Start(ctx, log, d.binary, args...)
	if err != nil {
		return err
	}
	d.Say("ready at %s after %s", d.server.URL, d.server.Ready.Round(time.Millisecond))
	d.listen = strings.TrimPrefix(d.server.URL, "http://")
	return nil
}

func (d *demo) start(ctx context.Context) error {
	d.Title("A bank, declared in two YAML files, on an embedded store")
	return d.launch(ctx)
}

// leftfold runs the client and shows what a user would see. Exit code 1 is a
// refusal, which some acts want.
func (d *demo) leftfold(ctx context.Context, wantExit int, args ...string) error {
	return d.Show(ctx, d.binary, "leftfold", wantExit, append(args, "--server", d.server.URL)...)
}

func (d *demo) use(ctx context.Context) error {
	d.Title("Commands become events; rules refuse what must not be")
	for _, words := range []string{
		"send account alice Open owner=Alice",
		"send account alice Deposit amount=10000 --id salary-may",
		"send account alice Withdraw amount=2500",
		"send account bob Open owner=Bob",
		"send account bob Deposit amount=400",
	} {
		if err := d.leftfold(ctx, 0, strings.Fields(words)...); err != nil {
			return err
		}
	}
	d.Say("the same key again changes nothing and gives the same answer:")
	if err := d.leftfold(ctx, 0, strings.Fields("send account alice Deposit amount=10000 --id salary-may")...); err != nil {
		return err
	}
	d.Say("a rule of the YAML refuses, in its own words:")
	return d.leftfold(ctx, 1, strings.Fields("send account bob Withdraw amount=1000")...)
}

func (d *demo) history(ctx context.Context) error {
	d.Title("Balances, history, and an earlier state")
	position, err := ledger.New(d.server.URL, "").End(ctx)
	if err != nil {
		return err
	}
	d.Say("projections follow within moments; --after waits until they hold what was written")
	for _, words := range []string{
		"query balances --order -balance --after " + position,
		"events account alice",
		"get account alice",
		"get account alice --version 2",
	} {
		if err := d.leftfold(ctx, 0, strings.Fields(words)...); err != nil {
			return err
		}
	}
	return nil
}

// load drives the bank and kills the server hard in the middle.
func (d *demo) load(ctx context.Context) error {
	d.Title("Load from %d connections on %d accounts, and kill -9 in the middle of it", connections, accounts)
	d.books = ledger.New(d.server.URL, "load")
	if err := d.books.Open(ctx, accounts); err != nil {
		return err
	}
	drive, cancel := context.WithCancel(ctx)
	defer cancel()
	driven := make(chan struct{})
	began := time.Now()
	go func() {
		defer close(driven)
		d.books.Drive(drive, accounts, connections, 1)
	}()
	if err := d.Watch(ctx, loadFor, func() string {
		return fmt.Sprintf("%d commands answered", d.books.Answered())
	}); err != nil {
		return err
	}
	d.driven = time.Since(began)
	d.server.Kill()
	d.killed = time.Now()
	cancel()
	<-driven
	d.Say("killed with %d commands answered, each of them durable before its answer", d.books.Answered())
	return nil
}

// recover starts the server again on the same data.
func (d *demo) recover(ctx context.Context) error {
	d.Title("Recovery")
	if err := d.launch(ctx); err != nil {
		return err
	}
	d.restart = d.server.Ready
	d.books.Enter(d.server.URL)
	d.Say("commands that were under way when it died are sent again under their keys")
	bounded, cancel := context.WithTimeout(ctx, settleFor)
	defer cancel()
	if err := d.books.Settle(bounded); err != nil {
		return err
	}
	d.recovered = time.Now()
	return nil
}

func (d *demo) check(ctx context.Context) error {
	d.Title("Nothing was lost, nothing happened twice")
	totals, err := d.books.Check(ctx)
	if err != nil {
		return errors.Join(errors.New("the books and the runtime differ"), err)
	}
	d.Say("%d accepted commands: each has its events in the log, once", totals.Accepted)
	d.Say("%d refused commands: none left an event", totals.Refused)
	d.Say("repeated keys gave the answers they gave before the kill")
	d.Say("states and the balances table equal a fold of all %d events", totals.Events)
	for _, words := range []string{"verify", "get account alice", "send account alice Deposit amount=10000 --id salary-may"} {
		if err := d.leftfold(ctx, 0, strings.Fields(words)...); err != nil {
			return err
		}
	}
	d.Title("Measured on this machine, load generator included")
	waits := d.books.Waits()
	sort.Slice(waits, func(i, j int) bool { return waits[i] < waits[j] })
	at := func(share float64) time.Duration {
		return waits[int(share*float64(len(waits)-1))].Round(10 * time.Microsecond)
	}
	d.Say("%-34s %.0f per second", "durable commands", float64(len(waits))/d.driven.Seconds())
	d.Say("%-34s p50 %s, p99 %s", "latency", at(0.5), at(0.99))
	d.Say("%-34s %s", "start on existing data", d.restart.Round(time.Millisecond))
	d.Say("%-34s %s", "from the kill to all settled", d.recovered.Sub(d.killed).Round(time.Millisecond))
	return nil
}

// stay leaves the server running when asked to.
func (d *demo) stay(ctx context.Context) error {
	if !d.serve {
		return nil
	}
	d.Title("Serving at %s until Ctrl-C", d.server.URL)
	d.Say("try: bin/leftfold send account carol Open owner=Carol")
	d.Say("     bin/leftfold events account --follow")
	select {
	case <-ctx.Done():
		return nil
	case <-d.server.Gone():
		return errors.New("the server ended by itself")
	}
}

func (d *demo) end(context.Context) error {
	code := d.server.Stop()
	d.server = nil
	if code != 0 {
		return fmt.Errorf("the server ended with exit code %d after SIGTERM", code)
	}
	d.Say("stopped in good order")
	return nil
}

// showLog prints the end of the server's log after a failure.
func (d *demo) showLog() {
	data, err := os.ReadFile(d.log)
	if err != nil {
		return
	}
	const most = 4000
	if len(data) > most {
		data = data[len(data)-most:]
	}
	fmt.Fprintf(os.Stderr, "the server's log ended with:\n%s\n", data)
}
