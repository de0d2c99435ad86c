package eventstore

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/controllers/internal/status"
)

// Finalizer keeps an EventStore until its data are settled.
const Finalizer = v1alpha1.Group + "/eventstore"

// atOnce is how many EventStores are looked at at the same time: one that does not
// answer holds up its own place only.
const atOnce = 4

// Options are what the reconciler needs beside the manager.
type Options struct {
	// Cluster tells this Kubernetes cluster from others that may use the same
	// database; [Cluster] reads it. Required.
	Cluster string
	// Events records what happened to EventStores. Default: the manager's.
	Events events.EventRecorder
}

// Reconciler brings EventStores to what they should be.
type Reconciler struct {
	client client.Client
	// live reads Secrets past the cache, which holds no more of them than their
	// names.
	live    client.Reader
	cluster string
	events  events.EventRecorder
}

// +kubebuilder:rbac:groups=leftfold.io,resources=eventstores,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=leftfold.io,resources=eventstores/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=persistentvolumeclaims,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="";events.k8s.io,resources=events,verbs=create;patch

// Reconcile looks at one EventStore.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var store v1alpha1.EventStore
	if err := r.client.Get(ctx, request.NamespacedName, &store); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	s := &scope{Reconciler: r, store: &store, before: store.DeepCopy(), now: time.Now()}
	after, err := s.run(ctx)
	if apierrors.IsConflict(err) {
		// It was changed since it was read: what was found may be wrong.
		return ctrl.Result{RequeueAfter: conflictPause}, nil
	}
	return ctrl.Result{RequeueAfter: after}, err
}

// scope is one look at one EventStore.
type scope struct {
	*Reconciler
	// store is the object as it is to be; before is the object as the server has
	// it.
	store, before *v1alpha1.EventStore
	now           time.Time
}

// run goes through the phases, and tells when to look again; 0 leaves that to the
// watches.
func (s *scope) run(ctx context.Context) (time.Duration, error) {
	if !s.store.DeletionTimestamp.IsZero() {
		return s.leave(ctx)
	}
	if controllerutil.AddFinalizer(s.store, Finalizer) {
		if err := s.patch(ctx); err != nil {
			return 0, fmt.Errorf("add the finalizer: %w", err)
		}
	}
	phase := s.postgres
	if s.store.Spec.SQLite != nil {
		phase = s.sqlite
	}
	verdict, after, err := phase(ctx)
	if err != nil {
		return 0, err
	}
	return after, s.say(ctx, verdict)
}

// say writes the status, if it is another one, and tells people of it.
func (s *scope) say(ctx context.Context, v status.Verdict) error {
	s.store.Status.ObservedGeneration = s.store.Generation
	s.store.Status.Conditions = v.Conditions(s.before.Status.Conditions, s.store.Generation, s.now)
	written, err := status.Write(ctx, s.client, s.before, s.store)
	if err != nil || !written {
		return err
	}
	status.Announce(s.events, s.store, s.before.Status.Conditions, s.store.Status.Conditions)
	s.before = s.store.DeepCopy()
	return nil
}

// patch writes metadata alone. The server's answer takes the place of the object,
// the status that was being made is kept.
func (s *scope) patch(ctx context.Context) error {
	made := s.store.Status.DeepCopy()
	patch := client.MergeFromWithOptions(s.before, client.MergeFromWithOptimisticLock{})
	if err := s.client.Patch(ctx, s.store, patch, client.FieldOwner(v1alpha1.FieldManager)); err != nil {
		return err
	}
	s.before = s.store.DeepCopy()
	s.store.Status = *made
	return nil
}
