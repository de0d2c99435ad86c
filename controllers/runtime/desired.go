package runtime

import (
	"encoding/json"
	"fmt"

	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// plan is what the objects of a Runtime are made from.
type plan struct {
	runtime *v1alpha1.Runtime
	store   *v1alpha1.EventStore
	// image that pods run when the Runtime names none.
	image string
	// role that the pods' account is bound to.
	role Role
	// storeDigest changes with the store's connection; empty without one.
	storeDigest string
}

// Role names what the pods may do: a ClusterRole, or a Role that is in the
// namespace of each Runtime.
type Role struct{ Kind, Name string }

// account that the pods run as.
func (p *plan) account() string {
	if name := p.runtime.Spec.Pod.ServiceAccountName; name != "" {
		return name
	}
	return p.runtime.Name
}

// owner is the Runtime, with which every object goes away.
func (p *plan) owner() *metav1ac.OwnerReferenceApplyConfiguration {
	return metav1ac.OwnerReference().
		WithAPIVersion(v1alpha1.GroupVersion.String()).WithKind(v1alpha1.KindRuntime).
		WithName(p.runtime.Name).WithUID(p.runtime.UID).
		WithController(true).WithBlockOwnerDeletion(true)
}

func (p *plan) labels() map[string]string { return v1alpha1.RuntimeLabels(p.runtime.Name) }

func (p *plan) selector() *metav1ac.LabelSelectorApplyConfiguration {
	return metav1ac.LabelSelector().WithMatchLabels(v1alpha1.RuntimeSelector(p.runtime.Name))
}

// as gives a part of the API in the form that applies take. Both have the same
// JSON.
func as[T any](part any) (*T, error) {
	text, err := json.Marshal(part)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", part, err)
	}
	out := new(T)
	if err := json.Unmarshal(text, out); err != nil {
		return nil, fmt.Errorf("decode %T: %w", out, err)
	}
	return out, nil
}
