package projection

import (
	"context"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/controllers/shard"
)

// changingViews shows a View that a test changes.
type changingViews struct {
	mu    sync.Mutex
	view  shard.View
	queue workqueue.TypedRateLimitingInterface[reconcile.Request]
}

func (v *changingViews) View(runtime types.NamespacedName) (shard.View, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.view, runtime.Name == "bank"
}

func (v *changingViews) Projections() source.Source {
	return source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.queue = queue
		return nil
	})
}

// show changes the View and tells of it.
func (v *changingViews) show(view shard.View, object types.NamespacedName) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.view = view
	if v.queue != nil {
		v.queue.Add(reconcile.Request{NamespacedName: object})
	}
}

// What is seen goes and is back at once: when the reconciler looks again, the cache
// has not got its own last write yet. It must not take the status before that for
// the present one.
func TestAStatusIsRightInTheEndWhenTheCacheIsBehind(t *testing.T) {
	r := newRig(t)
	r.bank()
	r.balances("balances")
	r.sees()
	follows := *r.view
	without := follows
	without.Projections = nil
	name := types.NamespacedName{Namespace: r.namespace, Name: "balances"}
	views := &changingViews{view: follows}
	notReady := make(chan struct{})

	mgr, err := ctrl.NewManager(server.Config, ctrl.Options{
		Scheme: server.Scheme, Metrics: metricsserver.Options{BindAddress: "0"},
		Cache: cache.Options{DefaultNamespaces: map[string]cache.Config{r.namespace: {}}},
	})
	r.must(err)
	direct, err := client.NewWithWatch(server.Config, client.Options{Scheme: server.Scheme})
	r.must(err)
	cached := interceptor.NewClient(direct, interceptor.Funcs{
		Get: func(ctx context.Context, _ client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			return mgr.GetCache().Get(ctx, key, o, opts...)
		},
		List: func(ctx context.Context, _ client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			return mgr.GetCache().List(ctx, list, opts...)
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
			err := c.SubResource(sub).Patch(ctx, o, patch, opts...)
			if err == nil && isTold(o, "the table is not there yet") {
				views.show(follows, name)
				select {
				case notReady <- struct{}{}:
				case <-ctx.Done():
				}
			}
			return err
		},
	})
	reconciler := &Reconciler{Client: cached, Views: views, Events: events.NewFakeRecorder(1000)}
	r.must(reconciler.SetupWithManager(mgr))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	defer func() { cancel(); r.must(<-ended) }()

	for range 20 {
		r.untilReady()
		views.show(without, name)
		<-notReady
	}
	r.untilReady()
}

func isTold(o client.Object, message string) bool {
	p, is := o.(*v1alpha1.Projection)
	if !is {
		return false
	}
	c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionReady)
	return c != nil && c.Message == message
}

func (r *rig) untilReady() {
	r.Helper()
	deadline := time.After(10 * time.Second)
	for {
		p := r.read()
		if meta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.ConditionReady) {
			return
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			r.Fatalf("the status stays as it is, though the View is another: %+v", p.Status)
		}
	}
}
