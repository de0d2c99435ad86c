package runtime

import (
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
)

const (
	// progressDeadlineSeconds is how long a rollout may go without a new ready pod
	// before the Runtime is Stalled: long enough to fetch an image over a slow
	// line, and shorter than helm install --wait waits.
	progressDeadlineSeconds = 120
	// keptRevisions are the ReplicaSets kept for a person to look at; the Runtime
	// itself is what one goes back by.
	keptRevisions = 3
	// surge is how many pods there are more than asked for during an update.
	surge = 1
)

// minReadySeconds is how long a new pod serves before an old one goes in its place. In
// the first second it gets warm. Then the operator moves shards to it, in a fraction of
// one, and a second later the pod ends that had them. Only then the next one goes, and
// another starts: each of these costs processors and the database something, and
// callers of a shard that moved meanwhile would wait for that. Nor are there more pods
// at a time, with their connections, than one that comes and one that goes.
const minReadySeconds = 3

// deployment keeps the pods.
func (p *plan) deployment() (*appsv1ac.DeploymentApplyConfiguration, error) {
	template, err := p.template()
	if err != nil {
		return nil, err
	}
	return appsv1ac.Deployment(p.runtime.Name, p.runtime.Namespace).
		WithLabels(p.labels()).WithOwnerReferences(p.owner()).
		WithSpec(appsv1ac.DeploymentSpec().
			WithReplicas(p.runtime.DesiredReplicas()).
			WithSelector(p.selector()).
			WithStrategy(p.strategy()).
			WithMinReadySeconds(minReadySeconds).
			WithProgressDeadlineSeconds(progressDeadlineSeconds).
			WithRevisionHistoryLimit(keptRevisions).
			WithTemplate(template)), nil
}

// strategy: a new pod is ready before an old one goes, so that shards have where
// to go. A volume with an SQLite file goes from pod to pod instead.
func (p *plan) strategy() *appsv1ac.DeploymentStrategyApplyConfiguration {
	if p.store.Spec.SQLite != nil {
		return appsv1ac.DeploymentStrategy().WithType(appsv1.RecreateDeploymentStrategyType)
	}
	return appsv1ac.DeploymentStrategy().
		WithType(appsv1.RollingUpdateDeploymentStrategyType).
		WithRollingUpdate(appsv1ac.RollingUpdateDeployment().
			WithMaxSurge(intstr.FromInt32(surge)).WithMaxUnavailable(intstr.FromInt32(0)))
}
