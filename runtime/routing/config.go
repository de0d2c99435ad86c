package routing

import (
	"cmp"
	"context"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

// Defaults of Config.
const (
	// DefaultHoldFor is how long a call waits for a shard without an owner:
	// longer than a failover takes, shorter than a caller's patience.
	DefaultHoldFor = 5 * time.Second
	// DefaultHeld is how many calls may wait at once. Each is a goroutine with
	// its request, some 10 KiB.
	DefaultHeld = 4096
	// DefaultHeldBytes is how many bytes the bodies of waiting commands may have.
	DefaultHeldBytes = 64 << 20
)

const (
	// retryAfter is what callers are told who could not be held.
	retryAfter = time.Second
	// grace is what a call to an owner that has lost its shard still gets: an
	// answer that was on its way when the news came has arrived by then.
	grace = 20 * time.Millisecond
	// slowForward is after what time without an answer the store is asked whether
	// the owner still is one: nobody else may have noticed that it is not.
	slowForward = time.Second
	// firstPause and lastPause bound the pauses between two questions to the
	// store, and between two calls to an owner that gave no answer.
	firstPause, lastPause = 20 * time.Millisecond, 500 * time.Millisecond
	// lookupTimeout bounds one question to the store.
	lookupTimeout = 2 * time.Second
	// hopsAtOnce is how often a call follows news without any pause. Owners may
	// move twice while a call is under way; more is two pods in disagreement.
	hopsAtOnce = 3
	// claimHold is how long a call that came from another process waits for this
	// one to finish its claim of the shard.
	claimHold = time.Second
)

// Owner is what owns a shard in this process: *shard.Shard.
type Owner interface {
	Handle(ctx context.Context, c shard.Command) (shard.Answer, error)
	Read(ctx context.Context, entity string, strong bool) (shard.View, error)
	Lease() eventstore.Lease
}

// Peer is another process of the runtime, as calls get there; see runtime/peer.
// Its methods return soon after ctx has ended. Errors: *problem.Problem is the
// owner's word; *NotOwnerError; ErrUnreachable; ErrLost.
type Peer interface {
	Handle(ctx context.Context, aggregate string, c shard.Command) (shard.Answer, error)
	Read(ctx context.Context, aggregate, entity string, strong bool) (shard.View, error)
}

// Remote tells who owns a shard.
type Remote struct {
	// Epoch is the shard's, under that owner; 0: nothing is known. The higher one
	// is the newer.
	Epoch int64
	// Address is where the owner is reached, host:port; empty: nobody owns it.
	Address string
}

// Config is what a Router works with. The zero Config is that of a process that
// owns all shards by itself.
type Config struct {
	// HoldFor, Held and HeldBytes bound the calls that wait; zero means the
	// defaults above.
	HoldFor   time.Duration
	Held      int
	HeldBytes int64
	// Self is this process's own address, as other processes and the store know
	// it. Nothing is ever forwarded there.
	Self string
	// Forward gives the process at an address. nil: calls for shards of others
	// are held.
	Forward func(address string) Peer
	// Lookup asks the store who owns a shard. It is asked while calls wait, once
	// at a time for a shard, first at once and then with growing pauses. nil:
	// owners are known by Place and Learn alone.
	Lookup func(ctx context.Context, aggregate string, number int32) (Remote, error)
	// Observer is told what happens, for metrics.
	Observer Observer
}

// Observer is told what happens. Any field may be nil; all are called from several
// goroutines.
type Observer struct {
	// Refused: a call has met a limit.
	Refused func(by problem.Limit)
	// Held is told when calls begin and end to wait, with their bytes.
	Held func(calls int, bytes int64)
}

func (o *Observer) held(calls int, bytes int64) {
	if o.Held != nil {
		o.Held(calls, bytes)
	}
}

func (c Config) complete() Config {
	c.HoldFor = cmp.Or(max(c.HoldFor, 0), DefaultHoldFor)
	c.Held = cmp.Or(max(c.Held, 0), DefaultHeld)
	c.HeldBytes = cmp.Or(max(c.HeldBytes, 0), DefaultHeldBytes)
	return c
}
