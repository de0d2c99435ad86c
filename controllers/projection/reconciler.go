package projection

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/leftfold/leftfold/api/declaration"
	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/controllers/internal/status"
	"github.com/leftfold/leftfold/controllers/shard"
)

// +kubebuilder:rbac:groups=leftfold.io,resources=projections,verbs=get;list;watch
// +kubebuilder:rbac:groups=leftfold.io,resources=projections/status,verbs=patch
// +kubebuilder:rbac:groups=leftfold.io,resources=aggregates;runtimes,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Views shows what the Fleet sees.
type Views interface {
	View(runtime types.NamespacedName) (shard.View, bool)
	Projections() source.Source
}

// Reconciler reconciles Projections. All fields are required.
type Reconciler struct {
	// Client reads from the manager's cache and writes.
	Client client.Client
	Views  Views
	Events events.EventRecorder
}

// SetupWithManager has the Reconciler called when a Projection, one of its
// sources, or what the Fleet sees of it changes. A Projection that comes or goes
// may give a table's name to another, so all of the namespace are looked at.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	declared := builder.WithPredicates(predicate.GenerationChangedPredicate{})
	all := handler.EnqueueRequestsFromMapFunc(r.ofNamespace)
	err := ctrl.NewControllerManagedBy(mgr).
		Named("projection").
		For(&v1alpha1.Projection{}, status.Watched()).
		Watches(&v1alpha1.Projection{}, all, declared).
		Watches(&v1alpha1.Aggregate{}, all, declared).
		Watches(&v1alpha1.Runtime{}, all, declared).
		WatchesRawSource(r.Views.Projections()).
		WithOptions(controller.Options{MaxConcurrentReconciles: 4}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up the reconciler of Projections: %w", err)
	}
	return nil
}

// ofNamespace lists the Projections beside an object.
func (r *Reconciler) ofNamespace(ctx context.Context, beside client.Object) []reconcile.Request {
	var all v1alpha1.ProjectionList
	if err := r.Client.List(ctx, &all, client.InNamespace(beside.GetNamespace())); err != nil {
		return nil // the cache has ended, and this process with it
	}
	requests := make([]reconcile.Request, len(all.Items))
	for i := range all.Items {
		requests[i] = reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&all.Items[i])}
	}
	return requests
}

// scope is what one visit works on.
type scope struct {
	object *v1alpha1.Projection
	// problems are those of the declaration, and of what it names.
	problems []declaration.Problem
	// runtime that serves it; empty when none of its sources is there.
	runtime string
	// seen tells that what the Fleet sees of the Runtime is complete.
	seen bool
	// served: a pod of the Runtime is ready.
	served bool
	// definition is what the pods made of this very object, progress how far it
	// is; nil before they have told.
	definition *shard.Definition
	progress   *shard.Projection
}

// Reconcile visits a Projection.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	s, err := r.look(ctx, request.NamespacedName)
	if err != nil || s == nil {
		return reconcile.Result{}, err
	}
	return reconcile.Result{}, r.tell(ctx, s)
}

// look reads what there is; nil when there is nothing to be done.
func (r *Reconciler) look(ctx context.Context, key types.NamespacedName) (*scope, error) {
	s := &scope{object: &v1alpha1.Projection{}}
	if err := r.Client.Get(ctx, key, s.object); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	if s.object.DeletionTimestamp != nil {
		return nil, nil // there is nothing to be kept
	}
	n, err := r.declared(ctx, key.Namespace)
	if err != nil {
		return nil, err
	}
	_, s.problems = n.Projection(key.Name)
	if s.runtime = n.RuntimeOf(s.object); s.runtime == "" {
		return s, nil
	}
	view, ok := r.Views.View(types.NamespacedName{Namespace: key.Namespace, Name: s.runtime})
	s.seen = ok && view.Surveyed
	s.served = slices.ContainsFunc(view.Members, func(m shard.Member) bool { return m.Ready })
	if d, ok := view.Definition(v1alpha1.KindProjection, key.Name); ok && d.UID == s.object.UID {
		s.definition = &d
	}
	if p, ok := view.Projection(key.Name); ok && s.definition != nil {
		s.progress = &p
	}
	return s, nil
}

// declared gathers what a Projection is judged beside. EventStores are not needed:
// which Runtimes share one, their references tell.
func (r *Reconciler) declared(ctx context.Context, namespace string) (*declaration.Namespace, error) {
	var (
		runtimes    v1alpha1.RuntimeList
		aggregates  v1alpha1.AggregateList
		projections v1alpha1.ProjectionList
	)
	for _, list := range []client.ObjectList{&runtimes, &aggregates, &projections} {
		if err := r.Client.List(ctx, list, client.InNamespace(namespace)); err != nil {
			return nil, fmt.Errorf("list what is declared in %s: %w", namespace, err)
		}
	}
	n := &declaration.Namespace{
		Runtimes: map[string]*v1alpha1.Runtime{}, Aggregates: map[string]*v1alpha1.Aggregate{},
		Projections: map[string]*v1alpha1.Projection{},
	}
	for i := range runtimes.Items {
		n.Runtimes[runtimes.Items[i].Name] = &runtimes.Items[i]
	}
	for i := range aggregates.Items {
		n.Aggregates[aggregates.Items[i].Name] = &aggregates.Items[i]
	}
	for i := range projections.Items {
		n.Projections[projections.Items[i].Name] = &projections.Items[i]
	}
	return n, nil
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
	if p := s.progress; p != nil {
		now.Table, now.Position = p.Table, p.Position
		now.LagEvents, now.LagSeconds = new(p.LagEvents), new(int64(p.Lag/time.Second))
		now.QuarantinedEntities = new(p.Quarantined)
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
