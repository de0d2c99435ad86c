package eventstore

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/bits"
	"slices"
)

// MaxPosition is the length, in bytes, that a position's text never exceeds.
const MaxPosition = 2048

// positionFormat is the first byte of an encoded position.
const positionFormat = 1

// Errors of positions.
var (
	// ErrMalformedPosition: a text that Position.Encode does not make.
	ErrMalformedPosition = errors.New("malformed position")
	// ErrPositionTooLong: the position's text would exceed MaxPosition.
	ErrPositionTooLong = errors.New("position has too many shards to be written down")
)

// Position says how far a reader is in each of several shards: the Seq of the
// last event it has seen there. A shard that is not in it stands at 0, before
// its first event; so the zero Position is the beginning of everything. It is
// no total order: of two positions, neither may cover the other.
type Position struct {
	marks []mark // by shard, seq > 0
}

type mark struct {
	shard ShardID
	seq   int64
}

func compareShards(a, b ShardID) int {
	return cmp.Or(cmp.Compare(a.Aggregate, b.Aggregate), cmp.Compare(a.Number, b.Number))
}

func (p *Position) find(id ShardID) (int, bool) {
	return slices.BinarySearchFunc(p.marks, id, func(m mark, id ShardID) int { return compareShards(m.shard, id) })
}

// Get returns the shard's Seq, 0 when it is not in the position.
func (p *Position) Get(id ShardID) int64 {
	if i, ok := p.find(id); ok {
		return p.marks[i].seq
	}
	return 0
}

// Set puts the shard at seq, forwards or backwards; 0 or less takes it out.
func (p *Position) Set(id ShardID, seq int64) {
	i, ok := p.find(id)
	switch {
	case ok && seq > 0:
		p.marks[i].seq = seq
	case ok:
		p.marks = slices.Delete(p.marks, i, i+1)
	case seq > 0:
		p.marks = slices.Insert(p.marks, i, mark{id, seq})
	}
}

// Merge moves p forward, shard by shard, to where other is further.
func (p *Position) Merge(other Position) {
	for _, m := range other.marks {
		if m.seq > p.Get(m.shard) {
			p.Set(m.shard, m.seq)
		}
	}
}

// Covers reports whether p is at or after other in every shard.
func (p *Position) Covers(other Position) bool {
	for _, m := range other.marks {
		if p.Get(m.shard) < m.seq {
			return false
		}
	}
	return true
}

// Len is the number of shards that are past their beginning.
func (p *Position) Len() int { return len(p.marks) }

// All yields the shards past their beginning, ordered, with their Seq.
func (p *Position) All() iter.Seq2[ShardID, int64] {
	return func(yield func(ShardID, int64) bool) {
		for _, m := range p.marks {
			if !yield(m.shard, m.seq) {
				return
			}
		}
	}
}

// Clone returns a position that shares nothing with p.
func (p *Position) Clone() Position { return Position{marks: slices.Clone(p.marks)} }

// Encode writes the position as opaque text: base64url, at most MaxPosition
// bytes, the same for equal positions. That is room for 256 shards of any
// length up to 2^47 events; the limit is reached with several aggregates of
// hundreds of shards each, whose lengths differ by millions. Then it fails with
// ErrPositionTooLong.
//
// Shards with consecutive numbers are a run: its aggregate, first number and
// length, the lowest of their sequences, and the rest as distances from that,
// all with the same number of bits.
func (p *Position) Encode() (string, error) {
	b := []byte{positionFormat}
	for from := 0; from < len(p.marks); {
		to := from + 1
		for to < len(p.marks) && to-from < MaxShards && p.marks[to].shard == next(p.marks[to-1].shard) {
			to++
		}
		b = appendRun(b, p.marks[from:to])
		from = to
	}
	if base64.RawURLEncoding.EncodedLen(len(b)) > MaxPosition {
		return "", fmt.Errorf("%w: %d shards", ErrPositionTooLong, len(p.marks))
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}

func next(id ShardID) ShardID { return ShardID{Aggregate: id.Aggregate, Number: id.Number + 1} }

func appendRun(b []byte, run []mark) []byte {
	low, high := run[0].seq, run[0].seq
	for _, m := range run {
		low, high = min(low, m.seq), max(high, m.seq)
	}
	width := bits.Len64(uint64(high - low))
	b = binary.AppendUvarint(b, uint64(uint32(run[0].shard.Aggregate)))
	b = binary.AppendUvarint(b, uint64(uint32(run[0].shard.Number)))
	b = binary.AppendUvarint(b, uint64(len(run)))
	b = binary.AppendUvarint(b, uint64(low))
	b = append(b, byte(width))
	start := len(b)
	b = append(b, make([]byte, (len(run)*width+7)/8)...)
	for i, m := range run {
		putBits(b[start:], i*width, width, uint64(m.seq-low))
	}
	return b
}

// putBits writes the width low bits of v at the bit offset, highest first.
func putBits(b []byte, offset, width int, v uint64) {
	for i := range width {
		if v>>(width-1-i)&1 == 1 {
			b[(offset+i)/8] |= 0x80 >> ((offset + i) % 8)
		}
	}
}

func getBits(b []byte, offset, width int) uint64 {
	var v uint64
	for i := range width {
		v = v<<1 | uint64(b[(offset+i)/8]>>(7-(offset+i)%8)&1)
	}
	return v
}

// ParsePosition reads what Encode wrote, and nothing else: a text has one
// position and a position one text. The error wraps ErrMalformedPosition.
func ParsePosition(text string) (Position, error) {
	if len(text) > MaxPosition {
		return Position{}, fmt.Errorf("%w: longer than %d bytes", ErrMalformedPosition, MaxPosition)
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return Position{}, fmt.Errorf("%w: not base64url", ErrMalformedPosition)
	}
	if len(b) == 0 || b[0] != positionFormat {
		return Position{}, fmt.Errorf("%w: unknown format", ErrMalformedPosition)
	}
	r := positionReader{b: b[1:]}
	var p Position
	for len(r.b) > 0 && !r.bad {
		p.marks = r.run(p.marks)
	}
	if r.bad || !p.ordered() {
		return Position{}, fmt.Errorf("%w: damaged", ErrMalformedPosition)
	}
	if again, err := p.Encode(); err != nil || again != text {
		return Position{}, fmt.Errorf("%w: damaged", ErrMalformedPosition)
	}
	return p, nil
}

// ordered reports whether every shard stands after the one before it.
func (p *Position) ordered() bool {
	for i := 1; i < len(p.marks); i++ {
		if compareShards(p.marks[i-1].shard, p.marks[i].shard) >= 0 {
			return false
		}
	}
	return true
}

type positionReader struct {
	b   []byte
	bad bool
}

func (r *positionReader) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > limit {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *positionReader) run(marks []mark) []mark {
	id := ShardID{Aggregate: AggregateID(r.uvarint(math.MaxInt32)), Number: int32(r.uvarint(math.MaxInt32))}
	count := int(r.uvarint(MaxShards))
	low := int64(r.uvarint(math.MaxInt64))
	if len(r.b) == 0 || count == 0 || low == 0 || r.b[0] > 63 {
		r.bad = true
		return marks
	}
	width := int(r.b[0])
	size := (count*width + 7) / 8
	if len(r.b)-1 < size {
		r.bad = true
		return marks
	}
	for i := range count {
		distance := int64(getBits(r.b[1:], i*width, width))
		if distance > math.MaxInt64-low || id.Number < 0 {
			r.bad = true
			return marks
		}
		marks = append(marks, mark{id, low + distance})
		id = next(id)
	}
	r.b = r.b[1+size:]
	return marks
}
