//go:build !faults

package shard

// injectFault does nothing: faults can be provoked only in a build for tests.
func injectFault(*Command) {}

// removed: guards can be taken out only in a build for tests.
func removed(guard) bool { return false }
