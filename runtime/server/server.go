package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leftfold/leftfold/runtime/api"
	"github.com/leftfold/leftfold/runtime/definition"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/routing"
	"github.com/leftfold/leftfold/runtime/telemetry"
)

// stopTimeout bounds a stop in good order: longer than a command may take, and
// shorter than what Kubernetes waits before it kills.
const stopTimeout = 20 * time.Second

// callsTimeout is the part of it that calls under way get; the rest is for
// shards to be drained and released, so that their next owner need not wait.
const callsTimeout = 12 * time.Second

// Server is a running data plane.
type Server struct {
	cfg     Config
	log     *slog.Logger
	self    eventstore.Incarnation
	router  *routing.Router
	metrics *telemetry.Metrics
	handler *api.Handler

	listener, opsListener net.Listener
	http, ops             *http.Server
	serving               sync.WaitGroup
	calls                 *underway
	failed                chan struct{}
	failOnce              sync.Once
	ready                 atomic.Bool

	// managed: there is one store, and it is open.
	managed bool

	// applying makes changes of the definitions happen in turn; applied is what
	// was declared last.
	applying    sync.Mutex
	applied     *definition.Set
	definitions *definitions

	mu     sync.RWMutex
	stores map[string]*workload
}

// Start starts everything, in the order of the package comment, and returns when
// calls are answered. ctx bounds the start only; Stop ends the server.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	metrics := telemetry.New(cfg.Version)
	s := &Server{
		cfg: cfg, log: cfg.Logger, self: eventstore.Incarnation(rand.Text()), metrics: metrics,
		router: routing.New(routing.Config{HoldFor: cfg.HoldFor, Observer: metrics.Routing()}),
		failed: make(chan struct{}), calls: newUnderway(), stores: map[string]*workload{}, definitions: newDefinitions(nil),
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func (s *Server) start(ctx context.Context) error {
	var err error
	// The port is taken first, since nothing else is as likely to be refused.
	if s.listener, err = net.Listen("tcp", s.cfg.Listen); err != nil {
		return err
	}
	if err := s.listenOps(); err != nil {
		return err
	}
	// What is stalled now serves as it was accepted before, as in a running server.
	stalled, err := s.apply(ctx, s.cfg.Set)
	if err != nil {
		return err
	}
	if stalled != nil {
		s.log.Error("the manifests did not take effect as a whole; what they could not change serves as before", "error", stalled)
	}
	s.handler = s.newHandler()
	s.http = api.NewServer(s.handler, s.log)
	s.http.Handler = s.calls.track(s.handler)
	s.serve(s.http, s.handler.Limit(s.listener))
	s.ready.Store(true)
	return nil
}

// newHandler makes the handler of the API's port.
func (s *Server) newHandler() *api.Handler {
	return api.NewHandler(api.Config{
		Aggregates: aggregates{s}, Feed: feed{s}, Projections: queries{s}, Catalog: catalog{s},
		Version: s.cfg.Version, Logger: s.log, Observer: s.metrics.API(), CommandTimeout: s.cfg.CommandTimeout,
	})
}

// listenOps takes the port of health and metrics. One that was not asked for and
// is in use is only told.
func (s *Server) listenOps() error {
	address, err := s.cfg.Ops, error(nil)
	if address == "" {
		address, err = opsAddress(s.listener.Addr())
	}
	var listener net.Listener
	if err == nil {
		listener, err = net.Listen("tcp", address)
	}
	switch {
	case err != nil && s.cfg.Ops == "":
		s.log.Warn("health and metrics are not served: the port after the API's cannot be had; --ops-listen gives another", "error", err)
		return nil
	case err != nil:
		return err
	}
	s.opsListener = listener
	s.ops = telemetry.NewServer(s.metrics, s.ready.Load)
	s.serve(s.ops, listener)
	s.log.Info("health and metrics", "address", listener.Addr().String())
	return nil
}

func (s *Server) serve(h *http.Server, l net.Listener) { s.serveBy(h.Serve, l) }

// serveTLS serves by the certificates of the server's own TLS configuration.
func (s *Server) serveTLS(h *http.Server, l net.Listener) {
	s.serveBy(func(l net.Listener) error { return h.ServeTLS(l, "", "") }, l)
}

func (s *Server) serveBy(serve func(net.Listener) error, l net.Listener) {
	s.serving.Go(func() {
		if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("the listener failed; the process stops", "address", l.Addr().String(), "error", err)
			s.failOnce.Do(func() { close(s.failed) })
		}
	})
}

// URL is where the API is, by a name that a client on this machine can use.
func (s *Server) URL() string {
	address := s.listener.Addr().String()
	if host, port, err := net.SplitHostPort(address); err == nil && net.ParseIP(host).IsUnspecified() {
		address = "localhost:" + port
	}
	return "http://" + address
}

// OpsURL is where health and metrics are; "" when they are not served.
func (s *Server) OpsURL() string {
	if s.opsListener == nil {
		return ""
	}
	return "http://" + s.opsListener.Addr().String()
}

// Failed is closed when the server cannot go on; Stop is still to be called.
func (s *Server) Failed() <-chan struct{} { return s.failed }

// workload gives what runs on a store, and opens the store when need be.
func (s *Server) workload(ctx context.Context, set *definition.Set, a *definition.Aggregate) (*workload, error) {
	store := ""
	if s.cfg.Store == "" && !s.managed {
		store = set.StoreOf(a) // else one takes the place of all
	}
	s.mu.RLock()
	w := s.stores[store]
	s.mu.RUnlock()
	if w != nil {
		return w, nil
	}
	w, err := s.open(ctx, store)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.stores[store] = w
	s.mu.Unlock()
	return w, nil
}

// workloads lists what runs, by store.
func (s *Server) workloads() []*workload {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]*workload, 0, len(s.stores))
	for _, w := range s.stores {
		out = append(out, w)
	}
	sort.Slice(out, func(i, j int) bool { return strings.Compare(out[i].name, out[j].name) < 0 })
	return out
}

// find gives an aggregate and where it runs.
func (s *Server) find(name string) (*workload, *aggregate, error) {
	for _, w := range s.workloads() {
		if a := w.aggregate(name); a != nil {
			return w, a, nil
		}
	}
	return nil, nil, problem.New(problem.UnknownName, "there is no aggregate %q here", name)
}

// endCalls waits for the calls under way, for at most callsTimeout; then they
// are cut off.
func (s *Server) endCalls(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callsTimeout)
	defer cancel()
	if left := s.calls.wait(ctx); left > 0 {
		return errors.Join(fmt.Errorf("%d calls did not end in %s and were cut off", left, callsTimeout), s.http.Close())
	}
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("some connections did not become idle: %w", err), s.http.Close())
	}
	return nil
}

// Stop ends everything in good order, and what does not end in time without.
// Calling it again does nothing.
func (s *Server) Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if s.handler != nil {
		s.handler.Drain() // before being unready shows: who sees that is refused
	}
	s.ready.Store(false)
	if s.router != nil {
		s.router.Close() // who waits for a shard to come waits in vain
	}
	var errs []error
	if s.http != nil {
		errs = append(errs, s.endCalls(ctx))
	} else if s.listener != nil {
		errs = append(errs, s.listener.Close())
	}
	if s.ops == nil && s.opsListener != nil {
		errs = append(errs, s.opsListener.Close())
	}
	s.mu.Lock()
	stores := s.stores
	s.stores = map[string]*workload{}
	s.mu.Unlock()
	for _, w := range stores {
		errs = append(errs, w.close(ctx))
	}
	if s.ops != nil {
		errs = append(errs, s.ops.Close())
	}
	s.serving.Wait()
	return errors.Join(errs...)
}
