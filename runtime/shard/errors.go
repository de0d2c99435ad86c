package shard

import (
	"errors"
	"fmt"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
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
	// ErrPanicked: code of the shard panicked. The shard is given up, and may be
	// opened again.
	ErrPanicked = errors.New("the shard's code panicked")
	// ErrStuck: the shard's goroutine did not get on. The shard is given up, and
	// may be opened again: should the old goroutine go on, the store refuses it.
	ErrStuck = errors.New("the shard does not get on")
)

// ClaimRefusedError says that the shard had another epoch than expected. It is an
// ErrNotOwner.
type ClaimRefusedError struct {
	// Row is the shard's row as the store had it then.
	Row eventstore.ShardState
}

func (e *ClaimRefusedError) Error() string {
	return fmt.Sprintf("the shard is at epoch %d, with owner %q", e.Row.Epoch, e.Row.Owner)
}

// Unwrap gives what every refusal for the owner's sake has.
func (e *ClaimRefusedError) Unwrap() error { return notOwner("another process claimed it") }

// restartable tells that a shard was given up for its own fault: callers of what
// did not run may go to whoever serves it next.
func restartable(err error) bool { return errors.Is(err, ErrPanicked) || errors.Is(err, ErrStuck) }

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

func overloaded(by problem.Limit, what string) *problem.Problem {
	p := problem.New(problem.Overloaded, "%s", what)
	p.RetryAfter = time.Second
	return p.Over(by)
}
