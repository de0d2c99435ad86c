package aggregate

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/controllers/internal/apply"
	"github.com/leftfold/leftfold/controllers/shard"
)

// applyShards makes a Shard object of every shard that the store has. Objects of
// shards that it has not are removed: they were made for another store.
func (r *Reconciler) applyShards(ctx context.Context, s *scope) error {
	shards := s.view.ShardsOf(s.object.Name)
	if len(shards) == 0 {
		return nil // the store does not know the Aggregate yet
	}
	wanted := make(map[string]v1alpha1.ShardSpec, len(shards))
	for _, each := range shards {
		wanted[nameOf(s.object, each)] = v1alpha1.ShardSpec{
			AggregateRef: v1alpha1.AggregateReference{Name: s.object.Name}, ID: each.Number,
			Slots: v1alpha1.SlotRange{First: each.First, Last: each.Last},
		}
	}
	var there v1alpha1.ShardList
	err := r.Client.List(ctx, &there, client.InNamespace(s.object.Namespace), client.MatchingLabels{v1alpha1.LabelAggregate: s.object.Name})
	if err != nil {
		return fmt.Errorf("list Shards: %w", err)
	}
	for i := range there.Items {
		object := &there.Items[i]
		if wanted[object.Name] == object.Spec || !metav1.IsControlledBy(object, s.object) {
			continue
		}
		// The spec of a Shard cannot change: it is made again on the next visit,
		// which its deletion brings about.
		delete(wanted, object.Name)
		if err := r.Client.Delete(ctx, object); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete Shard %s: %w", object.Name, err)
		}
	}
	for _, each := range shards {
		name := nameOf(s.object, each)
		if spec, ok := wanted[name]; ok {
			if _, err := apply.Object(ctx, r.Client, r.Client, &v1alpha1.Shard{}, desired(s.object, name, spec)); err != nil {
				return err
			}
		}
	}
	return nil
}

func nameOf(object *v1alpha1.Aggregate, s shard.Shard) string {
	return fmt.Sprintf("%s-%d", object.Name, s.Number)
}

// desired is a Shard as the Aggregate should have it.
func desired(object *v1alpha1.Aggregate, name string, spec v1alpha1.ShardSpec) runtime.ApplyConfiguration {
	u := &unstructured.Unstructured{Object: map[string]any{
		"spec": map[string]any{
			"aggregateRef": map[string]any{"name": spec.AggregateRef.Name},
			"id":           int64(spec.ID),
			"slots":        map[string]any{"first": int64(spec.Slots.First), "last": int64(spec.Slots.Last)},
		},
	}}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.KindShard))
	u.SetNamespace(object.Namespace)
	u.SetName(name)
	u.SetLabels(v1alpha1.ShardLabels(object.Name, object.Spec.RuntimeRef.Name))
	u.SetOwnerReferences([]metav1.OwnerReference{*metav1.NewControllerRef(object, v1alpha1.GroupVersion.WithKind(v1alpha1.KindAggregate))})
	return client.ApplyConfigurationFromUnstructured(u)
}
