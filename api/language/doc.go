// Package language is what a declared behaviour means: the types of fields,
// the values they hold, the one JSON form of those values, and the expressions
// over them. It checks definitions and carries them out.
//
// Both halves of Leftfold use it, so that what lint and the operator accept is
// what the runtime runs: [Compile] and [CompileProjection] give every problem
// of a definition at once, and something to run when there is none.
//
// What it compiles is pure. There is no clock, no randomness and no I/O in
// here, and nothing that depends on the machine: time zone data comes with the
// binary, and maps are walked in key order everywhere. A replay years later has
// to reach the same state, so functions that were released never change; the
// libraries of CEL are pinned to their versions in environment.go.
//
// # Values
//
// A value is a CEL value: string, int, double, bool, bytes, timestamp and
// duration are CEL's own; [Record], [List] and [Map] are this package's. All
// are immutable and share what they have in common. Whatever goes into a field
// first becomes what every store keeps exactly: finite doubles, times in
// microseconds and UTC, text without U+0000.
//
// # Limits
//
// Parse, Decide, Try and the projections' calls run under [CostLimit]. Evolve
// does not: what is written is written, and has to fold for ever.
package language
