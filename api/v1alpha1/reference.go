package v1alpha1

// LocalReference names an EventStore or a Runtime in the same namespace.
type LocalReference struct {
	// name is the object's name.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name,omitempty"`
}

// AggregateReference names an Aggregate in the same namespace.
type AggregateReference struct {
	// name is the Aggregate's name, up to 58 characters.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=58
	// +required
	Name string `json:"name,omitempty"`
}
