// Package definition is where kinds come from: files, or a cluster.
//
// # Files
//
// It reads manifests as kubectl would, holds them against the very schemas and rules that a cluster
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
// # A cluster
//
// A Watch mirrors the Runtimes, Aggregates and Projections of a namespace
// (reflect.go) and has a Target serve what they mean for one Runtime
// (declared.go), some milliseconds after each change. It only reads. The API
// server has held the objects against schemas and rules; package declaration
// judges the rest, of each object by itself: one that has a mistake is held, with
// the reason, and keeps no other from being served.
//
// The cluster declares, the store decides. What an object leads to is the
// Target's: a definition may be older than the one that the store has, or
// contradict history. So nothing is lost while the API server is away: what was
// applied last stays in force, and a process that starts then serves what the
// store accepted last (Target.ServeStored).
//
// This is the only package of the data plane that knows Kubernetes' machinery.
// It must not know stores, shards or transports.
package definition
