package eventstore

import (
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func position(marks map[ShardID]int64) Position {
	var p Position
	for id, seq := range marks {
		p.Set(id, seq)
	}
	return p
}

func contents(p Position) map[ShardID]int64 {
	m := map[ShardID]int64{}
	for id, seq := range p.All() {
		m[id] = seq
	}
	return m
}

func anyMarks() *rapid.Generator[map[ShardID]int64] {
	id := rapid.Custom(func(t *rapid.T) ShardID {
		return ShardID{Aggregate: AggregateID(rapid.Int32Range(1, 3).Draw(t, "aggregate")), Number: rapid.Int32Range(0, 20).Draw(t, "number")}
	})
	return rapid.MapOfN(id, rapid.Int64Range(1, math.MaxInt64), 0, 40)
}

func TestPositionKeepsWhatIsSet(t *testing.T) {
	a, b := ShardID{1, 0}, ShardID{1, 1}
	var p Position
	p.Set(b, 7)
	p.Set(a, 3)
	p.Set(a, 2)
	if p.Get(a) != 2 || p.Get(b) != 7 || p.Get(ShardID{2, 0}) != 0 || p.Len() != 2 {
		t.Errorf("got %v", contents(p))
	}
	c := p.Clone()
	p.Set(b, 0)
	if p.Len() != 1 || c.Get(b) != 7 {
		t.Errorf("after taking a shard out: %v; its clone: %v", contents(p), contents(c))
	}
}

func TestPositionMergeIsTheLeastThatCoversBoth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, y := anyMarks().Draw(t, "x"), anyMarks().Draw(t, "y")
		p, q := position(x), position(y)
		merged := p.Clone()
		merged.Merge(q)
		if !merged.Covers(p) || !merged.Covers(q) {
			t.Fatalf("%v does not cover %v and %v", contents(merged), x, y)
		}
		for id, seq := range merged.All() {
			if seq != max(x[id], y[id]) {
				t.Fatalf("%s is at %d, want %d", id, seq, max(x[id], y[id]))
			}
			less := merged.Clone()
			less.Set(id, seq-1)
			if less.Covers(p) && less.Covers(q) {
				t.Fatalf("%v covers both as well", contents(less))
			}
		}
	})
}

func TestPositionComesBackFromItsText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		marks := anyMarks().Draw(t, "marks")
		p := position(marks)
		text, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParsePosition(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if d := cmp.Diff(marks, contents(got)); d != "" {
			t.Fatal(d)
		}
	})
}

func TestPositionOf256ShardsFitsIn2KiB(t *testing.T) {
	var p Position
	for i := range int32(MaxShards) {
		p.Set(ShardID{math.MaxInt32, i}, 1+int64(i)*(1<<47)/MaxShards)
	}
	text, err := p.Encode()
	if err != nil || len(text) > MaxPosition {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}

func TestPositionThatIsTooLongIsRefused(t *testing.T) {
	var p Position
	for i := range int32(MaxShards * 2) {
		p.Set(ShardID{1 + AggregateID(i)/MaxShards, i % MaxShards}, 1+int64(i)<<50)
	}
	if text, err := p.Encode(); !errors.Is(err, ErrPositionTooLong) {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}

func TestParsePositionRefusesWhatEncodeDoesNotWrite(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":                        "",
		"no base64url":                   "A+==",
		"another format":                 "Ag",
		"a truncated run":                "AQEA",
		"a run without shards":           "AQEAAAEA",
		"a sequence of 0":                "AQEAAQAA",
		"a width that is too large":      "AQEAAQFA",
		"a number written too long":      "AYEAAAEBAA",
		"a wider run than needed":        "AQEAAQEIAA",
		"one run written as two":         "AQEAAQEAAQEBAQA",
		"the same shard twice":           "AQEAAQEAAQABAQA",
		"shards in the wrong order":      "AQEBAQEAAQABAQA",
		"more bytes than any position":   string(make([]byte, MaxPosition+1)),
		"a sequence beyond what fits":    "AQEAAf___________wEA",
		"trailing bits that are not 0":   "AR",
		"a run with bits after its last": "AQEAAgEBQf",
	} {
		if p, err := ParsePosition(text); !errors.Is(err, ErrMalformedPosition) {
			t.Errorf("%s: got %v, %v", name, contents(p), err)
		}
	}
}

func FuzzParsePosition(f *testing.F) {
	for _, marks := range []map[ShardID]int64{nil, {{1, 0}: 1}, {{1, 0}: 5, {1, 1}: 900, {2, 7}: math.MaxInt64}} {
		p := position(marks)
		text, err := p.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePosition(text)
		if err != nil {
			return
		}
		if again, err := p.Encode(); err != nil || again != text {
			t.Fatalf("%q parses and is written as %q, %v", text, again, err)
		}
	})
}
