package runtime

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/controllers/internal/index"
	"github.com/leftfold/leftfold/controllers/internal/status"
)

// workers is how many Runtimes are looked at at once; a look is short.
const workers = 4

// SetupWithManager has the manager call the Reconciler. changes tells of Runtimes
// whose pods changed in the View; authorities tells that whom to trust changed, so
// that all have to be looked at. The manager's cache has the fields of package
// index.
func (r *Reconciler) SetupWithManager(m ctrl.Manager, changes source.Source, authorities <-chan event.GenericEvent) error {
	return ctrl.NewControllerManagedBy(m).
		Named("runtime").
		For(&v1alpha1.Runtime{}, status.Watched()).
		Owns(&appsv1.Deployment{}).
		Owns(&corev1.Service{}).
		Owns(&corev1.ServiceAccount{}).
		Owns(&policyv1.PodDisruptionBudget{}).
		Owns(&rbacv1.RoleBinding{}).
		Owns(&corev1.Secret{}, builder.OnlyMetadata).
		Watches(&v1alpha1.EventStore{}, index.Enqueue(r.Client, newRuntimes, index.StoreOfRuntime)).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.usersOfSecret), builder.OnlyMetadata).
		WatchesRawSource(changes).
		WatchesRawSource(source.Channel(authorities, handler.EnqueueRequestsFromMapFunc(r.everyone))).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers}).
		Complete(r)
}

func newRuntimes() client.ObjectList { return &v1alpha1.RuntimeList{} }

// usersOfSecret are the Runtimes whose store's connection is in a Secret.
func (r *Reconciler) usersOfSecret(ctx context.Context, secret client.Object) []reconcile.Request {
	var out []reconcile.Request
	stores := index.Requests(ctx, r.Client, &v1alpha1.EventStoreList{}, secret.GetNamespace(), index.SecretOfStore, secret.GetName())
	for _, store := range stores {
		out = append(out, index.Requests(ctx, r.Client, newRuntimes(), store.Namespace, index.StoreOfRuntime, store.Name)...)
	}
	return out
}

func (r *Reconciler) everyone(ctx context.Context, _ client.Object) []reconcile.Request {
	return index.All(ctx, r.Client, newRuntimes())
}
