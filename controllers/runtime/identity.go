package runtime

import (
	corev1 "k8s.io/api/core/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// identitySecret holds the certificate of the pods; data is what was issued.
func identitySecret(r *v1alpha1.Runtime, data map[string][]byte) *corev1ac.SecretApplyConfiguration {
	p := plan{runtime: r}
	return corev1ac.Secret(v1alpha1.IdentitySecretName(r.Name), r.Namespace).
		WithLabels(p.labels()).WithOwnerReferences(p.owner()).
		WithType(corev1.SecretTypeTLS).
		WithData(data)
}
