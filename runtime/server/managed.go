package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/leftfold/leftfold/api/identity"
	"github.com/leftfold/leftfold/api/rpc"
	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/runtime/api"
	"github.com/leftfold/leftfold/runtime/control"
	"github.com/leftfold/leftfold/runtime/definition"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/peer"
	"github.com/leftfold/leftfold/runtime/routing"
	"github.com/leftfold/leftfold/runtime/shard"
	"github.com/leftfold/leftfold/runtime/telemetry"
)

// ManagedConfig is what a pod of a Runtime is started with.
type ManagedConfig struct {
	// Namespace and Runtime name the Runtime that the pod belongs to.
	Namespace, Runtime string
	// PodUID is that of the Pod object, by which the operator knows the process.
	PodUID string
	// PodIP is where other pods reach this one, at RPC's port; default: the
	// address that RPC listens at.
	PodIP string

	// Listen, Ops and RPC are the addresses of the API, of health and metrics, and
	// of what operator and pods say to each other; defaults :8080, :8081, :8082.
	Listen, Ops, RPC string
	// Identity is the pod's certificate, for RPC and for calls to other pods.
	Identity identity.Source

	// Store is a PostgreSQL URL and Schema the schema; or Data is the folder of an
	// embedded store.
	Store, Schema, Data string

	// HeartbeatInterval (200 ms) and HeartbeatTimeout (1 s) are those of the
	// Runtime.
	HeartbeatInterval, HeartbeatTimeout time.Duration

	// Version is told by metrics, documents and to the operator.
	Version string
	Logger  *slog.Logger

	// Limits bounds what the shards keep; zero fields have the defaults of
	// shard.Limits, but for MemoryBytes in a container with a memory limit: see
	// entityBudget.
	Limits shard.Limits
	// CommandTimeout bounds a command as a whole, and HoldFor a call's wait for a
	// shard without an owner; zero means the defaults of api and routing.
	CommandTimeout, HoldFor time.Duration
}

// The defaults of a Runtime's failover settings.
const (
	defaultHeartbeatInterval = 200 * time.Millisecond
	defaultHeartbeatTimeout  = time.Second
)

func (c *ManagedConfig) complete() error {
	switch {
	case (c.Data == "") == (c.Store == ""):
		return errors.New("either a data folder or a store URL is needed")
	case c.Namespace == "" || c.Runtime == "":
		return errors.New("the runtime's namespace and name are needed")
	case c.Identity == nil:
		return errors.New("certificates are needed")
	}
	for _, d := range []struct {
		field *string
		value string
	}{{&c.Listen, ":8080"}, {&c.Ops, ":8081"}, {&c.RPC, ":8082"}} {
		if *d.field == "" {
			*d.field = d.value
		}
	}
	if c.HeartbeatInterval <= 0 {
		c.HeartbeatInterval = defaultHeartbeatInterval
	}
	if c.HeartbeatTimeout <= 0 {
		c.HeartbeatTimeout = defaultHeartbeatTimeout
	}
	if c.HeartbeatTimeout < 2*c.HeartbeatInterval {
		return fmt.Errorf("the heartbeat timeout %s is less than two intervals of %s", c.HeartbeatTimeout, c.HeartbeatInterval)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Limits.MemoryBytes <= 0 {
		c.Limits.MemoryBytes = entityBudget(os.DirFS("/sys/fs/cgroup"))
	}
	return nil
}

// Managed is a running pod of a Runtime: a Server on one store whose shards come
// by grants of an operator.
type Managed struct {
	*Server
	// opening: callers are let in once, or never.
	opening sync.Once
	pod     *pod
	control *control.Service
	peers   *peer.Pool
	rpc     *http.Server
	rpcAt   net.Listener
}

// StartManaged starts a pod's process. It claims nothing, and is not ready before
// the first Apply. A store that cannot be opened is tried again until ctx ends,
// which bounds the start only; Leave or Stop ends the process's part.
func StartManaged(ctx context.Context, cfg ManagedConfig) (*Managed, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	m := &Managed{Server: &Server{
		cfg: Config{
			Listen: cfg.Listen, Ops: cfg.Ops, Data: cfg.Data, Store: cfg.Store, Schema: cfg.Schema,
			Version: cfg.Version, Logger: cfg.Logger, Limits: cfg.Limits, CommandTimeout: cfg.CommandTimeout, HoldFor: cfg.HoldFor,
		},
		log: cfg.Logger, self: eventstore.Incarnation(rand.Text()),
		metrics: telemetry.New(cfg.Version), managed: true, failed: make(chan struct{}), calls: newUnderway(), stores: map[string]*workload{},
	}}
	if err := m.start(ctx, &cfg); err != nil {
		return nil, errors.Join(err, m.Stop())
	}
	return m, nil
}

func (m *Managed) start(ctx context.Context, cfg *ManagedConfig) error {
	var err error
	if m.opsListener, err = net.Listen("tcp", cfg.Ops); err != nil {
		return err
	}
	// Health is told from here on: to open a store may take its time.
	m.ops = telemetry.NewServer(m.metrics, func() bool { return m.Ready() })
	m.ops.Handler = m.withFaults(m.ops.Handler)
	m.serve(m.ops, m.opsListener)
	store, err := m.openPatiently(ctx)
	if err != nil {
		return err
	}
	if err := m.listen(ctx, cfg); err != nil {
		return errors.Join(err, store.Close())
	}
	address, err := reachable(cfg.PodIP, m.rpcAt.Addr())
	if err != nil {
		return errors.Join(err, store.Close())
	}
	m.peers = peer.NewPool(peer.Config{
		Identity: cfg.Identity, ServerName: identity.RuntimeName(cfg.Namespace, cfg.Runtime), Logger: m.log,
		Observer: m.metrics.Peers(),
	})
	m.router = routing.New(routing.Config{HoldFor: cfg.HoldFor, Self: address, Forward: m.peers.Owner, Lookup: m.lookup, Observer: m.metrics.Routing()})
	w := m.newWorkload("", store, membership{
		runtime: cfg.Runtime, address: address, every: cfg.HeartbeatInterval, timeout: cfg.HeartbeatTimeout,
	}, m.log)
	m.pod = newPod(w)
	w.keeper = m.pod
	m.control = control.New(control.Identity{
		PodUID: cfg.PodUID, Incarnation: string(m.self), Address: address, Version: cfg.Version,
	}, m.pod, m.log)
	m.pod.control = m.control
	m.definitions = newDefinitions(m.control.ReportDefinition)
	if err := w.join(ctx, store); err != nil {
		return err
	}
	m.mu.Lock()
	m.stores[""] = w
	m.mu.Unlock()
	if w.shared {
		w.work.Go(func() { m.follow(w) })
	}
	m.makeAPI()
	m.serveRPC(cfg)
	m.pod.work.Go(m.pod.tendOrphans)
	m.log.Info("a pod of a runtime is here", "runtime", cfg.Runtime, "incarnation", m.self, "address", address)
	return nil
}

// Pauses between attempts to open the store: Kubernetes would start the process
// anew only after ever longer ones, long after the store is back.
const firstOpenPause, lastOpenPause = 250 * time.Millisecond, time.Second

// openPatiently opens the store as soon as that is possible.
func (m *Managed) openPatiently(ctx context.Context) (opened, error) {
	for pause := firstOpenPause; ; pause = min(2*pause, lastOpenPause) {
		store, err := m.openStore(ctx, "")
		if err == nil || ctx.Err() != nil {
			return store, err
		}
		m.log.Warn("the store cannot be opened yet; it is tried again", "error", err, "in", pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return opened{}, err
		}
	}
}

// listen takes the ports of callers. They are refused until there is something to
// tell them.
func (m *Managed) listen(ctx context.Context, cfg *ManagedConfig) (err error) {
	if m.listener, err = net.Listen("tcp", cfg.Listen); err != nil {
		return err
	}
	m.rpcAt, err = rpc.Listen(ctx, cfg.RPC)
	return err
}

// reachable is where others reach a listener: at the pod's address, or, without
// one, where it listens.
func reachable(podIP string, at net.Addr) (string, error) {
	if podIP == "" {
		return at.String(), nil
	}
	_, port, err := net.SplitHostPort(at.String())
	return net.JoinHostPort(podIP, port), err
}

// open lets callers in, once there are definitions: before that every name would
// be unknown, and a caller who is told so does not ask again.
func (m *Managed) open() {
	m.opening.Do(func() {
		m.serve(m.http, m.handler.Limit(m.listener))
		m.pod.ready.Store(true)
	})
}

func (m *Managed) makeAPI() {
	m.handler = m.newHandler()
	m.http = api.NewServer(m.handler, m.log)
	m.http.Handler = m.pod.dismiss(m.calls.track(m.handler))
}

// Ready tells whether the process answers callers and takes grants.
func (m *Managed) Ready() bool { return m.pod != nil && m.pod.Ready() }

// RPCAddress is where the operator and other pods reach the process.
func (m *Managed) RPCAddress() string { return m.rpcAt.Addr().String() }

// Incarnation names this start of the process.
func (m *Managed) Incarnation() string { return string(m.self) }

// Stop ends everything at once, in good order, and what does not end in time
// without: shards are drained here, and callers are refused. Calling it again does
// nothing.
func (m *Managed) Stop() error {
	var errs []error
	if m.listener != nil {
		m.opening.Do(func() { errs = append(errs, m.listener.Close()) })
	}
	if m.handler != nil {
		m.handler.Drain()
	}
	if m.pod != nil {
		m.pod.Drain()
		m.pod.drainAll()
	}
	if m.control != nil {
		m.control.Close()
	}
	if m.pod != nil {
		m.pod.stop()
	}
	if m.rpc != nil {
		errs = append(errs, m.rpc.Close())
	} else if m.rpcAt != nil {
		errs = append(errs, m.rpcAt.Close())
	}
	errs = append(errs, m.Server.Stop())
	if m.peers != nil {
		m.peers.Close()
	}
	return errors.Join(errs...)
}

// Apply brings definitions into force: those that are there from now on. What was
// there and is not any more is served no longer; its events stay. What does not
// take effect although nothing failed is reported to the operator and is no error;
// after an error the same set is to be applied again.
func (m *Managed) Apply(ctx context.Context, set *definition.Set) error {
	stalled, err := m.apply(ctx, set)
	if stalled != nil {
		m.log.Warn("some definitions do not take effect; what was accepted before serves", "error", stalled)
	}
	for _, w := range m.workloads() {
		for _, name := range w.names() {
			if !set.Declares(v1alpha1.KindAggregate, name) {
				m.pod.forget(w.aggregate(name))
			}
		}
	}
	m.open()
	return err
}

// ServeStored serves the definitions that the store accepted last, until Apply is
// called: for a process that starts while nobody can tell what is declared.
func (m *Managed) ServeStored(ctx context.Context) error {
	for _, w := range m.workloads() {
		if err := m.serveStored(ctx, w, w.member.runtime); err != nil {
			return err
		}
	}
	m.open()
	return nil
}
