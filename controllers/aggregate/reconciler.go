package aggregate

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/controllers/internal/index"
	"github.com/leftfold/leftfold/controllers/internal/status"
	"github.com/leftfold/leftfold/controllers/shard"
)

// +kubebuilder:rbac:groups=leftfold.io,resources=aggregates,verbs=get;list;watch
// +kubebuilder:rbac:groups=leftfold.io,resources=aggregates/status,verbs=patch
// +kubebuilder:rbac:groups=leftfold.io,resources=aggregates/finalizers,verbs=update
// +kubebuilder:rbac:groups=leftfold.io,resources=runtimes,verbs=get;list;watch
// +kubebuilder:rbac:groups=leftfold.io,resources=shards,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Views shows what the Fleet sees.
type Views interface {
	View(runtime types.NamespacedName) (shard.View, bool)
	Aggregates() source.Source
}

// Reconciler reconciles Aggregates. All fields are required.
type Reconciler struct {
	// Client reads from the manager's cache and writes.
	Client client.Client
	Views  Views
	Events events.EventRecorder
}

// SetupWithManager has the Reconciler called when an Aggregate, its Runtime, one
// of its Shards, or what the Fleet sees of it changes. The manager's cache has the
// fields of package index.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	declared := builder.WithPredicates(predicate.GenerationChangedPredicate{})
	err := ctrl.NewControllerManagedBy(mgr).
		Named("aggregate").
		For(&v1alpha1.Aggregate{}, status.Watched()).
		Owns(&v1alpha1.Shard{}, builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, predicate.LabelChangedPredicate{}))).
		Watches(&v1alpha1.Runtime{}, index.Enqueue(r.Client, newAggregates, index.RuntimeOfAggregate), declared).
		WatchesRawSource(r.Views.Aggregates()).
		WithOptions(controller.Options{MaxConcurrentReconciles: 4}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up the reconciler of Aggregates: %w", err)
	}
	return nil
}

func newAggregates() client.ObjectList { return &v1alpha1.AggregateList{} }

// scope is what one visit works on.
type scope struct {
	object *v1alpha1.Aggregate
	// runtime is nil when there is none of the name.
	runtime *v1alpha1.Runtime
	// view is what the Fleet sees of the Runtime; seen tells that it is complete.
	view shard.View
	seen bool
	// definition is what the pods made of this very object; nil before they have
	// told.
	definition *shard.Definition
}

// Reconcile visits an Aggregate.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	s, err := r.look(ctx, request.NamespacedName)
	if err != nil || s == nil {
		return reconcile.Result{}, err
	}
	if s.seen {
		err = r.applyShards(ctx, s)
	}
	return reconcile.Result{}, errors.Join(err, r.tell(ctx, s))
}

// look reads what there is; nil when there is nothing to be done.
func (r *Reconciler) look(ctx context.Context, key types.NamespacedName) (*scope, error) {
	s := &scope{object: &v1alpha1.Aggregate{}}
	if err := r.Client.Get(ctx, key, s.object); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	if s.object.DeletionTimestamp != nil {
		return nil, nil // its Shards go with it; its events stay
	}
	runtime := types.NamespacedName{Namespace: key.Namespace, Name: s.object.Spec.RuntimeRef.Name}
	s.runtime = &v1alpha1.Runtime{}
	switch err := r.Client.Get(ctx, runtime, s.runtime); {
	case apierrors.IsNotFound(err):
		s.runtime = nil
		return s, nil
	case err != nil:
		return nil, fmt.Errorf("read Runtime %s: %w", runtime, err)
	}
	if s.view, s.seen = r.Views.View(runtime); s.seen {
		s.seen = s.view.Surveyed
	}
	if d, ok := s.view.Definition(v1alpha1.KindAggregate, s.object.Name); ok && d.UID == s.object.UID {
		s.definition = &d
	}
	return s, nil
}

// tell writes the status, once, and the event.
func (r *Reconciler) tell(ctx context.Context, s *scope) error {
	verdict := judge(s)
	if verdict == nil {
		return nil // nothing new is known
	}
	before := s.object.DeepCopy()
	now := &s.object.Status
	now.ObservedGeneration = s.object.Generation
	now.Conditions = verdict.Conditions(now.Conditions, s.object.Generation, time.Now())
	if s.definition != nil {
		now.AcceptedGeneration = s.definition.Accepted
	}
	if s.seen {
		now.OwnedShards = new(owned(s))
	}
	wrote, err := status.Write(ctx, r.Client, before, s.object)
	if err != nil {
		return client.IgnoreNotFound(err)
	}
	if wrote {
		status.Announce(r.Events, s.object, before.Status.Conditions, now.Conditions)
	}
	return nil
}
