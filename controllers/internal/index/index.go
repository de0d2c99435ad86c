// Package index finds objects by what they refer to: the Runtimes of an
// EventStore, the EventStores of a Secret. Reconcilers watch what they refer to
// by it, so that nobody has to ask again and again.
//
// It knows the references of the kinds and nothing of what they mean.
package index

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// Fields that objects of the manager's cache can be listed by; all of them hold
// names of objects in the same namespace.
const (
	// SecretOfStore: EventStores, by the Secret with their connection.
	SecretOfStore = "spec.postgres.connectionSecretRef.name"
	// StoreOfRuntime: Runtimes, by their EventStore.
	StoreOfRuntime = "spec.storeRef.name"
	// RuntimeOfAggregate: Aggregates, by their Runtime.
	RuntimeOfAggregate = "spec.runtimeRef.name"
)

// Add registers all fields with a manager's cache. It is to be called once, before
// the cache starts.
func Add(ctx context.Context, indexer client.FieldIndexer) error {
	fields := []struct {
		object client.Object
		field  string
		values client.IndexerFunc
	}{
		{&v1alpha1.EventStore{}, SecretOfStore, func(o client.Object) []string {
			if postgres := o.(*v1alpha1.EventStore).Spec.Postgres; postgres != nil {
				return []string{postgres.ConnectionSecretRef.Name}
			}
			return nil
		}},
		{&v1alpha1.Runtime{}, StoreOfRuntime, func(o client.Object) []string {
			return []string{o.(*v1alpha1.Runtime).Spec.StoreRef.Name}
		}},
		{&v1alpha1.Aggregate{}, RuntimeOfAggregate, func(o client.Object) []string {
			return []string{o.(*v1alpha1.Aggregate).Spec.RuntimeRef.Name}
		}},
	}
	for _, f := range fields {
		if err := indexer.IndexField(ctx, f.object, f.field, f.values); err != nil {
			return fmt.Errorf("index %T by %s: %w", f.object, f.field, err)
		}
	}
	return nil
}

// Enqueue handles a change of an object by looking at those that refer to it:
// newList makes an empty list of their kind, and field is one of the above.
func Enqueue(reader client.Reader, newList func() client.ObjectList, field string) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
		return Requests(ctx, reader, newList(), o.GetNamespace(), field, o.GetName())
	})
}

// Requests are the objects of a namespace whose field has a name. They are read
// from a cache, which fails only while the process ends.
func Requests(ctx context.Context, reader client.Reader, list client.ObjectList, namespace, field, name string) []reconcile.Request {
	if err := reader.List(ctx, list, client.InNamespace(namespace), client.MatchingFields{field: name}); err != nil {
		return nil
	}
	return requests(list)
}

// All are all objects of a kind, in all namespaces that are watched.
func All(ctx context.Context, reader client.Reader, list client.ObjectList) []reconcile.Request {
	if err := reader.List(ctx, list); err != nil {
		return nil
	}
	return requests(list)
}

func requests(list client.ObjectList) []reconcile.Request {
	var out []reconcile.Request
	_ = meta.EachListItem(list, func(item runtime.Object) error {
		if o, is := item.(client.Object); is {
			out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(o)})
		}
		return nil
	})
	return out
}
