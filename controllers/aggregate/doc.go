// Package aggregate reconciles Aggregates: it judges the declaration with the code
// that lint uses, tells which generation the runtime pods have taken up and why a
// newer one has not been, and makes a Shard object of every shard that the store
// has.
//
// It serves nothing and moves nothing: pods read definitions by themselves, and
// package shard places shards. What is true of an Aggregate is told by the pods, by
// way of the Fleet's View; this package puts it into words.
package aggregate
