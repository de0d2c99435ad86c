package runtime

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/leftfold/leftfold/controllers/internal/apply"
)

// applyObjects brings about what the Runtime consists of. The Deployment comes
// last: its pods need all else.
func (r *Reconciler) applyObjects(ctx context.Context, s *scope) error {
	if s.keep {
		return nil
	}
	digest, err := r.digestOfStore(ctx, s)
	if err != nil {
		return err
	}
	p := &plan{runtime: s.runtime, store: s.store, image: r.Image, role: r.Role, storeDigest: digest}
	if s.runtime.Spec.Pod.ServiceAccountName == "" {
		if _, err := apply.Object(ctx, r.Client, r.Live, &corev1.ServiceAccount{}, p.serviceAccount()); err != nil {
			return err
		}
	}
	if err := r.applyRoleBinding(ctx, p); err != nil {
		return err
	}
	if _, err := apply.Object(ctx, r.Client, r.Live, &corev1.Service{}, p.service()); err != nil {
		return err
	}
	if _, err := apply.Object(ctx, r.Client, r.Live, &policyv1.PodDisruptionBudget{}, p.disruptionBudget()); err != nil {
		return err
	}
	desired, err := p.deployment()
	if err != nil {
		return err
	}
	var live appsv1.Deployment
	if _, err := apply.Object(ctx, r.Client, r.Live, &live, desired); err != nil {
		return err
	}
	s.deployment = &live
	return nil
}

// applyRoleBinding makes the binding anew when it is to another role, which the
// API does not let one change.
func (r *Reconciler) applyRoleBinding(ctx context.Context, p *plan) error {
	var live rbacv1.RoleBinding
	key := client.ObjectKeyFromObject(p.runtime)
	switch err := r.Client.Get(ctx, key, &live); {
	case client.IgnoreNotFound(err) != nil:
		return fmt.Errorf("read RoleBinding %s: %w", key, err)
	case err == nil && metav1.IsControlledBy(&live, p.runtime) && (live.RoleRef.Kind != p.role.Kind || live.RoleRef.Name != p.role.Name):
		if err := r.Client.Delete(ctx, &live, client.Preconditions{UID: &live.UID}); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete RoleBinding %s, which is to another role: %w", key, err)
		}
	}
	_, err := apply.Object(ctx, r.Client, r.Live, &live, p.roleBinding())
	return err
}

// prune deletes the account that the operator made, when the pods have another and
// all of them were replaced.
func (r *Reconciler) prune(ctx context.Context, s *scope) error {
	if s.keep || s.runtime.Spec.Pod.ServiceAccountName == "" || s.deployment == nil || !rolledOut(s.deployment) {
		return nil
	}
	var account corev1.ServiceAccount
	key := client.ObjectKeyFromObject(s.runtime)
	if err := r.Client.Get(ctx, key, &account); err != nil {
		return client.IgnoreNotFound(err)
	}
	if !metav1.IsControlledBy(&account, s.runtime) || s.runtime.Spec.Pod.ServiceAccountName == account.Name {
		return nil
	}
	if err := r.Client.Delete(ctx, &account, client.Preconditions{UID: &account.UID}); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete ServiceAccount %s, which no pod uses: %w", key, err)
	}
	return nil
}
