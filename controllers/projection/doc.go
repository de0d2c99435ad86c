// Package projection reconciles Projections: it judges the declaration with the
// code that lint uses, tells which generation the runtime pods have taken up and
// why a newer one has not been, and how far the table is.
//
// It reads and writes no table: the runtime does, and tells by way of the Fleet's
// View, which this package puts into words. How far a projection is follows at a
// distance, at most every ten seconds, and not at all while nothing is written.
package projection
