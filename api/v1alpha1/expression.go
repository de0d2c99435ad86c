package v1alpha1

// Expression is a CEL expression, 1 to 4,096 characters. What is in scope, and
// which type it must have, depends on the field that holds it.
//
// Quote all but plain paths, or use a folded block (>-): YAML turns on, true, 0
// and !x into other things than text.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=4096
type Expression string

// Field is one field of a record: of state, of a command, of an event, or of a
// type.
//
// +kubebuilder:validation:XValidation:rule="!has(self.default) || !has(self.optional) || !self.optional",message="set default or optional, not both: a field with a default is never absent"
type Field struct {
	// name is the field's name, as expressions and JSON have it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z][A-Za-z0-9]{0,62}$`
	// +kubebuilder:validation:XValidation:rule="!(self in ['in','true','false','null'])",message="name is a word of the expression language (in, true, false, null): choose another"
	// +required
	Name string `json:"name,omitempty"`
	// type is string, int (64 bit), double (no NaN, no infinity), bool, bytes,
	// timestamp, duration, the name of one of spec.types, or list<T> or map<T>
	// of one (string keys), up to four of these inside each other, such as
	// map<list<Limit>>.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=96
	// +kubebuilder:validation:XValidation:rule="self.matches('^((list|map)<){0,4}(string|int|double|bool|bytes|timestamp|duration|[A-Z][A-Za-z0-9]{0,62})>{0,4}$') && self.split('<').size() == self.split('>').size()",message="type must be string, int, double, bool, bytes, timestamp, duration, the name of one of spec.types, or list<T> or map<T> of one"
	// +required
	Type string `json:"type,omitempty"`
	// check is an expression over self, the field's value, and command; false
	// refuses the command with CheckFailed. In commands and types only.
	// Example: "size(self) > 0".
	// +optional
	Check Expression `json:"check,omitempty"`
	// default is an expression whose value the field takes when a command
	// leaves it out. In commands only. Example: "'atm'".
	// +optional
	Default Expression `json:"default,omitempty"`
	// optional makes the absence of a value something that has() tells; an
	// absent value reads as the type's zero value, and JSON leaves it out.
	// Default: false, and then a command must have the field unless it has a
	// default.
	// +optional
	Optional bool `json:"optional,omitempty"`
}

// ForEach repeats what it stands beside: once for every element of a list, or
// for every key of a map, in key order.
type ForEach struct {
	// in is an expression that gives a list or a map.
	// +required
	In Expression `json:"in,omitempty"`
	// as is the name that the element or key has in the expressions beside.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z][A-Za-z0-9]{0,62}$`
	// +kubebuilder:validation:XValidation:rule="!(self in ['in','true','false','null'])",message="as is a word of the expression language (in, true, false, null): choose another"
	// +required
	As string `json:"as,omitempty"`
}
