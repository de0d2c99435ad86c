package stage

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Pod is a pod of a bank's or of the operator.
type Pod struct {
	Namespace, Name, UID, Node, IP, Revision string
	// Ready, and Deleted: it is on its way out.
	Ready, Deleted bool
	// Restarts of its containers.
	Restarts int
}

// URL is a runtime pod's own API.
func (p Pod) URL() string { return "http://" + p.IP + ":8080" }

func (p Pod) uid() types.UID { return types.UID(p.UID) }

// pods lists pods that have not ended, by name.
func (s *Stage) pods(ctx context.Context, namespace, selector string) ([]Pod, error) {
	list, err := s.core.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, err
	}
	var pods []Pod
	for _, p := range list.Items {
		if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
			continue
		}
		pod := Pod{
			Namespace: p.Namespace, Name: p.Name, UID: string(p.UID), Node: p.Spec.NodeName, IP: p.Status.PodIP,
			Revision: p.Labels["pod-template-hash"], Deleted: p.DeletionTimestamp != nil,
			Ready: slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
				return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
			}),
		}
		for _, c := range p.Status.ContainerStatuses {
			pod.Restarts += int(c.RestartCount)
		}
		pods = append(pods, pod)
	}
	return pods, nil
}
