package shard

import (
	"github.com/leftfold/leftfold/runtime/behavior"
	"github.com/leftfold/leftfold/runtime/problem"
)

const (
	// A command may write so many events; the language's limit, held here too,
	// since a behaviour may be code.
	maxEvents = 1000
	// Their data may have so many bytes. The language's cost limit stops a command
	// a little earlier, for it charges every byte.
	maxEventBytes = 5 << 20
)

// overYield is the problem of a command that gives too much; nil when it does not.
func overYield(events []behavior.Event) *problem.Problem {
	if n := len(events); n > maxEvents {
		return problem.New(problem.BehaviorFailed, "the command gives %d events; at most %d are allowed", n, maxEvents).Over(problem.LimitEvents)
	}
	bytes := 0
	for i := range events {
		bytes += len(events[i].Data)
	}
	if bytes > maxEventBytes {
		return problem.New(problem.BehaviorFailed, "the command's events have %d bytes; at most %d are allowed", bytes, maxEventBytes).Over(problem.LimitEventBytes)
	}
	return nil
}
