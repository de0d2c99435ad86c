package shard

import (
	"log/slog"
	"time"

	"github.com/leftfold/leftfold/runtime/behavior"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
)

// Config is what a Host needs. Store and Incarnation are required; every other
// field has a default.
type Config struct {
	Store eventstore.Store
	// Incarnation names this start of this process; Address is where it listens.
	Incarnation eventstore.Incarnation
	Address     string

	// Now is the clock of commands; default time.Now.
	Now func() time.Time
	// Logger defaults to slog.Default().
	Logger *slog.Logger
	// Observer is told what happens, for metrics.
	Observer Observer
	// OnLost is called once for a shard that stopped without being drained,
	// after its Done channel has closed. It must not block.
	OnLost func(s *Shard, cause error)
	// OnRenewed is called when a shard goes on under another epoch, after it had to
	// settle an append, on the shard's goroutine. It must not block.
	OnRenewed func(s *Shard, epoch int64)
	// Slot gives an entity's slot. When it is set, a shard refuses entities
	// outside its slot range.
	Slot func(entity string) uint16

	Limits Limits
}

// Limits bounds what a Host keeps and how long it waits. A zero field has its
// default.
type Limits struct {
	// MailboxCommands (8,192) and MailboxBytes (64 MiB) bound the commands that
	// a shard holds, from their arrival to their answer; EntityCommands (1,024)
	// bounds those that wait for one entity. Beyond any of them a command is
	// answered Overloaded.
	MailboxCommands int
	MailboxBytes    int64
	// HeldBytes (128 MiB) bounds the same bytes over all shards of the host.
	HeldBytes      int64
	EntityCommands int

	// BatchCommands (1,024), BatchEvents (2,048) and BatchBytes (4 MiB) bound
	// what a shard gathers while a batch is in flight. A command may pass the
	// last two once: they are tested before it is decided.
	BatchCommands int
	BatchEvents   int
	BatchBytes    int

	// MemoryBytes (16 MiB) bounds the entities in memory, over all shards: some
	// 15,000 small ones, or 3,500 that have had many commands. The collector lets garbage of the same size gather, so
	// each byte of this and of FeedsBytes costs two resident: with 32 and 16 MiB a
	// process had 183 MiB, of which 53 before the first command.
	MemoryBytes int64
	// EntityKeyBytes (64 MiB) and KeyBytes (512 MiB, over all shards) bound the keys
	// that entities remember beyond their last deduplication.commands, because
	// they are younger than deduplication.minutes; one takes some 370 bytes. Beyond
	// either a new keyed command is answered Overloaded until keys have grown old,
	// since the promise to remember must not be broken for it. So in ten minutes an
	// entity takes some 180,000 keyed commands and a process 1,400,000; fewer
	// minutes let them take more a second. These bytes do not count in MemoryBytes:
	// a hot entity must not push all others out.
	EntityKeyBytes int64
	KeyBytes       int64
	// FeedEvents (4,096) is how many committed events a shard keeps for
	// projections; FeedBytes (8 MiB) bounds what they take, and FeedsBytes (8
	// MiB) bounds it over all shards. Projections that are farther behind read the
	// store.
	FeedEvents int
	FeedBytes  int64
	FeedsBytes int64

	// Loads (16) is how many entities are loaded at the same time.
	Loads int
	// Snapshots (1,024) bounds the queue of snapshots to be written, and
	// SnapshotBytes (16 MiB) what it keeps alive: states that may have left memory
	// or been followed by others, and windows. Encoding them takes as much again. One
	// that is larger is written when it is alone.
	Snapshots     int
	SnapshotBytes int64
	// HotEntities (256) is how many recently used entities a drain snapshots.
	HotEntities int

	// AppendTimeout (5 s) is when an append is abandoned and settled.
	AppendTimeout time.Duration
	// CallTimeout (3 s) bounds every other call to the store.
	CallTimeout time.Duration
	// ResendFor (10 s) is how long a batch is sent again whose callers gave no
	// deadline.
	ResendFor time.Duration
	// RecheckEvery (1 s) is how often all leases are compared with the store.
	RecheckEvery time.Duration
	// StuckAfter (10 s) is how long a shard's goroutine may take over one turn
	// before the shard is given up; it is counted in rechecks.
	StuckAfter time.Duration
}

// Observer is told what happens. Any field may be nil. The calls come from hot
// paths: they must not block.
type Observer struct {
	// CommandDone: command is "" when the aggregate has none of that name.
	CommandDone func(aggregate, command string, outcome Outcome, took time.Duration)
	// CommitDone: one shard's batch is durable.
	CommitDone func(aggregate string, took time.Duration, events int)
	// Refused: a command or a read has met a limit of the shard, of the host, or of
	// the behaviour.
	Refused func(by problem.Limit)
	// The changes of gauges.
	MailboxDepth   func(aggregate string, delta int)
	MailboxBytes   func(aggregate string, delta int64)
	EntitiesLoaded func(aggregate string, delta int)
	EntityBytes    func(aggregate string, delta int64)
	KeyBytes       func(aggregate string, delta int64)
	FeedBytes      func(aggregate string, delta int64)
	SnapshotBytes  func(aggregate string, delta int64)
	ShardsOwned    func(aggregate string, delta int)
}

// Outcome is what became of a command, for the metric's label.
type Outcome string

// The closed set of outcomes.
const (
	OutcomeWritten      Outcome = "written"       // events are durable
	OutcomeEmpty        Outcome = "empty"         // success that changed nothing
	OutcomeReplayed     Outcome = "replayed"      // the remembered answer of an earlier one
	OutcomeRejected     Outcome = "rejected"      // the author's reject rule
	OutcomeInvalid      Outcome = "invalid"       // payload, If-Match or key refused
	OutcomeFailed       Outcome = "failed"        // the behaviour failed, or the runtime
	OutcomeOverloaded   Outcome = "overloaded"    // the mailbox is full
	OutcomeNotAttempted Outcome = "not_attempted" // nothing ran or will
	OutcomeUnknown      Outcome = "unknown"       // the caller left before the answer
	OutcomeNotOwner     Outcome = "not_owner"     // another process owns the shard
)

// Definition is what a shard runs. Behavior is required.
type Definition struct {
	Behavior   behavior.Behavior
	Generation int64
	// SnapshotEvery is the number of events between two snapshots of an
	// entity; default 100, negative for none.
	SnapshotEvery int
	// PassivateAfter is the idle time after which an entity leaves memory;
	// default 120 s.
	PassivateAfter time.Duration
	// DedupCommands (default 128) and DedupFor (default 10 minutes) are the
	// deduplication window of each entity: the last so many commands, and all
	// keyed ones that young.
	DedupCommands int
	DedupFor      time.Duration
}

// Spec names a shard to open.
type Spec struct {
	ID eventstore.ShardID
	// Expected is the epoch that the shard must have; nil takes it from the one
	// that it has. It does not matter to a shard that the host serves already.
	Expected *int64
	// Aggregate is the aggregate's name.
	Aggregate  string
	Definition Definition
}

func (c Config) withDefaults() Config {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	l := &c.Limits
	for _, f := range []struct {
		field *int
		value int
	}{
		{&l.MailboxCommands, 8192},
		{&l.EntityCommands, 1024},
		{&l.BatchCommands, 1024},
		{&l.BatchEvents, 2048},
		{&l.BatchBytes, 4 << 20},
		{&l.FeedEvents, 4096},
		{&l.Loads, 16},
		{&l.Snapshots, 1024},
		{&l.HotEntities, 256},
	} {
		if *f.field <= 0 {
			*f.field = f.value
		}
	}
	for _, f := range []struct {
		field *int64
		value int64
	}{
		{&l.MailboxBytes, 64 << 20},
		{&l.HeldBytes, 128 << 20},
		{&l.MemoryBytes, 16 << 20},
		{&l.EntityKeyBytes, 64 << 20},
		{&l.KeyBytes, 512 << 20},
		{&l.FeedBytes, 8 << 20},
		{&l.FeedsBytes, 8 << 20},
		{&l.SnapshotBytes, 16 << 20},
		{(*int64)(&l.AppendTimeout), int64(5 * time.Second)},
		{(*int64)(&l.CallTimeout), int64(3 * time.Second)},
		{(*int64)(&l.ResendFor), int64(10 * time.Second)},
		{(*int64)(&l.RecheckEvery), int64(time.Second)},
		{(*int64)(&l.StuckAfter), int64(10 * time.Second)},
	} {
		if *f.field <= 0 {
			*f.field = f.value
		}
	}
	return c
}

func (d Definition) withDefaults() *Definition {
	if d.SnapshotEvery == 0 {
		d.SnapshotEvery = 100
	}
	if d.PassivateAfter <= 0 {
		d.PassivateAfter = 120 * time.Second
	}
	if d.DedupCommands <= 0 {
		d.DedupCommands = 128
	}
	if d.DedupFor <= 0 {
		d.DedupFor = 10 * time.Minute
	}
	return &d
}
