// Package ledger drives the bank sample over HTTP as a careful client would, and
// keeps its own books: which commands it sent under which keys, and what it was
// answered. After any accident it settles what was left without an answer and
// compares its books with everything that the runtime tells: repeated answers,
// the event stream, states and the projection.
//
// It knows the HTTP API only, and trusts none of it.
package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// Operation is one command under a key of its own.
type Operation struct {
	Key     string
	Account string
	Command string
	Body    string
	// IfMatch is the version that the account must have, 0: any.
	IfMatch int64
}

// Answer is what the runtime said. Two answers to one key must be equal.
type Answer struct {
	Status  int
	Version int64
	Reason  string
	Detail  string
	Events  int
}

// Books is the client and its memory. Its methods are safe for concurrent use.
type Books struct {
	http *http.Client
	run  string

	mu       sync.Mutex
	doors    []string
	turn     int
	answered map[string]entry
	open     map[string]Operation
	waits    []time.Duration
	failures []Failure
	count    int
	// latest is the highest version of each account that was acknowledged.
	latest      map[string]Acknowledged
	observe     func(Call)
	conditional int
	rest        time.Duration
}

// Failure is a call that did not settle its command: the door could not be
// reached, went away, or answered 429, 503 or 504. The command stays open.
type Failure struct {
	At     time.Time
	Door   string
	Key    string
	Status int // 0: there was no answer
	Reason string
	Err    error
}

func (f Failure) String() string {
	if f.Err != nil {
		return fmt.Sprintf("%s at %s: %v", f.Key, f.Door, f.Err)
	}
	return fmt.Sprintf("%s at %s: %d %s", f.Key, f.Door, f.Status, f.Reason)
}

type entry struct {
	Operation
	Answer
}

// New makes empty books for the runtime at server. The run's name goes into all
// keys and accounts, so that runs on one store do not meet.
func New(server, run string) *Books {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 256
	return &Books{
		doors: []string{server}, run: run,
		http:     &http.Client{Transport: transport, Timeout: 15 * time.Second},
		answered: map[string]entry{}, open: map[string]Operation{}, latest: map[string]Acknowledged{},
	}
}

// Enter points the books at other addresses of the same runtime: calls go to
// them in turn.
func (b *Books) Enter(doors ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.doors = doors
	b.http.CloseIdleConnections()
}

func (b *Books) door() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turn++
	return b.doors[b.turn%len(b.doors)]
}

// Failures gives what failed so far, in order.
func (b *Books) Failures() []Failure {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Failure(nil), b.failures...)
}

// Answered is how many commands have been answered, and Waits how long each took.
func (b *Books) Answered() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.answered)
}

// Waits gives the latencies of all answered commands, in no order.
func (b *Books) Waits() []time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]time.Duration(nil), b.waits...)
}

// Account names an account of this run.
func (b *Books) Account(i int) string { return fmt.Sprintf("%s-%d", b.run, i) }

// End is the position of all that is committed now.
func (b *Books) End(ctx context.Context) (string, error) {
	var page struct{ Position string }
	err := b.get(ctx, "/v1/events/account", url.Values{"after": {"end"}}, &page)
	return page.Position, err
}

// Open opens n accounts, and must not fail.
func (b *Books) Open(ctx context.Context, n int) error {
	for i := range n {
		op := b.next(b.Account(i), "Open", `{"owner":"bench"}`)
		a, err := b.send(ctx, op)
		if err != nil {
			return err
		}
		if a.Status != http.StatusOK {
			return fmt.Errorf("open %s: %d %s %s", op.Account, a.Status, a.Reason, a.Detail)
		}
	}
	return nil
}

func (b *Books) next(account, command, body string) Operation {
	return b.enter(Operation{Account: account, Command: command, Body: body})
}

// enter gives an operation its key and notes that it is without an answer.
func (b *Books) enter(op Operation) Operation {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count++
	op.Key = fmt.Sprintf("%s-key-%d", b.run, b.count)
	b.open[op.Key] = op
	return op
}

// Drive sends deposits and withdrawals to n accounts over some connections until
// ctx ends. A command without an answer stays open: see Settle.
func (b *Books) Drive(ctx context.Context, n, connections int, seed uint64) {
	var wg sync.WaitGroup
	for c := range connections {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(c)))
			for ctx.Err() == nil {
				rest := b.rest
				if _, err := b.send(ctx, b.random(random, n)); err != nil {
					rest = max(rest, 20*time.Millisecond) // the runtime is gone or going
				}
				if rest > 0 {
					select {
					case <-ctx.Done():
					case <-time.After(rest):
					}
				}
			}
		})
	}
	wg.Wait()
}

func (b *Books) random(r *rand.Rand, n int) Operation {
	op := Operation{Account: b.Account(r.IntN(n)), Command: "Deposit"}
	if r.IntN(3) == 0 {
		op.Command, op.Body = "Withdraw", fmt.Sprintf(`{"amount":%d,"channel":"online"}`, 1+r.IntN(500))
	} else {
		op.Body = fmt.Sprintf(`{"amount":%d}`, 1+r.IntN(100))
	}
	if b.conditional > 0 && r.IntN(b.conditional) == 0 {
		op.IfMatch = b.Latest(op.Account).Version
	}
	return b.enter(op)
}

// Settle sends every command without an answer again under its key, until each
// has one.
func (b *Books) Settle(ctx context.Context) error {
	for {
		b.mu.Lock()
		open := make([]Operation, 0, len(b.open))
		for _, op := range b.open {
			open = append(open, op)
		}
		b.mu.Unlock()
		if len(open) == 0 {
			return nil
		}
		failed := concurrently(open, func(op Operation) error {
			_, err := b.send(ctx, op)
			return err
		})
		if len(failed) == 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d commands still without an answer: %w", len(failed), failed[0])
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// send sends an operation and enters its answer. An error means that there is no
// answer that settles it: no connection, or one of 429, 503, 504.
func (b *Books) send(ctx context.Context, op Operation) (Answer, error) {
	return b.sendBy(ctx, b.door(), op)
}

func (b *Books) sendBy(ctx context.Context, door string, op Operation) (Answer, error) {
	began := time.Now()
	var sent atomic.Int64
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Add(1) }})
	a, position, _, err := b.call(traced, door, op)
	if b.observe != nil {
		b.observe(Call{Operation: op, Answer: a, Err: err, Sent: int(sent.Load()), Began: began, Ended: time.Now()})
	}
	failure := Failure{At: time.Now(), Door: door, Key: op.Key, Status: a.Status, Reason: a.Reason, Err: err}
	switch {
	case err != nil && ctx.Err() != nil:
		return a, err // the caller left
	case err != nil, a.Status == http.StatusTooManyRequests, a.Status == http.StatusServiceUnavailable, a.Status == http.StatusGatewayTimeout:
		b.mu.Lock()
		b.failures = append(b.failures, failure)
		b.mu.Unlock()
		return a, errors.New(failure.String())
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.open, op.Key)
	b.answered[op.Key] = entry{op, a}
	b.waits = append(b.waits, time.Since(began))
	if position != "" && a.Version > b.latest[op.Account].Version {
		b.latest[op.Account] = Acknowledged{Version: a.Version, Position: position}
	}
	return a, nil
}

// call sends an operation and reads the answer; replay tells its header.
func (b *Books) call(ctx context.Context, door string, op Operation) (a Answer, position string, replay bool, err error) {
	target := door + "/v1/aggregates/account/" + url.PathEscape(op.Account) + "/" + op.Command
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewBufferString(op.Body))
	if err != nil {
		return a, "", false, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", op.Key)
	if op.IfMatch > 0 {
		request.Header.Set("If-Match", fmt.Sprintf("%q", fmt.Sprint(op.IfMatch)))
	}
	response, err := b.http.Do(request)
	if err != nil {
		return a, "", false, err
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(response.Body, 4<<20))
	if err != nil {
		return a, "", false, err
	}
	var body struct {
		Version        int64
		Reason, Detail string
		Position       string
		Events         []json.RawMessage
	}
	if err := json.Unmarshal(data, &body); err != nil {
		return a, "", false, fmt.Errorf("%s: not JSON: %w", op.Key, err)
	}
	a = Answer{Status: response.StatusCode, Version: body.Version, Reason: body.Reason, Detail: body.Detail, Events: len(body.Events)}
	return a, body.Position, response.Header.Get("Idempotent-Replay") == "true", nil
}

func (b *Books) get(ctx context.Context, path string, query url.Values, out any) error {
	target := b.door() + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return err
	}
	response, err := b.http.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s: %s", path, response.Status, data)
	}
	return json.Unmarshal(data, out)
}
