//go:build !faults

package projection

// offsetUnguarded: guards can be taken out only in a build for tests.
func offsetUnguarded() bool { return false }
