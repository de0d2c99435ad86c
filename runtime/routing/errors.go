package routing

import (
	"errors"
	"fmt"

	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

// What a Peer says when it has no answer.
var (
	// ErrUnreachable: the call did not get there, so nothing ran.
	ErrUnreachable = errors.New("the process cannot be reached")
	// ErrLost: the call may have got there, and no answer came back. A command
	// may have run, or may yet run.
	ErrLost = errors.New("no answer came back")
)

// errSuperseded ends a call to an owner that has lost its shard.
var errSuperseded = errors.New("the shard has another owner")

// NotOwnerError says that the process that was called does not own the shard;
// nothing ran. It is a shard.ErrNotOwner.
type NotOwnerError struct {
	// Hint is who owns the shard as far as that process knows.
	Hint Remote
}

func (e *NotOwnerError) Error() string {
	return fmt.Sprintf("not the owner of the shard; that is %q, at epoch %d", e.Hint.Address, e.Hint.Epoch)
}

// Unwrap gives what every refusal for the owner's sake has.
func (e *NotOwnerError) Unwrap() error { return shard.ErrNotOwner }

// notAttempted is the end of a call of which nothing ran, outcomeUnknown that of
// a command that may have run.
func notAttempted(why string) *problem.Problem {
	p := problem.New(problem.NotAttempted, "%s; nothing was done", why)
	p.RetryAfter = retryAfter
	return p
}

func outcomeUnknown(why string) *problem.Problem {
	return problem.New(problem.OutcomeUnknown,
		"%s, after an attempt that gave no answer; send it again with the same key to learn its outcome", why)
}
