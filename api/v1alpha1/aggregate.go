package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Aggregate declares entities of one kind: the state they have, the commands
// they take, the events that commands lead to, and what each event does to the
// state.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=lagg,categories=leftfold
// +kubebuilder:printcolumn:name="Runtime",type=string,JSONPath=`.spec.runtimeRef.name`
// +kubebuilder:printcolumn:name="Shards",type=integer,JSONPath=`.spec.shards`
// +kubebuilder:printcolumn:name="Owned",type=integer,JSONPath=`.status.ownedShards`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Accepted",type=integer,priority=1,JSONPath=`.status.acceptedGeneration`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 58",message="metadata.name of an Aggregate must be at most 58 characters, so that the names of its Shards fit"
type Aggregate struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is the declaration.
	// +required
	Spec AggregateSpec `json:"spec,omitempty,omitzero"`
	// status says which generation of the declaration serves.
	// +kubebuilder:default={"observedGeneration":-1}
	// +optional
	Status AggregateStatus `json:"status,omitempty,omitzero"`
}

// AggregateSpec is the whole behaviour of an aggregate. Every change but one of
// shards is live within a second, unless stored events need what it takes away.
//
// +kubebuilder:validation:XValidation:rule="[self.events.map(e, e.name)].all(names, !has(self.commands) || self.commands.all(c, !has(c.emit) || c.emit.all(e, e.event in names)))",message="commands[].emit[].event must name one of spec.events"
type AggregateSpec struct {
	// runtimeRef names the Runtime whose pods host the shards.
	// +required
	RuntimeRef LocalReference `json:"runtimeRef,omitempty,omitzero"`
	// shards is how many parts the entities are divided into; each is served by
	// one pod at a time. It cannot change. 1 to 256. Default: 16.
	// +kubebuilder:default=16
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=256
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="shards cannot change, entities would lose their events: keep the number the Aggregate was made with"
	// +optional
	Shards int32 `json:"shards,omitempty"`
	// types are named records for nested data. None may contain itself.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Types []RecordType `json:"types,omitempty"`
	// state is what is known of an entity: the fields that events change and
	// commands look at. A field that no event set has its type's zero value.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:XValidation:rule="self.all(f, !has(f.check) && !has(f.default))",message="state[] takes no check and no default: put them on the fields of commands"
	// +optional
	State []Field `json:"state,omitempty"`
	// commands are what an entity can be asked to do.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Commands []Command `json:"commands,omitempty"`
	// events are what can have happened to an entity.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=128
	// +required
	Events []Event `json:"events,omitempty"`
	// snapshots says how often an entity's state is saved, so that loading it
	// need not read all of its events.
	// +kubebuilder:default={every: 100}
	// +optional
	Snapshots Snapshots `json:"snapshots,omitempty,omitzero"`
	// passivation says when an entity leaves memory.
	// +kubebuilder:default={idleSeconds: 120}
	// +optional
	Passivation Passivation `json:"passivation,omitempty,omitzero"`
	// deduplication says how long a command's key is remembered.
	// +kubebuilder:default={commands: 128, minutes: 10}
	// +optional
	Deduplication Deduplication `json:"deduplication,omitempty,omitzero"`
}

// RecordType is a named record.
type RecordType struct {
	// name is the type's name, as fields and expressions have it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Z][A-Za-z0-9]{0,62}$`
	// +required
	Name string `json:"name,omitempty"`
	// fields are the record's fields.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:XValidation:rule="self.all(f, !has(f.default))",message="types[].fields[] takes no default: put it on the fields of commands"
	// +required
	Fields []Field `json:"fields,omitempty"`
}

// Command is something that an entity can be asked to do. It is decided on the
// state before it: reject in order, the first that is true wins; then emit in
// order, none seeing another's effect.
type Command struct {
	// name is the command's name, the last part of its URL.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Z][A-Za-z0-9]{0,62}$`
	// +required
	Name string `json:"name,omitempty"`
	// fields are what the command carries.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Fields []Field `json:"fields,omitempty"`
	// let gives names to values that reject and emit use. A name may use those
	// before it, and is evaluated when it is first used.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Let []Binding `json:"let,omitempty"`
	// reject are the reasons to refuse the command, tried in order.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Reject []Rejection `json:"reject,omitempty"`
	// emit are the events that the command leads to, in order. None: the
	// command succeeds and changes nothing.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Emit []Emission `json:"emit,omitempty"`
}

// Binding gives a name to a value.
type Binding struct {
	// name is what the expressions after it say. It must not be a name that is
	// in scope already.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z][A-Za-z0-9]{0,62}$`
	// +kubebuilder:validation:XValidation:rule="!(self in ['in','true','false','null'])",message="name is a word of the expression language (in, true, false, null): choose another"
	// +required
	Name string `json:"name,omitempty"`
	// value is an expression over state, command, meta and the names before.
	// +required
	Value Expression `json:"value,omitempty"`
}

// Rejection refuses a command, in the author's words.
type Rejection struct {
	// when is an expression over state, command, meta and the let names; true
	// refuses the command.
	// +required
	When Expression `json:"when,omitempty"`
	// reason is what programs branch on, such as InsufficientFunds.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Z][A-Za-z0-9]{0,62}$`
	// +required
	Reason string `json:"reason,omitempty"`
	// message is an expression that gives a sentence for people. Unset: the
	// reason alone.
	// +optional
	Message Expression `json:"message,omitempty"`
}

// Emission is an event that a command leads to.
type Emission struct {
	// event is the name of one of spec.events.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Z][A-Za-z0-9]{0,62}$`
	// +required
	Event string `json:"event,omitempty"`
	// when is an expression over state, command, meta, the let names and the
	// forEach item; the event happens only when it is true. Beside forEach it
	// is tested for every item. Unset: always.
	// +optional
	When Expression `json:"when,omitempty"`
	// forEach makes one event for every item. Unset: one event.
	// +optional
	ForEach *ForEach `json:"forEach,omitempty"`
	// set gives the event's fields their values. Every field that is not
	// optional must be given.
	// +kubebuilder:validation:MaxProperties=64
	// +optional
	Set map[string]Expression `json:"set,omitempty"`
}

// Event is something that can have happened to an entity, and what that does to
// its state. Events are kept for ever: once stored, their fields stay.
type Event struct {
	// name is the event's name.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Z][A-Za-z0-9]{0,62}$`
	// +required
	Name string `json:"name,omitempty"`
	// fields are what the event records.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:XValidation:rule="self.all(f, !has(f.check) && !has(f.default))",message="events[].fields[] takes no check and no default: put them on the fields of commands"
	// +optional
	Fields []Field `json:"fields,omitempty"`
	// apply gives fields of the state their new values: expressions over state,
	// event and meta, all of which read the state before the event. Fields not
	// named stay. Unset: the event changes nothing.
	// +kubebuilder:validation:MaxProperties=64
	// +optional
	Apply map[string]Expression `json:"apply,omitempty"`
}

// Snapshots says how often an entity's state is saved.
//
// +kubebuilder:validation:MinProperties=1
type Snapshots struct {
	// every is the number of events between two snapshots of an entity.
	// Default: 100.
	// +kubebuilder:default=100
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	// +optional
	Every int32 `json:"every,omitempty"`
}

// Passivation says when an entity leaves memory.
//
// +kubebuilder:validation:MinProperties=1
type Passivation struct {
	// idleSeconds is how long an entity may go without a command or a read.
	// Default: 120.
	// +kubebuilder:default=120
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	// +optional
	IdleSeconds int32 `json:"idleSeconds,omitempty"`
}

// Deduplication says how long a command's key is remembered, per entity: for
// the last commands and for the last minutes, whichever is longer.
//
// +kubebuilder:validation:MinProperties=1
type Deduplication struct {
	// commands is how many of an entity's latest commands are remembered.
	// Default: 128.
	// +kubebuilder:default=128
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	// +optional
	Commands int32 `json:"commands,omitempty"`
	// minutes is how long every command is remembered. Default: 10.
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10080
	// +optional
	Minutes int32 `json:"minutes,omitempty"`
}

// AggregateStatus says which generation of the declaration serves.
//
// +kubebuilder:validation:MinProperties=1
type AggregateStatus struct {
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
	// acceptedGeneration is the generation of the declaration that serves. It
	// is behind metadata.generation while a newer one is Stalled. Unset: none
	// was accepted yet.
	// +kubebuilder:validation:Minimum=1
	// +optional
	AcceptedGeneration int64 `json:"acceptedGeneration,omitempty"`
	// ownedShards is how many shards have an owner that serves them. Unset: not
	// counted yet.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=256
	// +optional
	OwnedShards *int32 `json:"ownedShards,omitempty"`
}

// AggregateList is a list of Aggregates.
//
// +kubebuilder:object:root=true
type AggregateList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Aggregate `json:"items"`
}
