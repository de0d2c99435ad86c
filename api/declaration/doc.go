// Package declaration judges objects of the five kinds as they stand beside each
// other: whether what they name is there, whether names that must be single are,
// and whether their expressions compile (package language). It says of every
// mistake which field it is in, how to mend it, and which of the API's condition
// reasons it is.
//
// Lint, the operator and the runtime pods all judge by this package, so that what
// one of them takes none of them refuses. What the CRDs' schemas and rules tell
// is not told again: a cluster refuses that at apply, and lint runs the same
// rules on files.
//
// It is pure: it knows objects, and no cluster, store or file.
package declaration
