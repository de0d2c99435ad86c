package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
)

// bench is one measurement. Without a rate it is a closed loop: each connection
// sends its next command when the last one is answered, so it cannot see how long
// a command would have waited had it come at its own time, and latencies under
// overload look better than users would find them. With a rate it is an open one.
type bench struct {
	connection
	aggregate, command, prepare string
	entities, connections       int
	duration                    time.Duration
	rate                        float64
}

// measured is the result, in the form of -o json.
type measured struct {
	Command     string           `json:"command"`
	Entities    int              `json:"entities"`
	Connections int              `json:"connections"`
	Seconds     float64          `json:"seconds"`
	Commands    int              `json:"commands"`
	PerSecond   float64          `json:"perSecond"`
	P50         float64          `json:"p50Milliseconds"`
	P99         float64          `json:"p99Milliseconds"`
	P999        float64          `json:"p999Milliseconds"`
	Max         float64          `json:"maxMilliseconds"`
	Errors      map[string]int64 `json:"errors"`
}

func newBench() *cobra.Command {
	var b bench
	cmd := &cobra.Command{
		Use:   "bench --aggregate A --command C [field=value]...",
		Short: "Measure commands per second and latency",
		Long: `Send one command to many entities over some connections for some time, and print
throughput, latency percentiles and errors.

Without --rate each connection sends its next command when the last one is
answered. With --rate commands are due at times fixed in advance, and a latency
counts from when the command was due, also if no connection was free then.`,
		Example: "  leftfold bench --aggregate account --prepare 'Open owner=bench' --command Deposit amount=1",
		RunE: running(func(cmd *cobra.Command, args []string) error {
			result, err := b.run(cmd.Context(), args)
			if err != nil {
				return err
			}
			answer, err := json.Marshal(result)
			if err != nil {
				return err
			}
			if err := b.print(cmd.OutOrStdout(), answer, func(w io.Writer) error { return writeMeasured(w, result) }); err != nil {
				return err
			}
			if result.Commands == 0 {
				return errors.New("no command succeeded: there is nothing measured")
			}
			return nil
		}),
	}
	b.flags(cmd)
	cmd.Flags().StringVar(&b.aggregate, "aggregate", "", "the aggregate")
	cmd.Flags().StringVar(&b.command, "command", "", "the command; its fields are the arguments")
	cmd.Flags().StringVar(&b.prepare, "prepare", "", "a command with its fields that each entity gets first, unmeasured")
	cmd.Flags().IntVar(&b.entities, "entities", 1000, "how many entities are sent to, in turn")
	cmd.Flags().IntVar(&b.connections, "connections", 32, "how many commands are under way at once")
	cmd.Flags().DurationVar(&b.duration, "duration", 10*time.Second, "how long")
	cmd.Flags().Float64Var(&b.rate, "rate", 0, "commands a second, due at fixed times; 0: each connection as fast as it is answered")
	for _, name := range []string{"aggregate", "command"} {
		_ = cmd.MarkFlagRequired(name)
	}
	return cmd
}

func writeMeasured(w io.Writer, m measured) error {
	if err := writeTable(w, []string{"COMMANDS", "PER SECOND", "P50 MS", "P99 MS", "P99.9 MS", "MAX MS"}, [][]string{{
		fmt.Sprint(m.Commands), fmt.Sprintf("%.0f", m.PerSecond),
		fmt.Sprintf("%.2f", m.P50), fmt.Sprintf("%.2f", m.P99), fmt.Sprintf("%.2f", m.P999), fmt.Sprintf("%.2f", m.Max),
	}}); err != nil {
		return err
	}
	for reason, n := range m.Errors {
		_, _ = fmt.Fprintf(w, "errors: %s %d\n", reason, n)
	}
	return nil
}

func (b *bench) run(ctx context.Context, fields []string) (measured, error) {
	if b.entities < 1 || b.connections < 1 || b.duration <= 0 || b.rate < 0 {
		return measured{}, wrongUse("--entities, --connections and --duration must be positive, --rate must not be negative")
	}
	client := b.client()
	body, err := client.body(ctx, b.aggregate, b.command, fields)
	if err != nil {
		return measured{}, err
	}
	entities := make([]string, b.entities)
	run := fmt.Sprintf("bench-%d", time.Now().UnixNano())
	for i := range entities {
		entities[i] = fmt.Sprintf("%s-%d", run, i)
	}
	if err := b.prepareAll(ctx, client, entities); err != nil {
		return measured{}, err
	}
	return b.measure(ctx, client, entities, body)
}

// prepareAll sends the first command to every entity.
func (b *bench) prepareAll(ctx context.Context, client *client, entities []string) error {
	words := strings.Fields(b.prepare)
	if len(words) == 0 {
		return nil
	}
	body, err := client.body(ctx, b.aggregate, words[0], words[1:])
	if err != nil {
		return err
	}
	var next atomic.Int64
	var failure atomic.Pointer[error]
	b.each(func() {
		for i := next.Add(1) - 1; i < int64(len(entities)) && failure.Load() == nil; i = next.Add(1) - 1 {
			if err := client.post(ctx, aggregatePath(b.aggregate, entities[i], words[0]), body); err != nil {
				failure.Store(&err)
			}
		}
	})
	if err := failure.Load(); err != nil {
		return fmt.Errorf("prepare: %w", *err)
	}
	return nil
}

// each runs f once a connection and waits for all.
func (b *bench) each(f func()) {
	var wg sync.WaitGroup
	for range b.connections {
		wg.Go(f)
	}
	wg.Wait()
}

// measure sends commands until the time is over. With a rate, command n is due
// at start + n/rate whatever became of those before it, and its latency counts
// from then: a server that stalls is charged for all who came meanwhile.
func (b *bench) measure(ctx context.Context, client *client, entities []string, body []byte) (measured, error) {
	server, err := url.Parse(client.server)
	if err != nil {
		return measured{}, err
	}
	paths := make([]string, len(entities))
	for i, entity := range entities {
		paths[i] = aggregatePath(b.aggregate, entity, b.command)
	}
	var (
		mu        sync.Mutex
		latencies []time.Duration
		failures  = map[string]int64{}
		next      atomic.Int64
	)
	start := time.Now()
	until := start.Add(b.duration)
	b.each(func() {
		var own []time.Duration
		ownFailures := map[string]int64{}
		w := wire{server: server}
		defer w.close()
		for ctx.Err() == nil {
			n := next.Add(1) - 1
			due := time.Now()
			if b.rate > 0 {
				due = start.Add(time.Duration(float64(n) / b.rate * float64(time.Second)))
			}
			if !due.Before(until) || !waitUntil(ctx, due) {
				break
			}
			if err := w.post(ctx, paths[int(n)%len(paths)], body); err != nil {
				ownFailures[reasonOf(err)]++
				continue
			}
			own = append(own, time.Since(due))
		}
		mu.Lock()
		defer mu.Unlock()
		latencies = append(latencies, own...)
		for reason, n := range ownFailures {
			failures[reason] += n
		}
	})
	seconds := time.Since(start).Seconds()
	sort.Slice(latencies, func(i, j int) bool { return latencies[i] < latencies[j] })
	at := func(share float64) float64 {
		if len(latencies) == 0 {
			return 0
		}
		return latencies[min(int(share*float64(len(latencies))), len(latencies)-1)].Seconds() * 1000
	}
	return measured{
		Command: b.aggregate + "/" + b.command, Entities: len(entities), Connections: b.connections,
		Seconds: seconds, Commands: len(latencies), PerSecond: float64(len(latencies)) / seconds,
		P50: at(0.5), P99: at(0.99), P999: at(0.999), Max: at(1), Errors: failures,
	}, ctx.Err()
}

// waitUntil tells whether the context lasted until then.
func waitUntil(ctx context.Context, due time.Time) bool {
	left := time.Until(due)
	if left <= 0 {
		return true
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func reasonOf(err error) string {
	var p *problemError
	if errors.As(err, &p) {
		return p.Reason
	}
	return "connection"
}

// post sends a command and reads the answer away, so that the connection serves
// the next one.
func (c *client) post(ctx context.Context, path string, body []byte) error {
	response, err := c.open(ctx, http.MethodPost, path, nil, nil, body)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, response.Body)
	return errors.Join(err, response.Body.Close())
}
