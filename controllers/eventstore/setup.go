package eventstore

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// secretIndex finds EventStores by the Secret that they name.
const secretIndex = "eventstore.connectionSecret"

// Cluster reads what tells this cluster from others: the UID of its namespace
// kube-system. The operator needs the right to read that one namespace.
func Cluster(ctx context.Context, reader client.Reader) (string, error) {
	var namespace corev1.Namespace
	if err := reader.Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, &namespace); err != nil {
		return "", fmt.Errorf("read which cluster this is, by the UID of namespace %s: %w", metav1.NamespaceSystem, err)
	}
	return string(namespace.UID), nil
}

// SetupWithManager makes the reconciler and has the manager run it.
func SetupWithManager(mgr ctrl.Manager, o Options) error {
	if o.Cluster == "" {
		return errors.New("eventstore: Options.Cluster is empty")
	}
	if o.Events == nil {
		o.Events = mgr.GetEventRecorder(v1alpha1.FieldManager)
	}
	r := &Reconciler{client: mgr.GetClient(), live: mgr.GetAPIReader(), cluster: o.Cluster, events: o.Events}
	if err := mgr.GetFieldIndexer().IndexField(context.Background(), &v1alpha1.EventStore{}, secretIndex, secretOf); err != nil {
		return fmt.Errorf("index EventStores by Secret: %w", err)
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("eventstore").
		// A deletion changes the generation; the reconciler's own writes do not.
		For(&v1alpha1.EventStore{}, builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.ofSecret), builder.OnlyMetadata).
		Watches(&corev1.PersistentVolumeClaim{}, handler.EnqueueRequestsFromMapFunc(ofVolume)).
		WithOptions(controller.Options{MaxConcurrentReconciles: atOnce}).
		Complete(r)
}

func secretOf(object client.Object) []string {
	store, is := object.(*v1alpha1.EventStore)
	if !is || store.Spec.Postgres == nil {
		return nil
	}
	return []string{store.Spec.Postgres.ConnectionSecretRef.Name}
}

// ofSecret are the EventStores that name the Secret.
func (r *Reconciler) ofSecret(ctx context.Context, secret client.Object) []reconcile.Request {
	var stores v1alpha1.EventStoreList
	if err := r.client.List(ctx, &stores, client.InNamespace(secret.GetNamespace()), client.MatchingFields{secretIndex: secret.GetName()}); err != nil {
		// The cache answers; it has the index.
		ctrl.LoggerFrom(ctx).Error(err, "cannot find the EventStores that a Secret belongs to", "secret", secret.GetName())
		return nil
	}
	requests := make([]reconcile.Request, 0, len(stores.Items))
	for i := range stores.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&stores.Items[i])})
	}
	return requests
}

// ofVolume is the EventStore that a volume is labelled with.
func ofVolume(_ context.Context, volume client.Object) []reconcile.Request {
	name := volume.GetLabels()[v1alpha1.LabelEventStore]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Namespace: volume.GetNamespace(), Name: name}}}
}
