// Package definition is where kinds come from. It reads manifests from files as
// kubectl would, holds them against the very schemas and rules that a cluster
// would hold them against, resolves their references, compiles their
// expressions, and says of every mistake in which file and line it is, which
// field, and how to mend it.
//
// The order in which a document is judged:
//
//  1. YAML: syntax, and what YAML can read but surely not as it was meant, such
//     as keys that stand twice (document.go, syntax.go).
//  2. The kind's own schema and CEL rules, from the generated CRDs: unknown
//     fields, types, limits, patterns, defaults (schema.go), in words that name
//     the cause, such as a key or a value that YAML took for a boolean (keys.go,
//     explain.go).
//  3. References between objects, names that must be unique, and expressions, by
//     package declaration (set.go), as a cluster has them judged.
//
// A step is taken only when the one before found nothing that makes its findings
// doubtful, so that one mistake is told once and at the closest place.
//
// testdata/lint holds what is refused, each mistake marked in its line;
// testdata/sound holds what passes. Together they go through every rule that a
// definition has to keep; what would be long is made in limits_test.go.
//
// This is the only package of the data plane that knows Kubernetes' machinery.
// It must not know stores, shards or transports.
package definition
