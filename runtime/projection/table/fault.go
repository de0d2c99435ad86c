//go:build faults

package table

import "sync/atomic"

// This file is in builds for tests alone, which ask for it by the tag "faults".

var unlocked atomic.Bool

// RemoveKeyLock makes writers lock only those shared keys that have rows, until
// restore: so tests can show that they find the lock on missing ones missing.
func RemoveKeyLock() (restore func()) {
	unlocked.Store(true)
	return func() { unlocked.Store(false) }
}

func missingKeysUnlocked() bool { return unlocked.Load() }
