package shard

import (
	"errors"
	"fmt"
	"time"

	"github.com/leftfold/leftfold/runtime/problem"
)

// Errors that callers branch on.
var (
	// ErrNotOwner: this process does not own the shard any more, or is giving it
	// away. Nothing ran and nothing will: the command may be sent to the owner
	// under the same id. The error's chain also holds a NotAttempted problem,
	// for a caller who has nowhere else to go.
	ErrNotOwner = errors.New("not the owner of the shard")
	// ErrStoreWentBack: the store has lost what it had acknowledged. The shard
	// refuses to go on with it; a person has to look.
	ErrStoreWentBack = errors.New("the store lost acknowledged events")
	// ErrClosed: the host is closed.
	ErrClosed = errors.New("the host is closed")
)

// A retry after a takeover finds the new owner in well under a second.
const retryAfterTakeover = 200 * time.Millisecond

// notOwner is the error of everything a shard could not take or finish because
// it is no owner (any more); nothing of it ran.
func notOwner(cause string) error {
	p := problem.New(problem.NotAttempted, "the shard is moving; nothing was attempted")
	p.RetryAfter = retryAfterTakeover
	return fmt.Errorf("%w (%s): %w", ErrNotOwner, cause, p)
}

func notAttempted(why string) *problem.Problem {
	p := problem.New(problem.NotAttempted, "%s; nothing was attempted", why)
	p.RetryAfter = time.Second
	return p
}

func outcomeUnknown(why string) *problem.Problem {
	return problem.New(problem.OutcomeUnknown, "%s; send it again with the same key to learn its outcome", why)
}

func overloaded(what string) *problem.Problem {
	p := problem.New(problem.Overloaded, "%s", what)
	p.RetryAfter = time.Second
	return p
}
