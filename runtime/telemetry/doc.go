// Package telemetry holds what an operator sees of a runtime from outside: the
// definitions of all metrics, the server of health and metrics, and the keys of
// log lines.
//
// All metrics are in metrics.go, with their help. Labels have values from closed
// sets or from definitions (aggregates, commands, projections); no entity's id is
// ever a label.
//
// It must never decide anything: it is told what happened by the observers that
// packages api, routing, peer, shard and projection declare, and it never blocks
// them.
package telemetry
