package runtime

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/controllers/internal/apply"
)

// giveIdentity keeps the Secret with the pods' certificate. It comes before all
// that may be wrong with the Runtime: pods that run need it.
func (r *Reconciler) giveIdentity(ctx context.Context, s *scope) error {
	var present corev1.Secret
	key := client.ObjectKey{Namespace: s.runtime.Namespace, Name: v1alpha1.IdentitySecretName(s.runtime.Name)}
	if err := r.Live.Get(ctx, key, &present); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("read Secret %s: %w", key, err)
	}
	leaf, err := r.Certificates.Leaf(ctx, s.runtime.Namespace, s.runtime.Name, present.Data)
	if err != nil {
		return fmt.Errorf("issue a certificate: %w", err)
	}
	s.again = leaf.RenewAt
	_, err = apply.Object(ctx, r.Client, r.Live, &present, identitySecret(s.runtime, leaf.Data))
	return err
}

// digestOfStore changes with the connection of the store, so that pods are
// replaced when it does. While the Secret cannot be read, pods stay.
func (r *Reconciler) digestOfStore(ctx context.Context, s *scope) (string, error) {
	postgres := s.store.Spec.Postgres
	if postgres == nil {
		return "", nil
	}
	var secret corev1.Secret
	key := client.ObjectKey{Namespace: s.runtime.Namespace, Name: postgres.ConnectionSecretRef.Name}
	switch err := r.Live.Get(ctx, key, &secret); {
	case apierrors.IsNotFound(err):
		return presentDigest(s), nil
	case err != nil:
		return "", fmt.Errorf("read Secret %s: %w", key, err)
	}
	connection, ok := secret.Data[postgres.ConnectionSecretRef.Key]
	if !ok {
		return presentDigest(s), nil
	}
	return r.Certificates.Digest(ctx, connection)
}

func presentDigest(s *scope) string {
	if s.deployment == nil {
		return ""
	}
	return s.deployment.Spec.Template.Annotations[v1alpha1.AnnotationStoreDigest]
}
