package peer

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/leftfold/leftfold/api/identity"
	"github.com/leftfold/leftfold/runtime/routing"
	"github.com/leftfold/leftfold/runtime/shard"
)

var (
	quiet = slog.New(slog.DiscardHandler)
	self  = identity.RuntimeName("shop", "bank")
)

// answering is a Local that answers with functions.
type answering struct {
	handle func(ctx context.Context, aggregate string, c shard.Command) (shard.Answer, error)
	read   func(ctx context.Context, aggregate, entity string, strong bool) (shard.View, error)
}

func (a answering) Handle(ctx context.Context, aggregate string, c shard.Command) (shard.Answer, error) {
	return a.handle(ctx, aggregate, c)
}

func (a answering) Read(ctx context.Context, aggregate, entity string, strong bool) (shard.View, error) {
	return a.read(ctx, aggregate, entity, strong)
}

func newAuthority(t testing.TB) *identity.Authority {
	t.Helper()
	a, err := identity.NewAuthority("test", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func source(t testing.TB, a *identity.Authority, name string) identity.Source {
	t.Helper()
	certificate, key, err := a.Issue(name, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	h := identity.NewHolder()
	if err := h.Set(certificate, key, a.CertificatePEM()); err != nil {
		t.Fatal(err)
	}
	return h
}

// serve is a pod's server for others, at an address or anywhere.
func serve(t testing.TB, ca *identity.Authority, at string, local Local) (s *http.Server, address string) {
	t.Helper()
	listener, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, ca, listener, local), listener.Addr().String()
}

func serveOn(t testing.TB, ca *identity.Authority, listener net.Listener, local Local) *http.Server {
	t.Helper()
	return serveLimited(t, ca, listener, local, 0, Observer{})
}

// serveLimited is serveOn with a bound of calls, and somebody to tell.
func serveLimited(t testing.TB, ca *identity.Authority, listener net.Listener, local Local, served int, observer Observer) *http.Server {
	t.Helper()
	path, handler := NewHandler(local, served, observer, quiet)
	mux := http.NewServeMux()
	mux.Handle(path, identity.Only(handler, self))
	s := &http.Server{
		Handler: mux, TLSConfig: identity.ServerConfig(source(t, ca, self)),
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 10000}, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.ServeTLS(listener, "", "")
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	return s
}

func pool(t testing.TB, ca *identity.Authority, change func(*Config)) *Pool {
	t.Helper()
	cfg := Config{Identity: source(t, ca, self), ServerName: self, Logger: quiet}
	if change != nil {
		change(&cfg)
	}
	p := NewPool(cfg)
	t.Cleanup(p.Close)
	return p
}

var _ Local = routing.Local{}
