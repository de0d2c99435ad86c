package eventstore

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"
)

// hashFormat is the version of what goes into a Hash. Another format gets
// another number; the golden vectors in testdata hold this one still.
const hashFormat = 1

// Errors of times that do not survive the store.
var (
	errFraction = errors.New("not in whole microseconds")
	errYear     = errors.New("outside of the years 1 to 9999")
)

// Link returns the hash that e has when prev precedes it in its shard: SHA-256
// over a format version, prev and all of e's columns but Hash, which is neither
// read nor set.
//
// The text hashed is: the format version, one byte; prev, 32 bytes; then, each
// integer as 8 bytes big-endian and each string as its length in bytes and
// itself: Shard.Aggregate, Shard.Number, Seq, Epoch, Entity, Version, Type,
// TypeVersion, the canonical form of Data, Meta.Time in microseconds since 1970,
// Meta.Principal, CommandID, RequestHash (32 bytes, no length), Generation,
// RecordedAt in microseconds since 1970.
//
// It fails when Data is no object or has no canonical form (ErrJSON), or a time
// is not in whole microseconds of the years 1 to 9999: such an event would not
// come back from a store as it went in.
func (e *Event) Link(prev Hash) (Hash, error) {
	h, _ := hashers.Get().(*Hasher)
	defer hashers.Put(h)
	return h.Link(prev, e)
}

var hashers = sync.Pool{New: func() any { return new(Hasher) }}

// Hasher links events like Event.Link, keeping its memory between calls. The
// zero Hasher is ready; it serves one goroutine at a time.
type Hasher struct {
	canonical canonicalizer
	data      []byte
	text      []byte
}

// Link is Event.Link.
func (h *Hasher) Link(prev Hash, e *Event) (Hash, error) {
	var err error
	if h.data, err = h.canonical.append(h.data[:0], e.Data); err != nil {
		return Hash{}, fmt.Errorf("data of event %s of shard %s: %w", e.Type, e.Shard, err)
	}
	if h.data[0] != '{' {
		return Hash{}, fmt.Errorf("data of event %s of shard %s: %w: not an object", e.Type, e.Shard, ErrJSON)
	}
	if err := checkTime(e.Meta.Time); err != nil {
		return Hash{}, fmt.Errorf("time of event %s of shard %s: %w", e.Type, e.Shard, err)
	}
	if err := checkTime(e.RecordedAt); err != nil {
		return Hash{}, fmt.Errorf("recording time of event %s of shard %s: %w", e.Type, e.Shard, err)
	}
	b := append(h.text[:0], hashFormat)
	b = append(b, prev[:]...)
	b = appendInt(b, int64(e.Shard.Aggregate))
	b = appendInt(b, int64(e.Shard.Number))
	b = appendInt(b, e.Seq)
	b = appendInt(b, e.Epoch)
	b = appendText(b, e.Entity)
	b = appendInt(b, e.Version)
	b = appendText(b, e.Type)
	b = appendInt(b, int64(e.TypeVersion))
	b = appendInt(b, int64(len(h.data)))
	b = append(b, h.data...)
	b = appendInt(b, e.Meta.Time.UnixMicro())
	b = appendText(b, e.Meta.Principal)
	b = appendText(b, e.CommandID)
	b = append(b, e.RequestHash[:]...)
	b = appendInt(b, e.Generation)
	b = appendInt(b, e.RecordedAt.UnixMicro())
	h.text = b
	return sha256.Sum256(b), nil
}

func appendInt(b []byte, n int64) []byte { return binary.BigEndian.AppendUint64(b, uint64(n)) }

func appendText(b []byte, s string) []byte { return append(appendInt(b, int64(len(s))), s...) }

func checkTime(t time.Time) error {
	if t.Nanosecond()%1000 != 0 {
		return errFraction
	}
	if year := t.UTC().Year(); year < 1 || year > 9999 {
		return errYear
	}
	return nil
}

// ChainError says where a shard's events stop being what their owner appended.
type ChainError struct {
	Shard  ShardID
	Seq    int64
	Reason string
}

// Error names the shard, the sequence and the reason.
func (e *ChainError) Error() string {
	return fmt.Sprintf("shard %s, event %d: %s", e.Shard, e.Seq, e.Reason)
}

// VerifyChain checks consecutive events of one shard, the first of which follows
// an event with the hash prev (the zero Hash before event 1): the sequence is
// dense, epochs and recording times never decrease, and every Hash is the Link
// of the one before. The error is a *ChainError that names the first event for
// which that is not so.
func VerifyChain(prev Hash, events []Event) error {
	h, _ := hashers.Get().(*Hasher)
	defer hashers.Put(h)
	for i := range events {
		e := &events[i]
		if i > 0 {
			if reason := follows(&events[i-1], e); reason != "" {
				return &ChainError{Shard: e.Shard, Seq: e.Seq, Reason: reason}
			}
		}
		want, err := h.Link(prev, e)
		if err != nil {
			return &ChainError{Shard: e.Shard, Seq: e.Seq, Reason: err.Error()}
		}
		if e.Hash != want {
			return &ChainError{Shard: e.Shard, Seq: e.Seq, Reason: fmt.Sprintf("hash is %s, the chain gives %s", e.Hash, want)}
		}
		prev = e.Hash
	}
	return nil
}

// follows says why b cannot come right after a in a shard.
func follows(a, b *Event) string {
	switch {
	case b.Shard != a.Shard:
		return fmt.Sprintf("follows an event of shard %s", a.Shard)
	case b.Seq != a.Seq+1:
		return fmt.Sprintf("follows event %d", a.Seq)
	case b.Epoch < a.Epoch:
		return fmt.Sprintf("has epoch %d after epoch %d", b.Epoch, a.Epoch)
	case b.RecordedAt.Before(a.RecordedAt):
		return "was recorded before the event before it"
	}
	return ""
}
