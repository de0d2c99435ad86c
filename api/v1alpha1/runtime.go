package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Runtime is a pool of pods that hosts the shards of Aggregates.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.replicas,statuspath=.status.replicas,selectorpath=.status.selector
// +kubebuilder:resource:scope=Namespaced,shortName=lrun,categories=leftfold
// +kubebuilder:printcolumn:name="Store",type=string,JSONPath=`.spec.storeRef.name`
// +kubebuilder:printcolumn:name="Desired",type=integer,JSONPath=`.spec.replicas`
// +kubebuilder:printcolumn:name="Pods",type=integer,JSONPath=`.status.replicas`
// +kubebuilder:printcolumn:name="Pods-Ready",type=integer,JSONPath=`.status.readyReplicas`
// +kubebuilder:printcolumn:name="Shards",type=integer,JSONPath=`.status.shards`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$')",message="metadata.name of a Runtime must begin with a letter, have no dots and at most 63 characters, because its Service and a label of its pods have the same name"
type Runtime struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec says which pods to run, and on which store.
	// +required
	Spec RuntimeSpec `json:"spec,omitempty,omitzero"`
	// status is what the operator sees of the pods.
	// +kubebuilder:default={"observedGeneration":-1}
	// +optional
	Status RuntimeStatus `json:"status,omitempty,omitzero"`
}

// RuntimeSpec says how many pods run, what they run, and how fast a silent one
// loses its shards.
type RuntimeSpec struct {
	// storeRef names the EventStore that the pods write to.
	// +required
	StoreRef LocalReference `json:"storeRef,omitempty,omitzero"`
	// replicas is how many pods run. Leave it out under an autoscaler: applying
	// the manifest again then leaves the autoscaler's number alone. A Runtime on
	// SQLite with more than 1 is Stalled with SingleReplicaStore. Default: 1,
	// because the scale subresource, which autoscalers start from, cannot be
	// read without a number.
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	// +optional
	Replicas *int32 `json:"replicas,omitempty"`
	// image is the runtime's container image. Unset: the image of the
	// operator's own release.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^[^\s]+$`
	// +optional
	Image string `json:"image,omitempty"`
	// resources are what each pod's container asks for and may use.
	// +optional
	Resources Resources `json:"resources,omitempty,omitzero"`
	// pod is laid over the pods that the operator makes.
	// +optional
	Pod PodOverlay `json:"pod,omitempty,omitzero"`
	// failover says how soon a silent pod loses its shards.
	// +kubebuilder:default={heartbeatIntervalMilliseconds: 200, heartbeatTimeoutMilliseconds: 1000}
	// +optional
	Failover Failover `json:"failover,omitempty,omitzero"`
}

// Resources are a container's requests and limits, in the words of a pod.
type Resources struct {
	// requests is what the scheduler sets aside, such as
	// {cpu: 500m, memory: 256Mi}.
	// +kubebuilder:validation:MaxProperties=16
	// +optional
	Requests corev1.ResourceList `json:"requests,omitempty"`
	// limits is what the container may use at most. Unset: no limit.
	// +kubebuilder:validation:MaxProperties=16
	// +optional
	Limits corev1.ResourceList `json:"limits,omitempty"`
}

// PodOverlay is the part of a pod that a user may shape. It is small on
// purpose: what is not here, the operator decides.
type PodOverlay struct {
	// labels are added to the pods. Those of the operator win.
	// +kubebuilder:validation:MaxProperties=64
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
	// annotations are added to the pods. Those of the operator win.
	// +kubebuilder:validation:MaxProperties=64
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
	// nodeSelector keeps the pods to nodes with these labels.
	// +kubebuilder:validation:MaxProperties=64
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`
	// tolerations let the pods run on nodes with these taints.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`
	// affinity says which nodes and which other pods to be near or away from.
	// +optional
	Affinity *corev1.Affinity `json:"affinity,omitempty"`
	// topologySpreadConstraints spread the pods over zones or nodes. Unset:
	// spread over zones and nodes as far as they have room.
	// +listType=map
	// +listMapKey=topologyKey
	// +listMapKey=whenUnsatisfiable
	// +kubebuilder:validation:MaxItems=16
	// +optional
	TopologySpreadConstraints []corev1.TopologySpreadConstraint `json:"topologySpreadConstraints,omitempty"`
	// env adds environment variables. Names that begin with LEFTFOLD_ belong to
	// the operator.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=128
	// +kubebuilder:validation:XValidation:rule="self.all(e, !e.name.startsWith('LEFTFOLD_'))",message="env[].name must not begin with LEFTFOLD_: those variables are the operator's"
	// +optional
	Env []corev1.EnvVar `json:"env,omitempty"`
	// serviceAccountName is the account that the pods run as. Unset: one that
	// the operator makes, which may only read the Runtime's definitions.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	ServiceAccountName string `json:"serviceAccountName,omitempty"`
	// priorityClassName is the pods' priority class. Unset: the cluster's
	// default.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	PriorityClassName string `json:"priorityClassName,omitempty"`
}

// Failover trades how soon a silent pod is given up against how long a pod may
// pause without losing its shards. Being wrong costs a move, never data.
//
// +kubebuilder:validation:XValidation:rule="self.heartbeatTimeoutMilliseconds >= 2 * self.heartbeatIntervalMilliseconds",message="heartbeatTimeoutMilliseconds must be at least twice heartbeatIntervalMilliseconds, so that one lost heartbeat moves nothing"
// +kubebuilder:validation:MinProperties=1
type Failover struct {
	// heartbeatIntervalMilliseconds is the time between two heartbeats.
	// Default: 200.
	// +kubebuilder:default=200
	// +kubebuilder:validation:Minimum=20
	// +kubebuilder:validation:Maximum=60000
	// +optional
	HeartbeatIntervalMilliseconds int32 `json:"heartbeatIntervalMilliseconds,omitempty"`
	// heartbeatTimeoutMilliseconds is how long a pod may be silent before its
	// shards move. At least twice the interval. Default: 1000.
	// +kubebuilder:default=1000
	// +kubebuilder:validation:Minimum=100
	// +kubebuilder:validation:Maximum=600000
	// +optional
	HeartbeatTimeoutMilliseconds int32 `json:"heartbeatTimeoutMilliseconds,omitempty"`
}

// RuntimeStatus is what the operator sees of the pods.
//
// +kubebuilder:validation:MinProperties=1
type RuntimeStatus struct {
	// observedGeneration is the generation that the conditions speak of; -1
	// before the first visit.
	// +kubebuilder:default=-1
	// +kubebuilder:validation:Minimum=-1
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions are Ready and, while they apply, Reconciling or Stalled.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// replicas is how many pods there are. Unset: not counted yet.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Replicas *int32 `json:"replicas,omitempty"`
	// readyReplicas is how many pods are ready to own shards. Unset: not
	// counted yet.
	// +kubebuilder:validation:Minimum=0
	// +optional
	ReadyReplicas *int32 `json:"readyReplicas,omitempty"`
	// shards is how many shards the pods own together. Unset: not counted yet.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Shards *int32 `json:"shards,omitempty"`
	// selector selects the pods, as a string; autoscalers read it through the
	// scale subresource.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Selector string `json:"selector,omitempty"`
}

// RuntimeList is a list of Runtimes.
//
// +kubebuilder:object:root=true
type RuntimeList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Runtime `json:"items"`
}

// DesiredReplicas is how many pods there should be.
func (r *Runtime) DesiredReplicas() int32 {
	if r.Spec.Replicas == nil {
		return DefaultReplicas
	}
	return *r.Spec.Replicas
}
