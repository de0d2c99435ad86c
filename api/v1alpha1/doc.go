// Package v1alpha1 holds the five kinds of the API group leftfold.io: what a
// user declares (EventStore, Runtime, Aggregate, Projection) and what the
// operator makes of it (Shard).
//
// It is where the two planes meet: controllers and runtime both import it, and
// neither imports the other. It holds types, schema rules, defaults and the
// names of conditions and reasons, and nothing that acts: no clients, no
// expression evaluation, no knowledge of a store. It depends on apimachinery
// and the core API types only.
//
// # What is checked where
//
// The schemas in config/crd are generated from the markers here (make
// generate). Shapes, limits, name rules, one-ofs, immutability and references
// inside one object are refused when an object is applied. What needs another
// object, the store, or the types of expressions is reported as Stalled=True
// with a reason of this package. `leftfold lint` runs the very same schemas, so
// both kinds of mistake are found before anything is applied.
//
// # Defaults
//
// Defaults are written into the schema, never into code, so that a reader of
// the stored object sees what is in force. The constants of defaults.go repeat
// them for code that builds objects without an API server.
//
// +kubebuilder:object:generate=true
// +groupName=leftfold.io
package v1alpha1
