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
	"github.com/leftfold/leftfold/controllers/internal/index"
)

// Cluster reads what tells this cluster from others: the UID of its namespace
// kube-system. The operator needs the right to read that one namespace.
func Cluster(ctx context.Context, reader client.Reader) (string, error) {
	var namespace corev1.Namespace
	if err := reader.Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, &namespace); err != nil {
		return "", fmt.Errorf("read which cluster this is, by the UID of namespace %s: %w", metav1.NamespaceSystem, err)
	}
	return string(namespace.UID), nil
}

// SetupWithManager makes the reconciler and has the manager run it. The manager's
// cache has the fields of package index.
func SetupWithManager(mgr ctrl.Manager, o Options) error {
	if o.Cluster == "" {
		return errors.New("eventstore: Options.Cluster is empty")
	}
	if o.Events == nil {
		o.Events = mgr.GetEventRecorder(v1alpha1.FieldManager)
	}
	r := &Reconciler{client: mgr.GetClient(), live: mgr.GetAPIReader(), cluster: o.Cluster, events: o.Events}
	return ctrl.NewControllerManagedBy(mgr).
		Named("eventstore").
		// A deletion changes the generation; the reconciler's own writes do not. It does
		// without status.Watched: it looks again by its schedule, and an outage that
		// tells another error each time would make every write call for the next one.
		For(&v1alpha1.EventStore{}, builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
		Watches(&corev1.Secret{},
			index.Enqueue(r.client, func() client.ObjectList { return &v1alpha1.EventStoreList{} }, index.SecretOfStore), builder.OnlyMetadata).
		Watches(&corev1.PersistentVolumeClaim{}, handler.EnqueueRequestsFromMapFunc(ofVolume)).
		WithOptions(controller.Options{MaxConcurrentReconciles: atOnce}).
		Complete(r)
}

// ofVolume is the EventStore that a volume is labelled with.
func ofVolume(_ context.Context, volume client.Object) []reconcile.Request {
	name := volume.GetLabels()[v1alpha1.LabelEventStore]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Namespace: volume.GetNamespace(), Name: name}}}
}
