package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/controllers/internal/apply"
	"github.com/leftfold/leftfold/controllers/internal/certificate"
	"github.com/leftfold/leftfold/controllers/internal/status"
	"github.com/leftfold/leftfold/controllers/shard"
)

// Views is what the Fleet sees of a Runtime's pods.
type Views interface {
	View(runtime types.NamespacedName) (shard.View, bool)
}

// Certificates issues certificates and digests; *certificate.Keeper does.
type Certificates interface {
	Leaf(ctx context.Context, namespace, runtime string, present map[string][]byte) (certificate.Leaf, error)
	Digest(ctx context.Context, text []byte) (string, error)
}

// +kubebuilder:rbac:groups=leftfold.io,resources=runtimes,verbs=get;list;watch
// +kubebuilder:rbac:groups=leftfold.io,resources=runtimes/status,verbs=patch
// +kubebuilder:rbac:groups=leftfold.io,resources=runtimes/finalizers,verbs=update
// +kubebuilder:rbac:groups=leftfold.io,resources=eventstores,verbs=get;list;watch
// +kubebuilder:rbac:groups=apps,resources=deployments,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups="",resources=services,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups="",resources=serviceaccounts,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch
// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=rolebindings,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconciler brings about what Runtimes say.
type Reconciler struct {
	// Client reads from the manager's cache, and writes. Required.
	Client client.Client
	// Live reads Secrets, which no cache holds. Required.
	Live client.Reader
	// Certificates issues the pods' certificate. Required.
	Certificates Certificates
	// Views shows which shards the pods own. Required.
	Views Views
	// Events takes what people should know. Unset: nothing.
	Events events.EventRecorder
	// Image that pods run when their Runtime names none. Required.
	Image string
	// Role that pods are bound to. Required.
	Role Role
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// scope is what the phases of one reconciliation share.
type scope struct {
	runtime *v1alpha1.Runtime
	store   *v1alpha1.EventStore
	// deployment as it was after the phases that touch it; nil: there is none.
	deployment *appsv1.Deployment
	// verdict is what was found; the first counts.
	verdict *status.Verdict
	// again is when to look again though nothing changed; zero: never.
	again time.Time
	// keep: the objects stay as they are.
	keep bool
}

func (s *scope) decide(v status.Verdict) {
	if s.verdict == nil {
		s.verdict = &v
	}
}

// Reconcile implements reconcile.Reconciler.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var runtime v1alpha1.Runtime
	if err := r.Client.Get(ctx, request.NamespacedName, &runtime); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !runtime.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil // Kubernetes deletes what the Runtime owns
	}
	before := runtime.DeepCopy()
	s := &scope{runtime: &runtime}
	for _, phase := range []func(context.Context, *scope) error{
		r.findDeployment, r.giveIdentity, r.findStore, r.applyObjects, r.observe, r.prune,
	} {
		if err := phase(ctx, s); err != nil && !r.explain(s, err) {
			return ctrl.Result{}, err
		}
	}
	return r.tell(ctx, s, before)
}

// refusedAgain is when an object is tried again that some policy of the cluster
// forbids, which nothing tells the end of.
const refusedAgain = 30 * time.Second

// explain turns an error that is the user's to mend into a verdict.
func (r *Reconciler) explain(s *scope, err error) bool {
	switch {
	case errors.Is(err, apply.ErrForeign):
		s.decide(status.Stalled(v1alpha1.ReasonNameTaken, fmt.Sprintf("%s; delete that object, or give the Runtime another name", err)))
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		s.decide(status.Stalled(v1alpha1.ReasonRefused, err.Error()))
	case apierrors.IsForbidden(err):
		s.decide(status.Progressing(v1alpha1.ReasonRefused, err.Error()))
		if again := r.now().Add(refusedAgain); s.again.IsZero() || again.Before(s.again) {
			s.again = again
		}
	default:
		return false
	}
	s.keep = true
	return true
}

// tell writes what was found, when it is something new.
func (r *Reconciler) tell(ctx context.Context, s *scope, before *v1alpha1.Runtime) (ctrl.Result, error) {
	now, runtime := r.now(), s.runtime
	runtime.Status.Conditions = s.verdict.Conditions(runtime.Status.Conditions, runtime.Generation, now)
	runtime.Status.ObservedGeneration = runtime.Generation
	after := runtime.DeepCopy()
	switch wrote, err := status.Write(ctx, r.Client, before, runtime); {
	case apierrors.IsNotFound(err):
		return ctrl.Result{}, nil // it was deleted meanwhile
	case err != nil:
		return ctrl.Result{}, err
	case wrote:
		status.Announce(r.Events, after, before.Status.Conditions, after.Status.Conditions)
	}
	if s.again.IsZero() {
		return ctrl.Result{}, nil
	}
	return ctrl.Result{RequeueAfter: max(s.again.Sub(now), time.Second)}, nil
}

func (r *Reconciler) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

func (r *Reconciler) findDeployment(ctx context.Context, s *scope) error {
	var deployment appsv1.Deployment
	switch err := r.Client.Get(ctx, client.ObjectKeyFromObject(s.runtime), &deployment); {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("read the Deployment: %w", err)
	}
	s.deployment = &deployment
	return nil
}
