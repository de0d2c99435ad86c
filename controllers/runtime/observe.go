package runtime

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/controllers/internal/status"
)

// observe counts the pods and their shards, and says how the Runtime fares.
func (r *Reconciler) observe(ctx context.Context, s *scope) error {
	runtime, now := s.runtime, &s.runtime.Status
	now.Selector = labels.SelectorFromSet(v1alpha1.RuntimeSelector(runtime.Name)).String()
	if view, seen := r.Views.View(client.ObjectKeyFromObject(runtime)); seen && view.Surveyed {
		owned := int32(0)
		for i := range view.Shards {
			if view.Shards[i].Pod != "" {
				owned++
			}
		}
		now.Shards = &owned
	}
	if s.deployment == nil {
		none := int32(0)
		now.Replicas, now.ReadyReplicas = &none, &none
		s.decide(status.Progressing(v1alpha1.ReasonProgressing, "the pods are being made"))
		return nil
	}
	replicas, ready := s.deployment.Status.Replicas, s.deployment.Status.ReadyReplicas
	now.Replicas, now.ReadyReplicas = &replicas, &ready
	verdict := judge(s.deployment, runtime.DesiredReplicas())
	if !verdict.IsReady() {
		trouble, err := r.trouble(ctx, runtime)
		if err != nil {
			return err
		}
		verdict.Message += trouble
	}
	s.decide(verdict)
	return nil
}

// judge says how a Deployment fares that should have so many pods.
func judge(d *appsv1.Deployment, desired int32) status.Verdict {
	is := &d.Status
	counted := fmt.Sprintf("%d of %d pods are ready", is.ReadyReplicas, desired)
	if is.ObservedGeneration < d.Generation {
		return status.Progressing(v1alpha1.ReasonProgressing, "the pods are being looked at")
	}
	if why := condition(d, appsv1.DeploymentProgressing); why != nil && why.Status == corev1.ConditionFalse {
		return status.Stalled(v1alpha1.ReasonPodsNotReady, counted+": "+why.Message)
	}
	if why := condition(d, appsv1.DeploymentReplicaFailure); why != nil && why.Status == corev1.ConditionTrue {
		return status.Progressing(v1alpha1.ReasonPodsNotReady, counted+": "+why.Message)
	}
	switch {
	case is.UpdatedReplicas < min(desired, is.Replicas):
		return status.Progressing(v1alpha1.ReasonRollingOut, fmt.Sprintf("%d of %d pods are of the newest revision", is.UpdatedReplicas, desired))
	case is.Replicas > is.UpdatedReplicas:
		return status.Progressing(v1alpha1.ReasonRollingOut, fmt.Sprintf("%d pods of an older revision are there", is.Replicas-is.UpdatedReplicas))
	case is.Replicas > desired:
		return status.Progressing(v1alpha1.ReasonProgressing, fmt.Sprintf("%d pods are too many", is.Replicas-desired))
	case is.ReadyReplicas < desired:
		return status.Progressing(v1alpha1.ReasonPodsNotReady, counted)
	}
	return status.Ready(counted)
}

// rolledOut: there is no pod of an older revision.
func rolledOut(d *appsv1.Deployment) bool {
	return d.Status.ObservedGeneration >= d.Generation && d.Status.Replicas == d.Status.UpdatedReplicas
}

func condition(d *appsv1.Deployment, kind appsv1.DeploymentConditionType) *appsv1.DeploymentCondition {
	for i := range d.Status.Conditions {
		if d.Status.Conditions[i].Type == kind {
			return &d.Status.Conditions[i]
		}
	}
	return nil
}

// trouble names a pod that does not start, and why, in the words of its node.
func (r *Reconciler) trouble(ctx context.Context, runtime *v1alpha1.Runtime) (string, error) {
	var pods corev1.PodList
	err := r.Client.List(ctx, &pods, client.InNamespace(runtime.Namespace), client.MatchingLabels(v1alpha1.RuntimeSelector(runtime.Name)))
	if err != nil {
		return "", fmt.Errorf("list pods: %w", err)
	}
	first, why := "", ""
	for i := range pods.Items {
		pod := &pods.Items[i]
		if words := whyPodWaits(pod); words != "" && (first == "" || pod.Name < first) {
			first, why = pod.Name, words
		}
	}
	if first == "" {
		return "", nil
	}
	return fmt.Sprintf("; pod %s: %s", first, why), nil
}

func whyPodWaits(pod *corev1.Pod) string {
	for _, c := range pod.Status.ContainerStatuses {
		if waits := c.State.Waiting; waits != nil && waits.Message != "" {
			return waits.Reason + ": " + waits.Message
		}
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return c.Reason + ": " + c.Message
		}
	}
	return ""
}
