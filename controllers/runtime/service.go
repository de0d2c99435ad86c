package runtime

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
)

// portHTTP names the port that takes commands and queries.
const portHTTP = "http"

// service is where commands and queries enter: port 80 of any ready pod.
func (p *plan) service() *corev1ac.ServiceApplyConfiguration {
	return corev1ac.Service(p.runtime.Name, p.runtime.Namespace).
		WithLabels(p.labels()).WithOwnerReferences(p.owner()).
		WithSpec(corev1ac.ServiceSpec().
			WithType(corev1.ServiceTypeClusterIP).
			WithSelector(p.selector().MatchLabels).
			WithPorts(corev1ac.ServicePort().
				WithName(portHTTP).WithPort(80).WithProtocol(corev1.ProtocolTCP).
				WithTargetPort(intstr.FromString(portHTTP))))
}
