package eventstore

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// AggregateID is the small number that a store gives an aggregate's name, once
// and for ever.
type AggregateID int32

// ShardID names one shard of one aggregate in a store.
type ShardID struct {
	Aggregate AggregateID
	Number    int32 // 0..255, never reused
}

// String is "aggregate/number", for logs.
func (s ShardID) String() string { return fmt.Sprintf("%d/%d", s.Aggregate, s.Number) }

// SlotRange is an inclusive range of slots, within 0..65535.
type SlotRange struct{ First, Last uint16 }

// Contains reports whether the slot lies in the range.
func (r SlotRange) Contains(slot uint16) bool { return r.First <= slot && slot <= r.Last }

// Hash is a link of a shard's chain. The zero Hash precedes event 1.
type Hash [32]byte

// String is lower-case hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Token is the random part of a claim: it tells two claims with the same epoch
// apart after a restore or an asynchronous failover of the database.
type Token [16]byte

// String is lower-case hexadecimal.
func (t Token) String() string { return hex.EncodeToString(t[:]) }

// Incarnation names one start of one process. It is made at process start and
// never reused, unlike a pod's name.
type Incarnation string

// Meta is what an event carries besides its data.
type Meta struct {
	// Time is when the command was handled, in UTC and whole microseconds; one
	// value for all events of a command, never before the entity's last event.
	Time time.Time
	// Principal is who sent the command; empty until authentication is configured.
	Principal string
}

// Event is one row of the log. Every field but Hash goes into Hash.
type Event struct {
	Shard ShardID
	// Seq is dense in the shard, Version dense in the entity; both from 1.
	Seq     int64
	Entity  string
	Version int64
	// Epoch is the epoch of the lease under which the event was appended.
	Epoch       int64
	Type        string
	TypeVersion int32
	// Data is the event's fields as one JSON object. What a store gives back is
	// equal in value, not in bytes: keys may be in another order, numbers written
	// otherwise (see AppendCanonical).
	Data json.RawMessage
	Meta Meta
	// CommandID is the id of the command that caused the event: the caller's
	// idempotency key, or one made at the door.
	CommandID string
	// RequestHash is the fingerprint of the command's name and body.
	RequestHash Hash
	// Generation is that of the definition that decided the event.
	Generation int64
	// RecordedAt is the owner's clock at the append, UTC, whole microseconds.
	// It never decreases within a shard.
	RecordedAt time.Time
	Hash       Hash
}

// Outcome is the remembered answer of a command that wrote no event.
type Outcome struct {
	Entity      string
	CommandID   string
	RequestHash Hash
	// Version is the entity's version when the command was answered.
	Version int64
	// Answer is opaque to the store.
	Answer []byte
	// Time is the command's time: UTC, whole microseconds.
	Time time.Time
}

// Snapshot is an entity's committed state at one of its versions. It is an
// accelerator only: losing every snapshot loses nothing.
type Snapshot struct {
	Aggregate AggregateID
	Entity    string
	Version   int64
	// Seq and Hash are those of the entity's event at Version; a reader that
	// finds another event there ignores the snapshot.
	Seq  int64
	Hash Hash
	// Time is Meta.Time of that event.
	Time time.Time
	// State and Window are opaque to the store.
	State  []byte
	Window []byte
	// Behavior is the fingerprint of the types, state and events of the
	// definition that folded State; under another one the snapshot is ignored.
	Behavior Hash
}

// Aggregate is an aggregate as the store knows it.
type Aggregate struct {
	ID   AggregateID
	Name string
	// Definition is the last accepted one, nil before the first; Generation
	// counts the accepted definitions from 1.
	Definition []byte
	Generation int64
	// Source is where Definition comes from.
	Source Source
	// Before is kept beside a definition that may have to give way again, empty
	// otherwise; what it holds is for those who wrote it.
	Before []byte
	// Revision counts the changes of all of these; it is what a change expects.
	Revision int64
	// Shards is the number of shards, fixed when the aggregate was made.
	Shards int32
}

// Source is the object of a cluster that a definition was written in, so that of
// two readers of it the one with the older view does not win. Zero: the
// definition comes from elsewhere, such as files.
type Source struct {
	// UID is the object's own: one that was deleted and made again has another.
	UID string
	// Generation counts the changes of the object's spec.
	Generation int64
	// Created is when the object was made, in microseconds at most.
	Created time.Time
}

// OlderThan tells that a definition that was read from s must not take the place
// of one from other: of the same object's the later generation wins, and of two
// objects that had the name one after the other the one made later. What comes
// from elsewhere has no age: who offers last wins, in either direction.
func (s Source) OlderThan(other Source) bool {
	switch {
	case s.UID == "" || other.UID == "":
		return false
	case s.UID == other.UID:
		return s.Generation < other.Generation
	}
	return s.Created.Before(other.Created)
}

// Same tells two readings of one object at one generation.
func (s Source) Same(other Source) bool {
	return s.UID == other.UID && s.Generation == other.Generation && s.Created.Equal(other.Created)
}

// Acceptance is a definition that is to be in force.
type Acceptance struct {
	Definition []byte
	Source     Source
	// Before is not empty if the definition may have to give way again.
	Before []byte
}

// Revision is the part of an Aggregate that tells whether the rest is to be read
// again.
type Revision struct {
	ID                   AggregateID
	Revision, Generation int64
	// Provisional: Before is not empty.
	Provisional bool
}

// Lease is the right to append to a shard, as long as the store agrees.
type Lease struct {
	Shard ShardID
	Epoch int64
	Token Token
}

// Tenure is what an owner goes by: its lease, and the log that it knows. A store that
// was restored, or failed over to a copy that lagged, may have kept the one and lost of
// the other.
type Tenure struct {
	Lease
	// Head and HeadHash are the last event's that the owner knows of; zero: none.
	Head     int64
	HeadHash Hash
}

// ShardState is a shard's row.
type ShardState struct {
	Lease
	Slots SlotRange
	// Owner is empty when nobody owns the shard; Address is where it listens.
	Owner   Incarnation
	Address string
	// Head is the last event's Seq (0: none), HeadHash its Hash and HeadTime
	// its RecordedAt.
	Head     int64
	HeadHash Hash
	HeadTime time.Time
	// Generation is that of the aggregate's accepted definition (0: none).
	Generation int64
}

// Member is a runtime process that has said it lives.
type Member struct {
	Incarnation Incarnation
	Runtime     string
	Address     string
	// Age is the time since its last heartbeat by the database's clock.
	Age time.Duration
}
