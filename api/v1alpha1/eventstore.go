package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// EventStore says where events are kept: a PostgreSQL schema, or an SQLite file
// for one pod.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=lstore,categories=leftfold
// +kubebuilder:printcolumn:name="Store",type=string,JSONPath=`.status.version`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Schema",type=string,priority=1,JSONPath=`.spec.postgres.schema`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type EventStore struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec says which database keeps the events.
	// +required
	Spec EventStoreSpec `json:"spec,omitempty,omitzero"`
	// status is what the operator found.
	// +kubebuilder:default={"observedGeneration":-1}
	// +optional
	Status EventStoreStatus `json:"status,omitempty,omitzero"`
}

// EventStoreSpec is exactly one of postgres and sqlite. Once chosen the kind of
// store and the schema stay: events cannot be left behind by an edit.
//
// +kubebuilder:validation:XValidation:rule="has(self.postgres) != has(self.sqlite)",message="set exactly one of spec.postgres and spec.sqlite"
// +kubebuilder:validation:XValidation:rule="has(self.postgres) == has(oldSelf.postgres)",message="spec.postgres and spec.sqlite cannot take each other's place, the events would stay behind: make a new EventStore"
// +kubebuilder:validation:MinProperties=1
type EventStoreSpec struct {
	// postgres keeps events in a PostgreSQL schema, version 14 or later, with a
	// plain role and no extensions.
	// +optional
	Postgres *PostgresStore `json:"postgres,omitempty"`
	// sqlite keeps events in a file on a volume, for a Runtime of one pod: to
	// try things, or at the edge.
	// +optional
	SQLite *SQLiteStore `json:"sqlite,omitempty"`
	// deletionPolicy says what happens to the data when the EventStore is
	// deleted. Default: Retain.
	// +kubebuilder:default=Retain
	// +optional
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
}

// PostgresStore names a PostgreSQL schema and who may open it.
type PostgresStore struct {
	// connectionSecretRef names the Secret that holds the connection URI, such
	// as postgres://user:password@host:5432/database.
	// +required
	ConnectionSecretRef SecretKeyReference `json:"connectionSecretRef,omitempty,omitzero"`
	// schema is the PostgreSQL schema that holds the events. It belongs to one
	// EventStore; any other that names it is Stalled with SchemaInUse. It
	// cannot change. Default: leftfold.
	// +kubebuilder:default=leftfold
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z_][a-z0-9_]*$') && !self.startsWith('pg_')",message="schema must be lower case letters, digits and _, not begin with a digit, and not begin with pg_, which PostgreSQL keeps for itself"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="schema cannot change, the events would stay behind: make a new EventStore"
	// +optional
	Schema string `json:"schema,omitempty"`
}

// SQLiteStore sizes the volume under the file.
//
// +kubebuilder:validation:MinProperties=1
type SQLiteStore struct {
	// storage is the size of the volume. It can grow where the storage class
	// can, and never shrinks. Default: 1Gi.
	// +kubebuilder:default="1Gi"
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0'))",message="storage must be more than 0, such as 1Gi"
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).compareTo(quantity(string(oldSelf))) >= 0",message="storage cannot shrink: keep the old size or name a larger one"
	// +optional
	Storage resource.Quantity `json:"storage,omitempty,omitzero"`
}

// SecretKeyReference is a key of a Secret in the same namespace.
type SecretKeyReference struct {
	// name is the Secret's name.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name,omitempty"`
	// key is the key within the Secret. Default: uri, as CloudNativePG writes
	// it.
	// +kubebuilder:default=uri
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
	// +optional
	Key string `json:"key,omitempty"`
}

// DeletionPolicy says what happens to data when its object is deleted.
//
// +kubebuilder:validation:Enum=Retain;Delete
type DeletionPolicy string

const (
	// DeletionRetain leaves schema or volume as they are.
	DeletionRetain DeletionPolicy = "Retain"
	// DeletionDelete drops schema or volume, events included.
	DeletionDelete DeletionPolicy = "Delete"
)

// EventStoreStatus is what the operator found when it last looked.
//
// +kubebuilder:validation:MinProperties=1
type EventStoreStatus struct {
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
	// version is the database and its version, such as "PostgreSQL 15.8".
	// Unset until the store answered once.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +optional
	Version string `json:"version,omitempty"`
	// connections is how many connections the database allows to the role: a
	// runtime pod uses up to 18. Unset for SQLite, and until the store answered
	// once.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Connections *int32 `json:"connections,omitempty"`
}

// EventStoreList is a list of EventStores.
//
// +kubebuilder:object:root=true
type EventStoreList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []EventStore `json:"items"`
}
