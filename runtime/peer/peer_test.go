package peer

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leftfold/leftfold/api/identity"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/routing"
	"github.com/leftfold/leftfold/runtime/shard"
)

func TestACallComesBackWithTheOwnersAnswer(t *testing.T) {
	ca := newAuthority(t)
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	id := eventstore.ShardID{Aggregate: 3, Number: 4}
	command := shard.Command{Entity: "alice", Name: "Deposit", Body: []byte(`{"amount":1}`), ID: "k", Keyed: true}
	want := shard.Answer{Entity: "alice", Version: 2, Shard: id, Seq: 9, Events: []eventstore.Event{{
		Shard: id, Entity: "alice", Seq: 9, Version: 2, Type: "Deposited", TypeVersion: 1, Data: []byte(`{"amount":1}`),
		Meta: eventstore.Meta{Time: at}, CommandID: "k",
	}}}
	view := shard.View{Entity: "alice", Version: 2, Time: at, State: []byte(`{"balance":1}`)}
	_, address := serve(t, ca, "127.0.0.1:0", answering{
		handle: func(ctx context.Context, aggregate string, c shard.Command) (shard.Answer, error) {
			if diff := cmp.Diff(command, c); aggregate != "account" || diff != "" {
				t.Errorf("%s was asked for something else:\n%s", aggregate, diff)
			}
			if until, ok := ctx.Deadline(); !ok || time.Until(until) > time.Minute {
				t.Error("the caller's time did not travel with the command")
			}
			return want, nil
		},
		read: func(_ context.Context, aggregate, entity string, strong bool) (shard.View, error) {
			if aggregate != "account" || entity != "alice" || !strong {
				t.Errorf("asked for %s %s, strong %t", aggregate, entity, strong)
			}
			return view, nil
		},
	})
	owner := pool(t, ca, nil).Owner(address)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got, err := owner.Handle(ctx, "account", command)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("answered otherwise: %v\n%s", err, diff)
	}
	seen, err := owner.Read(ctx, "account", "alice", true)
	if diff := cmp.Diff(view, seen); err != nil || diff != "" {
		t.Errorf("seen otherwise: %v\n%s", err, diff)
	}
}

func TestWhatAnAttemptCameToIsToldTruly(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	rejected := &problem.Problem{Reason: "InsufficientFunds", Rejected: true, Detail: "balance 1, needed 2", Replay: true}
	failing := func(err error) Local {
		return answering{handle: func(context.Context, string, shard.Command) (shard.Answer, error) { return shard.Answer{}, err }}
	}
	address := func(ca *identity.Authority, l Local) string {
		_, at := serve(t, ca, "127.0.0.1:0", l)
		return at
	}
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = nobody.Close()
	for name, tt := range map[string]struct {
		address string
		change  func(*Config)
		want    error
	}{
		"a rejection is the author's":                   {address: address(ca, failing(rejected)), want: rejected},
		"a failure without words is Internal":           {address: address(ca, failing(errors.New("disk on fire"))), want: problem.From(errors.New("any"))},
		"a refusal for the owner's sake has a hint":     {address: address(ca, failing(&routing.NotOwnerError{Hint: routing.Remote{Epoch: 7, Address: "b:1"}})), want: shard.ErrNotOwner},
		"the shard's own refusal is one, too":           {address: address(ca, failing(shard.ErrNotOwner)), want: shard.ErrNotOwner},
		"an ended context over there is no answer":      {address: address(ca, failing(context.Canceled)), want: routing.ErrLost},
		"a refused connection carried nothing":          {address: nobody.Addr().String(), want: routing.ErrUnreachable},
		"a pod of another authority gets nothing":       {address: address(other, failing(nil)), want: routing.ErrUnreachable},
		"a pod of another Runtime gets nothing":         {address: address(ca, failing(nil)), change: func(c *Config) { c.ServerName = identity.RuntimeName("shop", "stock") }, want: routing.ErrUnreachable},
		"who is no pod of the Runtime is given nothing": {address: address(ca, failing(nil)), change: func(c *Config) { c.Identity = source(t, ca, identity.OperatorName) }, want: routing.ErrUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			_, err := pool(t, ca, tt.change).Owner(tt.address).Handle(ctx, "account", shard.Command{Entity: "a", ID: "k"})
			var want, got *problem.Problem
			if errors.As(tt.want, &want) {
				if !errors.As(err, &got) || cmp.Diff(want, got) != "" {
					t.Errorf("told %v, want %v", err, want)
				}
				return
			}
			if !errors.Is(err, tt.want) {
				t.Errorf("told %v, want %v", err, tt.want)
			}
		})
	}
}

func TestAProcessThatDiesUnderACallMayHaveRunIt(t *testing.T) {
	ca := newAuthority(t)
	running := make(chan struct{})
	server, address := serve(t, ca, "127.0.0.1:0", answering{
		handle: func(ctx context.Context, _ string, _ shard.Command) (shard.Answer, error) {
			close(running)
			<-ctx.Done()
			return shard.Answer{}, ctx.Err()
		},
	})
	owner := pool(t, ca, nil).Owner(address)
	failed := make(chan error)
	go func() {
		_, err := owner.Handle(t.Context(), "account", shard.Command{Entity: "a", ID: "k"})
		failed <- err
	}()
	<-running
	_ = server.Close()
	if err := <-failed; !errors.Is(err, routing.ErrLost) {
		t.Errorf("told %v", err)
	}
	serve(t, ca, address, answering{
		handle: func(context.Context, string, shard.Command) (shard.Answer, error) {
			return shard.Answer{Entity: "again"}, nil
		},
	})
	if a, err := owner.Handle(t.Context(), "account", shard.Command{Entity: "a", ID: "k"}); err != nil || a.Entity != "again" {
		t.Errorf("after the process came back: %v, %v", a, err)
	}
}

func TestACallEndsWhenItsCallerGivesUp(t *testing.T) {
	ca := newAuthority(t)
	running, over := make(chan struct{}), make(chan struct{})
	_, address := serve(t, ca, "127.0.0.1:0", answering{
		handle: func(ctx context.Context, _ string, _ shard.Command) (shard.Answer, error) {
			close(running)
			<-ctx.Done()
			close(over)
			return shard.Answer{}, ctx.Err()
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := pool(t, ca, nil).Owner(address).Handle(ctx, "account", shard.Command{Entity: "a", ID: "k"})
		failed <- err
	}()
	<-running
	cancel()
	if err := <-failed; !errors.Is(err, routing.ErrLost) {
		t.Errorf("told %v", err)
	}
	<-over // the owner has heard of it
}

// A listener whose connections are accepted by the kernel and read by nobody is
// what a frozen process looks like.
func TestAFrozenProcessIsGivenUpBeforeTheCallersTimeIsOver(t *testing.T) {
	ca := newAuthority(t)
	frozen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = frozen.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err = pool(t, ca, nil).Owner(frozen.Addr().String()).Handle(ctx, "account", shard.Command{Entity: "a", ID: "k"})
	if ctx.Err() != nil || !errors.Is(err, routing.ErrUnreachable) {
		t.Errorf("told %v; the caller's context: %v", err, ctx.Err())
	}
}

// A link that is cut under a connection that stands: nothing comes any more, and
// no reset either.
func TestACutLinkIsNoticedUnderACall(t *testing.T) {
	ca := newAuthority(t)
	running := make(chan struct{})
	_, address := serve(t, ca, "127.0.0.1:0", answering{
		handle: func(ctx context.Context, _ string, _ shard.Command) (shard.Answer, error) {
			close(running)
			<-ctx.Done()
			return shard.Answer{}, ctx.Err()
		},
	})
	link := newLink(t, address)
	failed := make(chan error)
	go func() {
		_, err := pool(t, ca, nil).Owner(link.address).Handle(t.Context(), "account", shard.Command{Entity: "a", ID: "k"})
		failed <- err
	}()
	<-running
	link.cut()
	select {
	case err := <-failed:
		if !errors.Is(err, routing.ErrLost) {
			t.Errorf("told %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the call is still waiting")
	}
}

func TestCallsBeyondTheLimitsAreOverloaded(t *testing.T) {
	ca := newAuthority(t)
	release := make(chan struct{})
	var running sync.WaitGroup
	running.Add(2)
	local := answering{handle: func(context.Context, string, shard.Command) (shard.Answer, error) {
		running.Done()
		<-release
		return shard.Answer{}, nil
	}}
	_, first := serve(t, ca, "127.0.0.1:0", local)
	_, second := serve(t, ca, "127.0.0.1:0", local)
	var told atomic.Int64
	refused := make(chan problem.Limit, 10)
	p := pool(t, ca, func(c *Config) {
		c.PeerCalls, c.Calls = 1, 2
		c.Observer = Observer{Refused: func(by problem.Limit) { refused <- by }, Calls: func(delta int) { told.Add(int64(delta)) }}
	})
	var calls sync.WaitGroup
	for _, at := range []string{first, second} {
		calls.Go(func() {
			if _, err := p.Owner(at).Handle(t.Context(), "account", shard.Command{Entity: "a", ID: "k"}); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	for _, at := range []string{first, "127.0.0.1:1"} {
		_, err := p.Owner(at).Handle(t.Context(), "account", shard.Command{Entity: "a", ID: "k"})
		if got := problem.From(err); got.Reason != problem.Overloaded || got.RetryAfter == 0 {
			t.Errorf("one more call to %s: %v", at, err)
		}
		if by := <-refused; by != problem.LimitPeersCalls {
			t.Errorf("told of a refusal by %s", by)
		}
	}
	if n := told.Load(); n != 2 {
		t.Errorf("told of %d calls, two are under way", n)
	}
	close(release)
	calls.Wait()
	if n := p.calls.Load(); n != 0 {
		t.Errorf("%d calls are still counted", n)
	}
	if n := told.Load(); n != 0 {
		t.Errorf("told of %d calls when none is under way", n)
	}
}

func TestCallsToOneProcessBeyondItsLimitAreOverloaded(t *testing.T) {
	ca := newAuthority(t)
	running, release := make(chan struct{}), make(chan struct{})
	local := answering{handle: func(context.Context, string, shard.Command) (shard.Answer, error) {
		running <- struct{}{}
		<-release
		return shard.Answer{}, nil
	}}
	for name, tt := range map[string]struct {
		pool   func(*Config)
		served int
		by     problem.Limit
	}{
		"the caller's limit": {func(c *Config) { c.PeerCalls = 1 }, 0, problem.LimitPeerCalls},
		"the server's limit": {nil, 1, problem.LimitServedCalls},
	} {
		t.Run(name, func(t *testing.T) {
			var served atomic.Int64
			refused := make(chan problem.Limit, 10)
			observer := Observer{Refused: func(by problem.Limit) { refused <- by }, Served: func(delta int) { served.Add(int64(delta)) }}
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			serveLimited(t, ca, listener, local, tt.served, observer)
			owner := pool(t, ca, func(c *Config) {
				c.Observer.Refused = observer.Refused
				if tt.pool != nil {
					tt.pool(c)
				}
			}).Owner(listener.Addr().String())
			var first sync.WaitGroup
			first.Go(func() {
				if _, err := owner.Handle(t.Context(), "account", shard.Command{Entity: "a", ID: "k"}); err != nil {
					t.Error(err)
				}
			})
			<-running
			if n := served.Load(); n != 1 {
				t.Errorf("told of %d calls that are served, one is", n)
			}
			_, err = owner.Handle(t.Context(), "account", shard.Command{Entity: "a", ID: "k"})
			if got := problem.From(err); got.Reason != problem.Overloaded || got.RetryAfter == 0 {
				t.Errorf("one more call: %v", err)
			}
			if by := <-refused; by != tt.by {
				t.Errorf("told of a refusal by %s, want %s", by, tt.by)
			}
			release <- struct{}{}
			first.Wait()
			if n := served.Load(); n != 0 {
				t.Errorf("told of %d calls that are served when none is", n)
			}
		})
	}
}

func TestAServerTakesNoMoreThanItsBounds(t *testing.T) {
	ca := newAuthority(t)
	handler := func(context.Context, string, shard.Command) (shard.Answer, error) {
		return shard.Answer{Entity: "ok"}, nil
	}
	_, address := serve(t, ca, "127.0.0.1:0", answering{handle: handler})
	owner := pool(t, ca, nil).Owner(address)
	for size, want := range map[int]bool{1 << 20: true, maxRequest + 1: false} {
		_, err := owner.Handle(t.Context(), "account", shard.Command{Entity: "a", ID: "k", Body: bytes.Repeat([]byte{' '}, size)})
		if (err == nil) != want {
			t.Errorf("a body of %d bytes: %v", size, err)
		}
	}
}

func TestOneConnectionServesAllCalls(t *testing.T) {
	ca := newAuthority(t)
	_, address := serve(t, ca, "127.0.0.1:0", answering{
		handle: func(context.Context, string, shard.Command) (shard.Answer, error) { return shard.Answer{}, nil },
	})
	link := newLink(t, address)
	owner := pool(t, ca, nil).Owner(link.address)
	var calls sync.WaitGroup
	for range 200 {
		calls.Go(func() {
			if _, err := owner.Handle(t.Context(), "account", shard.Command{Entity: "a", ID: "k"}); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	if n := link.connections(); n != 1 {
		t.Errorf("%d connections were made", n)
	}
}

func TestAddressesOfPodsThatAreGoneAreForgotten(t *testing.T) {
	ca := newAuthority(t)
	p := pool(t, ca, nil)
	for port := range 50 {
		p.Owner(net.JoinHostPort("127.0.0.1", strings.Repeat("1", 1+port%4)))
		p.Owner(net.JoinHostPort("127.0.0.1", strings.Repeat("2", 1+port%4)))
	}
	if n := len(p.peers); n > 1 {
		t.Errorf("%d are remembered", n)
	}
}

func TestAClosedPoolCarriesNothing(t *testing.T) {
	ca := newAuthority(t)
	p := pool(t, ca, nil)
	owner := p.Owner("127.0.0.1:1")
	p.Close()
	p.Close()
	if _, err := owner.Read(t.Context(), "account", "a", false); !errors.Is(err, routing.ErrUnreachable) {
		t.Errorf("told %v", err)
	}
}

func BenchmarkForward(b *testing.B) {
	ca := newAuthority(b)
	answer := shard.Answer{Entity: "alice", Version: 2, Seq: 9, Events: []eventstore.Event{
		{Seq: 9, Version: 2, Type: "Deposited", Data: []byte(`{"amount":1}`), Meta: eventstore.Meta{Time: time.Now()}, CommandID: "k"},
	}}
	_, address := serve(b, ca, "127.0.0.1:0", answering{
		handle: func(context.Context, string, shard.Command) (shard.Answer, error) { return answer, nil },
	})
	owner := pool(b, ca, nil).Owner(address)
	command := shard.Command{Entity: "alice", Name: "Deposit", Body: []byte(`{"amount":1}`), ID: "k"}
	call := func(b *testing.B) {
		if _, err := owner.Handle(b.Context(), "account", command); err != nil {
			b.Error(err)
		}
	}
	b.Run("one after the other", func(b *testing.B) {
		for b.Loop() {
			call(b)
		}
	})
	b.Run("64 at once", func(b *testing.B) {
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				call(b)
			}
		})
	})
}
