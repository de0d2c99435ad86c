// Package controltest is an operator's leader for tests: it dials a pod over mutual
// TLS, says what a test wants to have said, and remembers what the pod reports. It
// decides nothing: what an operator does by itself is tested with the operator.
package controltest
