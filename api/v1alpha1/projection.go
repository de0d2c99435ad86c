package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Projection turns the events of Aggregates into something to query: a table in
// the store's database, kept up to date exactly once.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=lproj,categories=leftfold
// +kubebuilder:printcolumn:name="Table",type=string,JSONPath=`.status.table`
// +kubebuilder:printcolumn:name="Lag-Events",type=integer,JSONPath=`.status.lagEvents`
// +kubebuilder:printcolumn:name="Lag-Seconds",type=integer,JSONPath=`.status.lagSeconds`
// +kubebuilder:printcolumn:name="Quarantined",type=integer,JSONPath=`.status.quarantinedEntities`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Accepted",type=integer,priority=1,JSONPath=`.status.acceptedGeneration`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="!has(self.spec.table) || has(self.spec.table.name) || self.metadata.name.matches('^[a-z][-a-z0-9]{0,62}$')",message="spec.table.name is needed, because metadata.name does not make a table name: it must begin with a letter, have no dots and at most 63 characters"
type Projection struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec says which events lead to what.
	// +required
	Spec ProjectionSpec `json:"spec,omitempty,omitzero"`
	// status says how far the projection is.
	// +kubebuilder:default={"observedGeneration":-1}
	// +optional
	Status ProjectionStatus `json:"status,omitempty,omitzero"`
}

// ProjectionSpec names the events and exactly one target. A changed spec builds
// beside the old one and then takes its place.
//
// +kubebuilder:validation:XValidation:rule="has(self.table)",message="spec.table is needed: a projection has exactly one target"
// +kubebuilder:validation:XValidation:rule="!has(self.table) || self.table.apply.all(r, !has(r.aggregate) || self.sources.exists(s, s.aggregate == r.aggregate))",message="table.apply[].aggregate must be one of spec.sources[].aggregate"
// +kubebuilder:validation:XValidation:rule="!has(self.table) || self.table.apply.all(r, self.sources.exists(s, (!has(r.aggregate) || s.aggregate == r.aggregate) && (!has(s.events) || r.event in s.events)))",message="table.apply[].event must be one that spec.sources names: add it to the source's events, or leave events out to take all"
// +kubebuilder:validation:XValidation:rule="!has(self.table) || self.table.apply.all(r, has(r.aggregate) || self.sources.filter(s, has(s.events) && r.event in s.events).size() < 2)",message="table.apply[].aggregate is needed beside an event whose name several sources share"
type ProjectionSpec struct {
	// sources are the Aggregates whose events are read.
	// +listType=map
	// +listMapKey=aggregate
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +required
	Sources []Source `json:"sources,omitempty"`
	// table keeps the result as rows of an ordinary SQL table.
	// +optional
	Table *Table `json:"table,omitempty"`
}

// Source is an Aggregate whose events are read.
type Source struct {
	// aggregate is the Aggregate's name.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=58
	// +required
	Aggregate string `json:"aggregate,omitempty"`
	// events are the names of the events to read. Unset: all.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=128
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[A-Z][A-Za-z0-9]{0,62}$`
	// +optional
	Events []string `json:"events,omitempty"`
}

// Table is a table of one row a key, and what each event does to a row.
//
// +kubebuilder:validation:XValidation:rule="self.columns.all(c, c.name.lowerAscii() != self.key.name.lowerAscii())",message="columns[].name must differ from key.name, in more than case: the key is a column already"
// +kubebuilder:validation:XValidation:rule="self.columns.all(c, self.columns.exists_one(d, d.name.lowerAscii() == c.name.lowerAscii()))",message="columns[].name must differ in more than case: SQL does not tell upper from lower case"
type Table struct {
	// name is the table's name in SQL. One that another Projection has is
	// Stalled with TableNameTaken. Default: metadata.name with - as _.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z][a-z0-9_]{0,62}$`
	// +optional
	Name string `json:"name,omitempty"`
	// key is the column that tells rows apart.
	// +required
	Key Key `json:"key,omitempty,omitzero"`
	// columns are the other columns.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +required
	Columns []Column `json:"columns,omitempty"`
	// apply says what events do to rows. All rules of an event are carried out,
	// in order. Events without a rule change nothing.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +required
	Apply []Rule `json:"apply,omitempty"`
}

// Key is the column that tells rows apart.
type Key struct {
	// name is the column's name.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z][A-Za-z0-9]{0,62}$`
	// +kubebuilder:validation:XValidation:rule="!(self in ['in','true','false','null'])",message="name is a word of the expression language (in, true, false, null): choose another"
	// +kubebuilder:validation:XValidation:rule="!(self in ['ctid','xmin','xmax','cmin','cmax','tableoid'])",message="name is a system column of PostgreSQL (ctid, xmin, xmax, cmin, cmax, tableoid): choose another"
	// +required
	Name string `json:"name,omitempty"`
	// type is string, int, bool, timestamp or duration.
	// +kubebuilder:validation:Enum=string;int;bool;timestamp;duration
	// +required
	Type string `json:"type,omitempty"`
	// value is an expression over event and meta that gives the key of the row
	// that an event changes. A rule's own key takes its place.
	// +required
	Value Expression `json:"value,omitempty"`
}

// Column is a column of a table.
type Column struct {
	// name is the column's name.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z][A-Za-z0-9]{0,62}$`
	// +kubebuilder:validation:XValidation:rule="!(self in ['in','true','false','null'])",message="name is a word of the expression language (in, true, false, null): choose another"
	// +kubebuilder:validation:XValidation:rule="!(self in ['ctid','xmin','xmax','cmin','cmax','tableoid'])",message="name is a system column of PostgreSQL (ctid, xmin, xmax, cmin, cmax, tableoid): choose another"
	// +required
	Name string `json:"name,omitempty"`
	// type is as the type of a field: string, int, double, bool, bytes,
	// timestamp, duration, the name of a type of the sources, or list<T> or
	// map<T> of one. Lists, maps and records are JSON in SQL.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=96
	// +kubebuilder:validation:XValidation:rule="self.matches('^((list|map)<){0,4}(string|int|double|bool|bytes|timestamp|duration|[A-Z][A-Za-z0-9]{0,62})>{0,4}$') && self.split('<').size() == self.split('>').size()",message="type must be string, int, double, bool, bytes, timestamp, duration, the name of a type of the sources, or list<T> or map<T> of one"
	// +required
	Type string `json:"type,omitempty"`
	// indexed makes queries that filter or order by the column fast, and writes
	// a little slower. Default: false.
	// +optional
	Indexed bool `json:"indexed,omitempty"`
	// optional makes the absence of a value something that has() tells; in SQL
	// it is NULL. Default: false, and then a value that was never set is the
	// type's zero value.
	// +optional
	Optional bool `json:"optional,omitempty"`
}

// Rule says what one event does to a row: set some of its columns, or remove
// it.
//
// +kubebuilder:validation:XValidation:rule="has(self.set) != (has(self.delete) && self.delete)",message="set exactly one of set and delete: true"
type Rule struct {
	// aggregate is the source that the event is of. Needed when several sources
	// have an event of the name.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=58
	// +optional
	Aggregate string `json:"aggregate,omitempty"`
	// event is the event's name.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Z][A-Za-z0-9]{0,62}$`
	// +required
	Event string `json:"event,omitempty"`
	// key is an expression over event, meta and the forEach item that gives the
	// key of the row. Unset: the table's key.
	// +optional
	Key Expression `json:"key,omitempty"`
	// when is an expression over event, row, meta and the forEach item; the rule
	// is carried out only when it is true. Unset: always.
	// +optional
	When Expression `json:"when,omitempty"`
	// forEach carries the rule out for every item. Unset: once.
	// +optional
	ForEach *ForEach `json:"forEach,omitempty"`
	// set gives columns their new values: expressions over event, row, meta and
	// the forEach item. A row that is not there is made, and reads as zero
	// before. Columns not named stay.
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=64
	// +optional
	Set map[string]Expression `json:"set,omitempty"`
	// delete removes the row. Default: false.
	// +optional
	Delete bool `json:"delete,omitempty"`
}

// ProjectionStatus says how far a projection is.
//
// +kubebuilder:validation:MinProperties=1
type ProjectionStatus struct {
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
	// acceptedGeneration is the generation that serves. It is behind
	// metadata.generation while a newer one is building or Stalled. Unset: none
	// was accepted yet.
	// +kubebuilder:validation:Minimum=1
	// +optional
	AcceptedGeneration int64 `json:"acceptedGeneration,omitempty"`
	// table is the SQL name of the table that serves. Unset: none does yet.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Table string `json:"table,omitempty"`
	// position is how far the projection has read, as the HTTP API gives and
	// takes it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +optional
	Position string `json:"position,omitempty"`
	// lagEvents is how many stored events the projection has not read. Unset:
	// not known yet.
	// +kubebuilder:validation:Minimum=0
	// +optional
	LagEvents *int64 `json:"lagEvents,omitempty"`
	// lagSeconds is the age of the oldest of them. Unset: not known yet.
	// +kubebuilder:validation:Minimum=0
	// +optional
	LagSeconds *int64 `json:"lagSeconds,omitempty"`
	// quarantinedEntities is how many entities are parked because an event of
	// theirs could not be applied. Unset: not known yet.
	// +kubebuilder:validation:Minimum=0
	// +optional
	QuarantinedEntities *int64 `json:"quarantinedEntities,omitempty"`
}

// ProjectionList is a list of Projections.
//
// +kubebuilder:object:root=true
type ProjectionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Projection `json:"items"`
}
