//go:build faults

package shard

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// This file is in builds for tests alone, which ask for it by the tag "faults".
// It makes a shard fail on request, so that tests on a real cluster can see what
// follows. A release is never built with it.

// Commands for entities whose ids begin so make their shard panic, or keep its
// goroutine busy for long.
const (
	panicPrefix = "!panic"
	stuckPrefix = "!stuck"
	stuckFor    = time.Minute
)

func injectFault(c *Command) {
	switch {
	case strings.HasPrefix(c.Entity, panicPrefix):
		panic("asked for by a test")
	case strings.HasPrefix(c.Entity, stuckPrefix):
		time.Sleep(stuckFor)
	}
}

// Panic makes the shard's goroutine panic, without a command.
func (s *Shard) Panic() { s.post(func() { panic("asked for by a test") }) }

// Guards are the names that RemoveGuard takes.
var Guards = []string{
	string(barrierGuard), string(readGuard), string(dedupGuard), string(resendGuard), string(settleGuard),
	string(recognitionGuard), string(snapshotGuard),
}

var removedGuard atomic.Pointer[guard]

// RemoveGuard takes one guard out of all shards of the process, until restore.
func RemoveGuard(name string) (restore func()) {
	if !slices.Contains(Guards, name) {
		panic("no guard is named " + name)
	}
	g := guard(name)
	removedGuard.Store(&g)
	return func() { removedGuard.Store(nil) }
}

func removed(g guard) bool {
	r := removedGuard.Load()
	return r != nil && *r == g
}
