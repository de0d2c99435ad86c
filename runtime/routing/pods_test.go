package routing_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/leftfold/leftfold/api/identity"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/peer"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/routing"
	"github.com/leftfold/leftfold/runtime/shard"
)

// pods are routers that reach each other over sockets, with TLS, and a store that
// is a row and a list of what has run.
type pods struct {
	t      *testing.T
	source identity.Source

	mu  sync.Mutex
	row routing.Remote
	ran map[string]string // command id to who ran it
}

// pod is one of them.
type pod struct {
	*pods
	router  *routing.Router
	pool    *peer.Pool
	address string
	server  *http.Server
	served  chan struct{}
	// meet is called before and after a command runs here.
	meet func(ctx context.Context, committed bool) error
}

var name = identity.RuntimeName("shop", "bank")

func newPods(t *testing.T) *pods {
	t.Helper()
	ca, err := identity.NewAuthority("test", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key, err := ca.Issue(name, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	h := identity.NewHolder()
	if err := h.Set(certificate, key, ca.CertificatePEM()); err != nil {
		t.Fatal(err)
	}
	return &pods{t: t, source: h, ran: map[string]string{}}
}

func (p *pods) start() *pod {
	p.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	d := &pod{pods: p, address: listener.Addr().String(), served: make(chan struct{})}
	d.pool = peer.NewPool(peer.Config{Identity: p.source, ServerName: name, Logger: quiet})
	d.router = routing.New(routing.Config{
		Self: d.address, Forward: d.pool.Owner,
		Lookup: func(context.Context, string, int32) (routing.Remote, error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.row, nil
		},
	})
	d.router.Add("account", []eventstore.SlotRange{{First: 0, Last: 65535}})
	path, handler := peer.NewHandler(d.router.Local(), 0, peer.Observer{}, quiet)
	mux := http.NewServeMux()
	mux.Handle(path, identity.Only(handler, name))
	d.server = &http.Server{Handler: mux, TLSConfig: identity.ServerConfig(p.source), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	go func() {
		defer close(d.served)
		_ = d.server.ServeTLS(listener, "", "")
	}()
	p.t.Cleanup(func() {
		d.kill()
		d.pool.Close()
		d.router.Close()
	})
	return d
}

// kill ends the process as others see it: connections break, and no new ones are
// accepted.
func (d *pod) kill() {
	_ = d.server.Close()
	<-d.served
}

// claim makes the pod the owner.
func (d *pod) claim() {
	d.mu.Lock()
	d.row = routing.Remote{Epoch: d.row.Epoch + 1, Address: d.address}
	o := &owner{d, d.row.Epoch}
	d.mu.Unlock()
	d.router.Place("account", 0, o)
}

func (d *pod) learn() {
	d.mu.Lock()
	row := d.row
	d.mu.Unlock()
	d.router.Learn("account", 0, row)
}

type owner struct {
	pod   *pod
	epoch int64
}

func (o *owner) Lease() eventstore.Lease { return eventstore.Lease{Epoch: o.epoch} }

func (o *owner) Handle(ctx context.Context, c shard.Command) (shard.Answer, error) {
	if o.pod.meet != nil {
		if err := o.pod.meet(ctx, false); err != nil {
			return shard.Answer{}, err
		}
	}
	p := o.pod
	p.mu.Lock()
	if p.row.Epoch != o.epoch {
		p.mu.Unlock()
		return shard.Answer{}, shard.ErrNotOwner
	}
	by, again := p.ran[c.ID]
	if !again {
		by = p.address
		p.ran[c.ID] = by
	}
	p.mu.Unlock()
	if p.meet != nil {
		if err := p.meet(ctx, true); err != nil {
			return shard.Answer{}, err
		}
	}
	return shard.Answer{Entity: by, Version: 1, Replay: again}, nil
}

func (o *owner) Read(_ context.Context, entity string, _ bool) (shard.View, error) {
	return shard.View{}, problem.New(problem.NoSuchEntity, "%s has no events", entity)
}

func (d *pod) send(id string) (by string, err error) {
	ctx, cancel := context.WithTimeout(d.t.Context(), 30*time.Second)
	defer cancel()
	a, err := d.router.Handle(ctx, "account", shard.Command{Entity: "alice", Name: "Open", Body: []byte("{}"), ID: id})
	return a.Entity, err
}

func TestAnyPodTakesACallForAnyShard(t *testing.T) {
	p := newPods(t)
	doors := []*pod{p.start(), p.start(), p.start()}
	doors[1].claim()
	for i, door := range doors {
		for n := range 3 { // the first learns the owner from the store
			if by, err := door.send(fmt.Sprint(i, n)); err != nil || by != doors[1].address {
				t.Errorf("door %d was answered by %s, %v", i, by, err)
			}
		}
		_, err := door.router.Read(t.Context(), "account", "alice", true)
		if !problem.Is(err, problem.NoSuchEntity) {
			t.Errorf("door %d read %v", i, err)
		}
	}
}

func TestACallerByALivingPodSeesNoMoreThanLatencyWhenAPodDies(t *testing.T) {
	for when, committed := range map[string]bool{"before the commit": false, "after the commit": true} {
		t.Run(when, func(t *testing.T) {
			p := newPods(t)
			door, first, second := p.start(), p.start(), p.start()
			first.claim()
			door.learn()
			reached := make(chan struct{})
			first.meet = func(ctx context.Context, done bool) error {
				if done != committed {
					return nil
				}
				close(reached)
				<-ctx.Done()
				return ctx.Err()
			}
			answered := make(chan string)
			go func() {
				by, err := door.send("k")
				if err != nil {
					t.Error(err)
				}
				answered <- by
			}()
			<-reached
			first.kill()
			second.claim()
			door.learn()
			want := map[bool]string{false: second.address, true: first.address}[committed]
			if by := <-answered; by != want {
				t.Errorf("it ran at %s, want %s", by, want)
			}
		})
	}
}

func TestAFrozenPodIsLeftBehindWhenThereIsANewerOwner(t *testing.T) {
	p := newPods(t)
	door, first, second := p.start(), p.start(), p.start()
	first.claim()
	door.learn()
	reached, thawed := make(chan struct{}), make(chan struct{})
	first.meet = func(context.Context, bool) error {
		close(reached)
		<-thawed
		return nil
	}
	answered := make(chan string)
	go func() {
		by, err := door.send("k")
		if err != nil {
			t.Error(err)
		}
		answered <- by
	}()
	<-reached
	second.claim()
	door.learn()
	if by := <-answered; by != second.address {
		t.Errorf("it ran at %s, want %s", by, second.address)
	}
	close(thawed)
	first.learn()
	_, err := first.router.Local().Handle(t.Context(), "account", shard.Command{Entity: "alice", ID: "late"})
	if !errors.Is(err, shard.ErrNotOwner) {
		t.Errorf("the old owner still answers: %v", err)
	}
}

func TestManyCallsComeThroughAFailoverOfAllPodsInTurn(t *testing.T) {
	p := newPods(t)
	door, others := p.start(), []*pod{p.start(), p.start(), p.start()}
	others[0].claim()
	var calls sync.WaitGroup
	for i := range 500 {
		calls.Go(func() {
			if _, err := door.send(fmt.Sprint(i)); err != nil {
				t.Errorf("call %d: %v", i, err)
			}
		})
	}
	for i, next := range others[1:] {
		others[i].kill()
		next.claim()
	}
	calls.Wait()
	if len(p.ran) != 500 {
		t.Errorf("%d commands ran", len(p.ran))
	}
}
