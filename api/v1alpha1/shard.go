package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// LastSlot is the highest slot of an aggregate; the lowest is 0. Entities hash
// to slots, slots belong to shards.
const LastSlot = 65535

// Shard's rule on metadata.name takes the number out of the name instead of
// writing the number as text: the API server knows no bound for such a text, and
// refuses a rule whose cost it cannot bound.

// Shard is one part of an Aggregate's entities, owned by one pod at a time. The
// operator makes Shards, named <aggregate>-<id>; they are there for people to
// look at. Who owns a shard is decided by the store, and a Shard's status
// follows it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=lshard,categories=leftfold
// +kubebuilder:printcolumn:name="Aggregate",type=string,JSONPath=`.spec.aggregateRef.name`
// +kubebuilder:printcolumn:name="Pod",type=string,JSONPath=`.status.owner.pod`
// +kubebuilder:printcolumn:name="Node",type=string,JSONPath=`.status.owner.node`
// +kubebuilder:printcolumn:name="Epoch",type=integer,JSONPath=`.status.epoch`
// +kubebuilder:printcolumn:name="Restarts",type=integer,JSONPath=`.status.restarts`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Last-Failover",type=string,priority=1,JSONPath=`.status.lastFailover.reason`
// +kubebuilder:printcolumn:name="Took-Ms",type=integer,priority=1,JSONPath=`.status.lastFailover.durationMilliseconds`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.startsWith(self.spec.aggregateRef.name + '-') && self.metadata.name.substring(size(self.spec.aggregateRef.name) + 1).matches('^(0|[1-9][0-9]*)$') && int(self.metadata.name.substring(size(self.spec.aggregateRef.name) + 1)) == self.spec.id",message="metadata.name must be spec.aggregateRef.name, a dash and spec.id, such as account-3"
type Shard struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec says which entities the shard holds. It cannot change.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec of a Shard cannot change: the store decides which entities a shard holds"
	// +required
	Spec ShardSpec `json:"spec,omitempty,omitzero"`
	// status is who owns the shard, and how it fared.
	// +kubebuilder:default={"observedGeneration":-1}
	// +optional
	Status ShardStatus `json:"status,omitempty,omitzero"`
}

// ShardSpec says which entities of which Aggregate a shard holds.
type ShardSpec struct {
	// aggregateRef names the Aggregate.
	// +required
	AggregateRef AggregateReference `json:"aggregateRef,omitempty,omitzero"`
	// id is the shard's number within the Aggregate, never used again. It has
	// at most four digits, so that the name fits a label.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=9999
	// +required
	ID int32 `json:"id"`
	// slots are the slots whose entities the shard holds.
	// +required
	Slots SlotRange `json:"slots,omitempty,omitzero"`
}

// SlotRange is a range of slots, both ends included.
//
// +kubebuilder:validation:XValidation:rule="self.first <= self.last",message="slots.first must not be above slots.last"
type SlotRange struct {
	// first is the lowest slot.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=65535
	// +required
	First int32 `json:"first"`
	// last is the highest slot.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=65535
	// +required
	Last int32 `json:"last"`
}

// ShardStatus follows what the store and the pods say.
//
// +kubebuilder:validation:MinProperties=1
type ShardStatus struct {
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
	// owner is the pod that serves the shard. Unset: none does.
	// +optional
	Owner *ShardOwner `json:"owner,omitempty"`
	// epoch counts the shard's owners; the store refuses writes under an older
	// one. 0: never owned. Unset: not known yet.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Epoch *int64 `json:"epoch,omitempty"`
	// restarts counts how often the shard was restarted because it failed.
	// Unset: not known yet.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Restarts *int32 `json:"restarts,omitempty"`
	// lastFailover tells of the latest unplanned move. Unset: there was none.
	// +optional
	LastFailover *ShardFailover `json:"lastFailover,omitempty"`
}

// ShardOwner is the pod that serves a shard.
type ShardOwner struct {
	// pod is the pod's name.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Pod string `json:"pod,omitempty"`
	// node is the name of the node that the pod runs on. Unset: not known.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Node string `json:"node,omitempty"`
}

// ShardFailover tells of an unplanned move of a shard.
type ShardFailover struct {
	// reason is what made the operator move the shard.
	// +required
	Reason FailoverReason `json:"reason,omitempty"`
	// detectedTime is when the failure was noticed.
	// +required
	DetectedTime metav1.Time `json:"detectedTime,omitempty,omitzero"`
	// recoveredTime is when the shard took writes again. Unset: not yet.
	// +optional
	RecoveredTime *metav1.Time `json:"recoveredTime,omitempty"`
	// durationMilliseconds is the time between the two, more exact than they
	// are. Unset: not recovered yet.
	// +kubebuilder:validation:Minimum=0
	// +optional
	DurationMilliseconds *int64 `json:"durationMilliseconds,omitempty"`
}

// ShardList is a list of Shards.
//
// +kubebuilder:object:root=true
type ShardList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Shard `json:"items"`
}
