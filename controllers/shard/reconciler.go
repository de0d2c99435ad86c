package shard

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/controllers/internal/status"
)

// +kubebuilder:rbac:groups=leftfold.io,resources=shards/status,verbs=patch

const (
	// writesPerSecond and writesAtOnce bound the writes of Shard status, so that a
	// failover of thousands of shards leaves the API server to others, and that of a
	// few leaves it, and the operator, to the failover. They follow for people; nothing
	// waits for them.
	writesPerSecond, writesAtOnce = 50, 5
	// writers is how many are under way at a time.
	writers = 2
	// conflictPause is how long a cache that is behind takes to catch up.
	conflictPause = 50 * time.Millisecond
)

// Views shows what the Fleet sees.
type Views interface {
	View(runtime types.NamespacedName) (View, bool)
	Shards() source.Source
}

// Reconciler writes the status of Shard objects after the View.
type Reconciler struct {
	// Client reads from the manager's cache and writes. Required.
	Client client.Client
	// Views is the Fleet. Required.
	Views Views

	limit *rate.Limiter
}

// SetupWithManager has the Reconciler called for Shards that are made, and that
// change in the View.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	r.limit = rate.NewLimiter(writesPerSecond, writesAtOnce)
	err := ctrl.NewControllerManagedBy(mgr).
		Named("shard").
		For(&v1alpha1.Shard{}, status.Watched()).
		WatchesRawSource(r.Views.Shards()).
		WithOptions(controller.Options{MaxConcurrentReconciles: writers}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up the reconciler of Shards: %w", err)
	}
	return nil
}

// Reconcile writes a Shard's status if it is not what the View says. What the View
// does not know yet stays as it is.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var object v1alpha1.Shard
	if err := r.Client.Get(ctx, request.NamespacedName, &object); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	runtime := types.NamespacedName{Namespace: object.Namespace, Name: object.Labels[v1alpha1.LabelRuntime]}
	view, ok := r.Views.View(runtime)
	if !ok || !view.Surveyed || object.DeletionTimestamp != nil {
		return reconcile.Result{}, nil
	}
	seen, ok := view.Shard(object.Spec.AggregateRef.Name, object.Spec.ID)
	if !ok {
		return reconcile.Result{}, nil
	}
	before := object.DeepCopy()
	object.Status = statusOf(before, &seen, time.Now())
	if equality.Semantic.DeepEqual(before.Status, object.Status) {
		return reconcile.Result{}, nil
	}
	if r.limit != nil {
		if err := r.limit.Wait(ctx); err != nil {
			return reconcile.Result{}, err
		}
	}
	_, err := status.Write(ctx, r.Client, before, &object)
	if apierrors.IsConflict(err) {
		return reconcile.Result{RequeueAfter: conflictPause}, nil // the cache is behind
	}
	return reconcile.Result{}, client.IgnoreNotFound(err)
}
