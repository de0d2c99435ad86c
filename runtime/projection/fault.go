//go:build faults

package projection

import "sync/atomic"

// This file is in builds for tests alone, which ask for it by the tag "faults".

var unguarded atomic.Bool

// RemoveOffsetGuard makes offsets move whatever they are, until restore: so tests
// can show that they find the comparison missing.
func RemoveOffsetGuard() (restore func()) {
	unguarded.Store(true)
	return func() { unguarded.Store(false) }
}

func offsetUnguarded() bool { return unguarded.Load() }
