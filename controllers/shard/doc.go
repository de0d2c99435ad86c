// Package shard keeps every shard of every Runtime owned by a pod that serves it.
// [Fleet] is the only part of the operator that talks to runtime pods; it shows
// the reconcilers what it sees as a [View].
package shard
