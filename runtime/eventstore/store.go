package eventstore

import (
	"context"
	"errors"
	"math"
)

// Errors that callers branch on. Stores wrap them.
var (
	// ErrRefused: the expected epoch is not the shard's epoch any more, or the
	// expected revision of an aggregate is not the current one.
	ErrRefused = errors.New("refused: the store has moved on")
	// ErrShardsDiffer: the aggregate exists with another number of shards.
	ErrShardsDiffer = errors.New("the aggregate exists with another number of shards")
	// ErrUnknownName: no aggregate or shard of that number.
	ErrUnknownName = errors.New("no such aggregate or shard")
	// ErrNotAttempted: nothing was written, and nothing will be.
	ErrNotAttempted = errors.New("nothing was attempted")
	// ErrOutcomeUnknown: the statement may have committed, or may yet.
	ErrOutcomeUnknown = errors.New("the outcome is unknown")
	// ErrUnsafe: the server or file cannot keep the promises (synchronous_commit
	// off, a read-only server, a network file system, ...); the text says which.
	ErrUnsafe = errors.New("the store is not safe to use")
)

// Batch is what one shard appends at once. The owner answers for its form; a
// store answers for its lease and head.
type Batch struct {
	Lease Lease
	// Head and HeadHash are the shard's head before this batch.
	Head     int64
	HeadHash Hash
	// Events continue the shard: Seq is Head+1 and so on, Hash continues
	// HeadHash, Epoch is the lease's, RecordedAt is not below the head's. May be
	// empty: then the head stays, and the batch only proves the lease.
	Events []Event
	// Outcomes are written with the events, each (entity, command id) once a
	// batch. A stored row with the same key is replaced (its window has passed).
	Outcomes []Outcome
}

// Generation is the lowest of the batch's events, and the highest there can be
// when it has none.
func (b *Batch) Generation() int64 {
	lowest := int64(math.MaxInt64)
	for i := range b.Events {
		lowest = min(lowest, b.Events[i].Generation)
	}
	return lowest
}

// AppendStatus says what became of one Batch.
type AppendStatus uint8

const (
	// Appended: the whole batch is durable.
	Appended AppendStatus = iota + 1
	// Refused: epoch, token, head or head hash do not match, or an event is of
	// a generation below the aggregate's floor; nothing was written. The owner is
	// no owner any more, or decides by a definition that went out of force.
	Refused
	// Conflict: the rows met others with the same key; nothing was written. The
	// owner's memory is wrong: it must stop and load the shard again.
	Conflict
	// Invalid: the store cannot hold this batch's data; nothing was written, and
	// sending it again is of no use.
	Invalid
	// NotAttempted: nothing was written and nothing will be; the same batch may
	// be sent again.
	NotAttempted
	// Unknown: the batch may be durable, or may yet become so. Only a claim
	// (which fences it) or a look at the log tells.
	Unknown
)

// AppendResult is the fate of the batch at the same index. Err is nil when
// Status is Appended or Refused.
type AppendResult struct {
	Status AppendStatus
	Err    error
}

// ClaimRequest asks for a shard. Owner is not empty.
type ClaimRequest struct {
	Shard ShardID
	// Expected is the epoch that the shard must have now.
	Expected int64
	Owner    Incarnation
	Address  string
	// Token is fresh and random; a claim whose outcome is unknown is recognised
	// by it in the shard's row.
	Token Token
}

// Log is what the owner of shards needs. A lease holds while the shard is owned
// and has the lease's epoch and token.
type Log interface {
	// Claim makes the caller owner under epoch Expected+1, and returns the
	// shard's row as it is then, with the generation of a definition by which
	// anything before it was decided, or a later one. After it, no append under an
	// older epoch can commit; it waits for one that is being committed. Errors: ErrRefused (the
	// epoch is another), ErrUnknownName, ErrNotAttempted, ErrOutcomeUnknown.
	Claim(ctx context.Context, r ClaimRequest) (ShardState, error)

	// Release ends the lease and clears owner and address, if the lease still
	// holds and the log ends at the head, else ErrRefused. The epoch stays, and is
	// what the next claim expects.
	Release(ctx context.Context, t Tenure) error

	// Append writes the batches in one transaction, each only if its lease and
	// head match, and returns one result a batch. At most one batch a shard.
	// Batches do not affect each other: one refused or invalid batch spares the
	// rest. Nobody sees a part of a batch. When ctx ends first, the statement is
	// abandoned, never cancelled, and the results are Unknown (NotAttempted when
	// it had not begun). The store does not change batches, and reads them even
	// after an abandonment: the caller must not change them any more.
	Append(ctx context.Context, batches []Batch) []AppendResult

	// Check reports for each tenure whether its lease still holds and the log
	// reaches its head, as of a moment after the call began. That of an unknown
	// shard does not hold.
	Check(ctx context.Context, tenures []Tenure) ([]bool, error)
}

// Reader reads committed data only. Any process may use it. A read that fails
// tells nothing of what is stored. Limits are 1 and up.
type Reader interface {
	// Shard reads one shard's row; ErrUnknownName.
	Shard(ctx context.Context, id ShardID) (ShardState, error)
	// Shards reads the rows of all shards of an aggregate, by number;
	// ErrUnknownName.
	Shards(ctx context.Context, aggregate AggregateID) ([]ShardState, error)

	// ReadShard gives up to limit events with Seq > after, in order; none for an
	// unknown shard. Within bounds this and ReadEntity in bytes.
	ReadShard(ctx context.Context, id ShardID, after int64, limit int) ([]Event, error)
	// ReadEntity gives up to limit events of one entity with Version > after,
	// in order; none for an unknown entity.
	ReadEntity(ctx context.Context, aggregate AggregateID, entity string, after int64, limit int) ([]Event, error)

	// LoadEntity gives what an entity is loaded from, all as of one moment: up to
	// limit of its events, within bounds in bytes. What is not there is empty.
	LoadEntity(ctx context.Context, aggregate AggregateID, entity string, limit int) (Loading, error)
}

// Loading is what an entity is loaded from.
type Loading struct {
	// Snapshot is the zero Snapshot when there is none.
	Snapshot Snapshot
	// Events are those from the snapshot's version on, in order, and so with the
	// one that the snapshot ends with; without a snapshot from the first on.
	Events []Event
	// Outcomes are the entity's outcome rows, oldest first (by Version, then Time).
	Outcomes []Outcome
}

// Keeper writes what is not on the commit path.
type Keeper interface {
	// SaveSnapshots stores snapshots, an entity at most once a call. There is one
	// snapshot an entity: the newer call's replaces it, except that a lower
	// version never replaces a higher one under the same Behavior.
	SaveSnapshots(ctx context.Context, s []Snapshot) error
	// DeleteOutcomes drops outcome rows that have left the entity's window,
	// each only if its Time still is the given one (the key may live again).
	DeleteOutcomes(ctx context.Context, aggregate AggregateID, o []Outcome) error
}

// Catalog holds the aggregates and their accepted definitions.
type Catalog interface {
	// EnsureAggregate returns the aggregate of that name, and makes it with the
	// given number of shards (1..256, the slots divided evenly) when there is
	// none. ErrShardsDiffer when it exists with another number. Ids are from 1.
	EnsureAggregate(ctx context.Context, name string, shards int) (Aggregate, error)
	// Aggregates lists all, by name.
	Aggregates(ctx context.Context) ([]Aggregate, error)
	// Revisions lists the revisions and generations of all aggregates, by id: a look
	// that costs little, for those who look often.
	Revisions(ctx context.Context) ([]Revision, error)
	// AcceptDefinition makes a definition the accepted one, under the next
	// generation and revision, if the current revision is expected; else
	// ErrRefused. ErrUnknownName when there is no such aggregate.
	AcceptDefinition(ctx context.Context, id AggregateID, expected int64, a Acceptance) (Aggregate, error)
	// AmendDefinition gives the accepted definition another source and another
	// Before, under the next revision and the same generation, if the current
	// revision is expected; else as AcceptDefinition.
	AmendDefinition(ctx context.Context, id AggregateID, expected int64, source Source, before []byte) (Aggregate, error)
	// RaiseFloor makes sure that no shard of the aggregate, whoever owns it, gets
	// another event that was decided by a definition of a lower generation:
	// batches with one are Refused from then on, and those before are readable. A
	// floor never sinks. An aggregate that is unknown has no shards: no error.
	RaiseFloor(ctx context.Context, id AggregateID, generation int64) error
	// EventTypes lists the distinct event types that stored events of the
	// aggregate have, sorted. It may be slow; it is asked when a definition
	// that drops or retypes something is offered.
	EventTypes(ctx context.Context, id AggregateID) ([]string, error)
}

// Membership tells living processes from dead ones by the database's clock.
type Membership interface {
	// Heartbeat says that m lives; the first one makes it a member, a later one
	// replaces runtime and address. m.Age is not read.
	Heartbeat(ctx context.Context, m Member) error
	// Leave removes a member; one that is none is no error.
	Leave(ctx context.Context, i Incarnation) error
	// Members lists all, by incarnation, with ages.
	Members(ctx context.Context) ([]Member, error)
}

// Store is a whole event store.
type Store interface {
	Log
	Reader
	Keeper
	Catalog
	Membership

	// AppendConcurrency is how many Append calls are worth having in flight:
	// 1 for a store with one writer.
	AppendConcurrency() int
	// Close waits for calls in flight and frees everything. A second Close does
	// nothing. Calls after it fail with ErrNotAttempted (Append: NotAttempted).
	Close() error
}
