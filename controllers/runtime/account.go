package runtime

import (
	rbacv1 "k8s.io/api/rbac/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	rbacv1ac "k8s.io/client-go/applyconfigurations/rbac/v1"
)

// serviceAccount is what the pods run as, unless the Runtime names another.
func (p *plan) serviceAccount() *corev1ac.ServiceAccountApplyConfiguration {
	return corev1ac.ServiceAccount(p.runtime.Name, p.runtime.Namespace).
		WithLabels(p.labels()).WithOwnerReferences(p.owner())
}

// roleBinding lets the pods read their definitions, and nothing else.
func (p *plan) roleBinding() *rbacv1ac.RoleBindingApplyConfiguration {
	return rbacv1ac.RoleBinding(p.runtime.Name, p.runtime.Namespace).
		WithLabels(p.labels()).WithOwnerReferences(p.owner()).
		WithRoleRef(rbacv1ac.RoleRef().
			WithAPIGroup(rbacv1.GroupName).WithKind(p.role.Kind).WithName(p.role.Name)).
		WithSubjects(rbacv1ac.Subject().
			WithKind(rbacv1.ServiceAccountKind).WithName(p.account()).WithNamespace(p.runtime.Namespace))
}
