package eventstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/controllers/internal/apply"
	"github.com/leftfold/leftfold/controllers/internal/status"
)

// sqlite sees to the volume. What is in it only the pod that mounts it can tell.
func (s *scope) sqlite(ctx context.Context) (status.Verdict, time.Duration, error) {
	s.store.Status.Version = "SQLite"
	volume, err := s.volume(ctx)
	if err != nil {
		return status.Verdict{}, 0, err
	}
	if volume != nil && !volume.DeletionTimestamp.IsZero() {
		return status.Progressing(v1alpha1.ReasonProgressing, fmt.Sprintf(
			"PersistentVolumeClaim %q of an EventStore before this one is still being deleted.", volume.Name)), 0, nil
	}
	_, err = apply.Object(ctx, s.client, s.live, &corev1.PersistentVolumeClaim{}, claim(s.store, volume, s.keeps()))
	unfit := func(text string) (status.Verdict, time.Duration, error) {
		return status.Stalled(v1alpha1.ReasonStoreUnsuitable, text), retryPause(s.before.Status.Conditions, s.now), nil
	}
	name := v1alpha1.DataVolumeName(s.store.Name)
	switch {
	case errors.Is(err, apply.ErrForeign):
		return unfit(fmt.Sprintf("PersistentVolumeClaim %q is there, and Leftfold did not make it. Delete it; or, to have its volume used, label it %s=%s.",
			name, v1alpha1.LabelManagedBy, v1alpha1.FieldManager))
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err):
		return unfit("spec.sqlite.storage: " + err.Error())
	case err != nil:
		return status.Verdict{}, 0, err
	case volume != nil && volume.Status.Phase == corev1.ClaimLost:
		return unfit(fmt.Sprintf("PersistentVolumeClaim %q has lost its volume, and the events with it.", name))
	}
	return status.Ready(fmt.Sprintf("PersistentVolumeClaim %q keeps the file.", name)), 0, nil
}

// keeps: the volume stays when the EventStore goes.
func (s *scope) keeps() bool { return s.store.Spec.DeletionPolicy != v1alpha1.DeletionDelete }

// volume is the claim as it is, nil when there is none.
func (s *scope) volume(ctx context.Context) (*corev1.PersistentVolumeClaim, error) {
	var volume corev1.PersistentVolumeClaim
	key := client.ObjectKey{Namespace: s.store.Namespace, Name: v1alpha1.DataVolumeName(s.store.Name)}
	if err := s.client.Get(ctx, key, &volume); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("read PersistentVolumeClaim %s: %w", key, err)
	}
	return &volume, nil
}

// claim is the volume as it should be, over what is there, nil for nothing. It
// goes with the EventStore unless that keeps it. A claim never shrinks, and its
// access modes are for ever: one that an EventStore of the name left behind, or
// that somebody made, may have others.
func claim(store *v1alpha1.EventStore, there *corev1.PersistentVolumeClaim, keep bool) *corev1ac.PersistentVolumeClaimApplyConfiguration {
	modes := []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOncePod}
	size := store.Spec.SQLite.Storage
	if there != nil {
		modes = there.Spec.AccessModes
		if has := there.Spec.Resources.Requests[corev1.ResourceStorage]; has.Cmp(size) > 0 {
			size = has
		}
	}
	out := corev1ac.PersistentVolumeClaim(v1alpha1.DataVolumeName(store.Name), store.Namespace).
		WithLabels(v1alpha1.EventStoreLabels(store.Name)).
		WithSpec(corev1ac.PersistentVolumeClaimSpec().
			WithAccessModes(modes...).
			WithResources(corev1ac.VolumeResourceRequirements().
				WithRequests(corev1.ResourceList{corev1.ResourceStorage: canonical(size)})))
	if !keep {
		out.WithOwnerReferences(metav1ac.OwnerReference().
			WithAPIVersion(v1alpha1.GroupVersion.String()).WithKind(v1alpha1.KindEventStore).
			WithName(store.Name).WithUID(store.UID).WithController(true))
	}
	return out
}

// canonical is the quantity as the API server writes it.
func canonical(q resource.Quantity) resource.Quantity { return resource.MustParse(q.String()) }
