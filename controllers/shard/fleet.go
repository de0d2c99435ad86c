package shard

import (
	"context"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/leftfold/leftfold/api/identity"
	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/controllers/liveness"
)

// Fleet keeps the shards of all Runtimes owned. Its methods are safe for concurrent
// use.
type Fleet struct {
	config  Config
	metrics *metrics
	term    term
	dials   chan struct{}

	runtimes, aggregates, projections, shards outlet

	mu    sync.Mutex
	crews map[types.NamespacedName]*crew
	// ctx is of the whole Fleet; nil before Start.
	ctx     context.Context
	started chan struct{}
	// work are goroutines that no pool waits for.
	work sync.WaitGroup
}

// crew is a pool that runs.
type crew struct {
	settings liveness.Settings
	pool     *pool
	view     atomic.Pointer[View]
	stop     context.CancelFunc
	done     chan struct{}
}

// NewFleet makes a Fleet that does nothing before Start.
func NewFleet(config Config) *Fleet {
	if config.Live == nil {
		config.Live = config.Client
	}
	if config.Metrics == nil {
		config.Metrics = ctrlmetrics.Registry
	}
	if config.Port == 0 {
		config.Port = v1alpha1.PortControl
	}
	return &Fleet{
		config: config, metrics: newMetrics(config.Metrics),
		term:  term{reader: config.Live, lease: config.Lease, log: config.Log},
		dials: make(chan struct{}, maxDials),
		crews: map[types.NamespacedName]*crew{}, started: make(chan struct{}),
	}
}

// NeedLeaderElection tells the manager that only the leader starts a Fleet.
func (f *Fleet) NeedLeaderElection() bool { return true }

// Start serves until ctx ends. To be called once, when this process has become the
// leader.
func (f *Fleet) Start(ctx context.Context) error {
	f.term.begin(ctx, time.Now())
	f.config.Log.Info("this process leads now", "term", f.term.now())
	f.mu.Lock()
	f.ctx = ctx
	f.mu.Unlock()
	close(f.started)
	defer f.end()
	if f.config.Cache == nil {
		<-ctx.Done()
		return nil
	}
	return f.watch(ctx)
}

func (f *Fleet) end() {
	f.mu.Lock()
	crews := f.crews
	f.crews = map[types.NamespacedName]*crew{}
	f.mu.Unlock()
	for _, c := range crews {
		c.end()
	}
	f.work.Wait()
}

func (c *crew) end() {
	c.stop()
	<-c.done
}

// View is what is seen of a Runtime now. False: nothing yet; only the leader's
// Fleet sees anything.
func (f *Fleet) View(runtime types.NamespacedName) (View, bool) {
	f.mu.Lock()
	c := f.crews[runtime]
	f.mu.Unlock()
	if c == nil {
		return View{}, false
	}
	v := c.view.Load()
	if v == nil {
		return View{}, false
	}
	return *v, true
}

// Runtimes tells of Runtimes whose members changed in the View, or how many shards
// they own.
func (f *Fleet) Runtimes() source.Source { return f.runtimes.source() }

// Aggregates tells of Aggregates whose definition or shards changed in the View.
func (f *Fleet) Aggregates() source.Source { return f.aggregates.source() }

// Projections tells of Projections whose definition changed, or that got on; of
// the latter at most every ten seconds.
func (f *Fleet) Projections() source.Source { return f.projections.source() }

// Shards tells of Shards that changed in the View.
func (f *Fleet) Shards() source.Source { return f.shards.source() }

// see takes in what Kubernetes says of a Runtime.
func (f *Fleet) see(ctx context.Context, runtime types.NamespacedName, failover v1alpha1.Failover, pods []pod, wanted int) error {
	c, err := f.crew(ctx, runtime, settingsOf(failover))
	if err != nil {
		return err
	}
	select {
	case c.pool.events <- event{kind: podsSeen, pods: pods, wanted: wanted}:
		return nil
	case <-c.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// crew finds the pool of a Runtime, or starts one. Settings that changed begin a
// new one, which learns from the pods what there is; nothing moves by that.
func (f *Fleet) crew(ctx context.Context, runtime types.NamespacedName, settings liveness.Settings) (*crew, error) {
	f.mu.Lock()
	before := f.crews[runtime]
	f.mu.Unlock()
	if before != nil && before.settings == settings {
		return before, nil
	}
	remembered, err := f.remember(ctx, runtime)
	if err != nil {
		return nil, err
	}
	if before != nil {
		before.end()
	}
	c := &crew{settings: settings, done: make(chan struct{})}
	if before != nil {
		c.view.Store(before.view.Load())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ctx == nil || f.ctx.Err() != nil {
		return nil, context.Canceled
	}
	poolCtx, stop := context.WithCancel(f.ctx)
	c.stop = stop
	log := f.config.Log.WithValues("namespace", runtime.Namespace, "runtime", runtime.Name)
	links := &sync.WaitGroup{}
	c.pool = newPool(runtime, poolConfig{
		settings: settings, metrics: f.metrics, log: log, remembered: remembered,
		dial:      func(to pod) line { return f.dial(poolCtx, c, links, runtime, to) },
		deletePod: func(p pod, reason liveness.Reason) { f.deletePod(poolCtx, runtime, p, reason) },
		publish:   func(v *View, changed changes) { f.publish(c, runtime, v, changed) },
	})
	f.crews[runtime] = c
	f.work.Go(func() {
		defer close(c.done)
		c.pool.run(poolCtx)
		stop()
		links.Wait()
	})
	return c, nil
}

// settingsOf reads a Runtime's wishes; what it leaves out has liveness' defaults.
func settingsOf(failover v1alpha1.Failover) liveness.Settings {
	settings := liveness.Settings{
		Interval: time.Duration(failover.HeartbeatIntervalMilliseconds) * time.Millisecond,
		Timeout:  time.Duration(failover.HeartbeatTimeoutMilliseconds) * time.Millisecond,
	}
	if settings.Interval <= 0 {
		settings.Interval = 200 * time.Millisecond
	}
	if settings.Timeout <= 0 {
		settings.Timeout = time.Second
	}
	return settings
}

// dial begins a line to a pod.
func (f *Fleet) dial(ctx context.Context, c *crew, links *sync.WaitGroup, runtime types.NamespacedName, to pod) line {
	l, run := newLink(ctx, to, linkConfig{
		tls:      identity.ClientConfig(f.config.Identity, identity.RuntimeName(runtime.Namespace, runtime.Name)),
		interval: c.settings.Interval, timeout: c.settings.Timeout,
		tell: func(e event) bool {
			select {
			case c.pool.events <- e:
				return true
			case <-ctx.Done():
				return false
			}
		},
		term: f.term.now, outvoted: f.term.outvoted, dials: f.dials, log: c.pool.log,
	})
	links.Go(run)
	return l
}

// drop ends what is done for a Runtime that is no more.
func (f *Fleet) drop(runtime types.NamespacedName) {
	f.mu.Lock()
	c := f.crews[runtime]
	delete(f.crews, runtime)
	f.mu.Unlock()
	if c != nil {
		c.end()
		f.metrics.forget(runtime)
	}
}

func (f *Fleet) publish(c *crew, runtime types.NamespacedName, v *View, changed changes) {
	c.view.Store(v)
	if changed.runtime {
		f.runtimes.enqueue(runtime.Namespace, runtime.Name)
	}
	f.aggregates.enqueue(runtime.Namespace, changed.aggregates...)
	f.projections.enqueue(runtime.Namespace, changed.projections...)
	f.shards.enqueue(runtime.Namespace, changed.shards...)
}

// deletePod lets Kubernetes make another pod. One of the same name that took its
// place is left alone.
func (f *Fleet) deletePod(ctx context.Context, runtime types.NamespacedName, p pod, reason liveness.Reason) {
	f.work.Go(func() {
		object := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: runtime.Namespace, Name: p.name, UID: p.uid}}
		err := f.config.Client.Delete(ctx, object, client.Preconditions{UID: &p.uid})
		if client.IgnoreNotFound(err) != nil {
			f.config.Log.Error(err, "cannot delete a pod that does not help itself", "namespace", runtime.Namespace, "pod", p.name)
			return
		}
		if f.config.Events == nil {
			return
		}
		owner := &v1alpha1.Runtime{}
		if err := f.config.Client.Get(ctx, runtime, owner); err == nil {
			f.config.Events.Eventf(owner, object, corev1.EventTypeWarning, string(reason), "DeletePod",
				"Deleted pod %s, which did not help itself, so that Kubernetes makes another", p.name)
		}
	})
}

// address joins a pod's IP and the port.
func (f *Fleet) address(ip string) string {
	if ip == "" {
		return ""
	}
	return net.JoinHostPort(ip, strconv.Itoa(f.config.Port))
}
