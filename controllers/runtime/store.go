package runtime

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/leftfold/leftfold/api/declaration"
	"github.com/leftfold/leftfold/api/postgres"
	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/controllers/internal/status"
)

// findStore looks whether the Runtime can have its pods: its store has to be
// there, to take that many, and to be ready. Pods that run already stay while a
// store that was ready does not answer, and may be changed meanwhile; a store that
// somebody has to mend gets no new pods.
func (r *Reconciler) findStore(ctx context.Context, s *scope) error {
	var store v1alpha1.EventStore
	key := client.ObjectKey{Namespace: s.runtime.Namespace, Name: s.runtime.Spec.StoreRef.Name}
	there := declaration.Namespace{
		Stores:   map[string]*v1alpha1.EventStore{},
		Runtimes: map[string]*v1alpha1.Runtime{s.runtime.Name: s.runtime},
		Where:    fmt.Sprintf("namespace %q", s.runtime.Namespace),
	}
	switch err := r.Client.Get(ctx, key, &store); {
	case err == nil:
		s.store, there.Stores[store.Name] = &store, &store
	case !apierrors.IsNotFound(err):
		return fmt.Errorf("read EventStore %s: %w", key, err)
	}
	if problem, is := declaration.FirstError(there.Runtime(s.runtime.Name)); is {
		s.keep = true
		if problem.Waits != "" {
			s.decide(status.Progressing(problem.Reason, problem.String()))
		} else {
			s.decide(status.Stalled(problem.Reason, problem.String()))
		}
		return nil
	}
	if why, is := tooMany(s.runtime, &store); is {
		s.decide(status.Stalled(v1alpha1.ReasonTooManyConnections, why))
		s.keep = true
		return nil
	}
	if why, is := whyNotReady(&store); is {
		s.decide(status.Progressing(v1alpha1.ReasonStoreNotReady, why))
		stalled := meta.IsStatusConditionTrue(store.Status.Conditions, v1alpha1.ConditionStalled)
		s.keep = s.keep || s.deployment == nil || stalled || !store.DeletionTimestamp.IsZero()
	}
	return nil
}

// whyNotReady says what is the matter with a store.
func whyNotReady(store *v1alpha1.EventStore) (string, bool) {
	name := fmt.Sprintf("EventStore %q", store.Name)
	if !store.DeletionTimestamp.IsZero() {
		return name + " is being deleted", true
	}
	ready := meta.FindStatusCondition(store.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case ready == nil || store.Status.ObservedGeneration != store.Generation:
		return name + " has yet to be looked at", true
	case ready.Status != "True":
		return fmt.Sprintf("%s is not ready: %s: %s", name, ready.Reason, ready.Message), true
	}
	return "", false
}

// tooMany says whether the pods would open more connections than the database
// allows, during an update too, when there is a pod more.
func tooMany(r *v1alpha1.Runtime, store *v1alpha1.EventStore) (string, bool) {
	allowed, pods := store.Status.Connections, r.DesiredReplicas()
	if allowed == nil || pods == 0 {
		return "", false
	}
	needed := (pods + surge) * postgres.ConnectionsPerPod
	if needed <= *allowed {
		return "", false
	}
	fit := max(*allowed/postgres.ConnectionsPerPod-surge, 0)
	return fmt.Sprintf("spec.replicas: %d pods, and one more during an update, open up to %d connections, and EventStore %q allows %d; write replicas: %d, or raise max_connections",
		pods, needed, store.Name, *allowed, fit), true
}
