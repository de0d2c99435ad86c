package definition

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/leftfold/leftfold/api/declaration"
	"github.com/leftfold/leftfold/api/v1alpha1"
)

const (
	// gatherFor is how long a change waits for others that were made with it:
	// kubectl applies the objects of a file one after the other.
	gatherFor = 20 * time.Millisecond
	// aloneAfter is how long a start waits for the API server before it goes by
	// what the store has.
	aloneAfter = 3 * time.Second
	// firstApply and lastApply bound the pauses between attempts to apply a set.
	firstApply = 200 * time.Millisecond
	lastApply  = 5 * time.Second
)

// WatchConfig says what is watched, and how the API server is reached.
type WatchConfig struct {
	// Namespace and Runtime name the Runtime whose definitions are wanted.
	Namespace, Runtime string
	// Client reaches the API server; nil: as a pod does, or by Kubeconfig.
	Client *rest.Config
	// Kubeconfig is the path of a kubeconfig file; used without Client.
	Kubeconfig string
	Logger     *slog.Logger
}

// Watch tells what one Runtime is to serve, as the API server has it. It reads
// Runtimes, Aggregates and Projections of one namespace, and writes nothing. See
// Run.
type Watch struct {
	config WatchConfig
	api    *api
	log    *slog.Logger

	// changed holds one when something has changed.
	changed     chan struct{}
	runtimes    *objects[*v1alpha1.Runtime]
	aggregates  *objects[*v1alpha1.Aggregate]
	projections *objects[*v1alpha1.Projection]
	// last is what was judged last, for what it has compiled.
	last *declaration.Namespace
}

// Target is who serves what is declared. One call is made at a time.
type Target interface {
	// Apply brings a set into force. After an error the same set is applied
	// again, unless there is a newer one. What does not take effect for good is
	// not an error.
	Apply(ctx context.Context, set *Set) error
	// ServeStored serves what was in force before the start, when nobody can be
	// asked what is declared now. Apply may follow.
	ServeStored(ctx context.Context) error
}

// NewWatch makes a Watch. It does not call the API server yet.
func NewWatch(c WatchConfig) (*Watch, error) {
	if c.Namespace == "" || c.Runtime == "" {
		return nil, errors.New("the namespace and name of the Runtime are needed")
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Client == nil {
		find := rest.InClusterConfig
		if c.Kubeconfig != "" {
			find = func() (*rest.Config, error) { return clientcmd.BuildConfigFromFlags("", c.Kubeconfig) }
		}
		var err error
		if c.Client, err = find(); err != nil {
			return nil, fmt.Errorf("find the API server: %w", err)
		}
	}
	api, err := newAPI(c.Client, c.Namespace, c.Logger)
	if err != nil {
		return nil, err
	}
	w := &Watch{config: c, api: api, log: c.Logger, changed: make(chan struct{}, 1)}
	poke := func() {
		select {
		case w.changed <- struct{}{}:
		default:
		}
	}
	w.runtimes = &objects[*v1alpha1.Runtime]{changed: poke, byName: map[string]*v1alpha1.Runtime{}}
	w.aggregates = &objects[*v1alpha1.Aggregate]{changed: poke, byName: map[string]*v1alpha1.Aggregate{}}
	w.projections = &objects[*v1alpha1.Projection]{changed: poke, byName: map[string]*v1alpha1.Projection{}}
	return w, nil
}

// Run has the target serve what is declared, from the first complete view on and
// with every change, until ctx ends. If the API server cannot be reached at the
// start, the target serves what was accepted before; if it goes away later, what
// was applied last stays in force. It is called once.
func (w *Watch) Run(ctx context.Context, target Target) {
	var mirrors sync.WaitGroup
	defer mirrors.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	mirrors.Go(func() { mirror(ctx, w.api, "runtimes", &v1alpha1.RuntimeList{}, &v1alpha1.Runtime{}, w.runtimes) })
	mirrors.Go(func() {
		mirror(ctx, w.api, "aggregates", &v1alpha1.AggregateList{}, &v1alpha1.Aggregate{}, w.aggregates)
	})
	mirrors.Go(func() {
		mirror(ctx, w.api, "projections", &v1alpha1.ProjectionList{}, &v1alpha1.Projection{}, w.projections)
	})
	r := runner{watch: w, target: target, pause: firstApply, began: time.Now(), edition: noEdition}
	r.timer = time.NewTimer(aloneAfter)
	defer r.timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.changed:
			if !r.gathering {
				r.gathering = true
				r.timer.Reset(gatherFor)
			}
		case <-r.timer.C:
			r.turn(ctx)
		}
	}
}

// runner is the state of one Run.
type runner struct {
	watch  *Watch
	target Target
	// timer says when to do the next thing: look at what has changed, try again,
	// or do without the API server.
	timer     *time.Timer
	gathering bool
	pause     time.Duration

	began time.Time
	// edition is that of the last set that was applied.
	edition string
	// stored: what the store had was served.
	stored bool
	// pending: what was applied or served last failed.
	pending bool
}

// noEdition is no set's edition.
const noEdition = "none"

// turn does what is due when the timer has run out.
func (r *runner) turn(ctx context.Context) {
	r.gathering = false
	set := r.watch.set()
	if set == nil {
		r.alone(ctx)
		return
	}
	switch edition := set.edition(); {
	case edition != r.edition:
		r.edition, r.pause = edition, firstApply
	case !r.pending:
		return // nothing of ours has changed
	}
	if err := r.target.Apply(ctx, set); err != nil {
		r.retry(ctx, "definitions could not be brought into force; it is tried again", err)
		return
	}
	r.pending, r.pause = false, firstApply
}

// alone does without an API server that has not told everything yet.
func (r *runner) alone(ctx context.Context) {
	if r.stored && !r.pending {
		return
	}
	if left := aloneAfter - time.Since(r.began); left > 0 {
		r.timer.Reset(left)
		return
	}
	if !r.stored {
		r.watch.log.Warn("the API server has not told yet what is declared; the definitions accepted last serve until it does")
	}
	r.stored = true
	if err := r.target.ServeStored(ctx); err != nil {
		r.retry(ctx, "the definitions accepted last cannot be served yet; it is tried again", err)
		return
	}
	r.pending, r.pause = false, firstApply
}

func (r *runner) retry(ctx context.Context, what string, err error) {
	r.pending = true
	if ctx.Err() != nil {
		return
	}
	r.watch.log.Warn(what, "error", err, "in", r.pause)
	r.timer.Reset(r.pause)
	r.pause = min(2*r.pause, lastApply)
}

// set gives what is declared now; nil before everything has been seen once.
func (w *Watch) set() *Set {
	n := &declaration.Namespace{}
	seen := [3]bool{}
	n.Runtimes, seen[0] = w.runtimes.snapshot()
	n.Aggregates, seen[1] = w.aggregates.snapshot()
	n.Projections, seen[2] = w.projections.snapshot()
	if seen != [3]bool{true, true, true} {
		return nil
	}
	if w.last != nil {
		n.Reuse(w.last)
	}
	w.last = n
	return setOf(w.config.Runtime, n)
}
