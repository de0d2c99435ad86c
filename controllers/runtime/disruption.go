package runtime

import (
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	policyv1ac "k8s.io/client-go/applyconfigurations/policy/v1"
)

// disruptionBudget lets drains take one pod at a time: its shards move to the
// others first. A pod that is not ready owns none, and must not hold up a drain.
func (p *plan) disruptionBudget() *policyv1ac.PodDisruptionBudgetApplyConfiguration {
	return policyv1ac.PodDisruptionBudget(p.runtime.Name, p.runtime.Namespace).
		WithLabels(p.labels()).WithOwnerReferences(p.owner()).
		WithSpec(policyv1ac.PodDisruptionBudgetSpec().
			WithSelector(p.selector()).
			WithMaxUnavailable(intstr.FromInt32(1)).
			WithUnhealthyPodEvictionPolicy(policyv1.AlwaysAllow))
}
