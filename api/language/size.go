package language

import (
	"encoding/base64"
	"unicode/utf8"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// MaxStateSize is the most bytes of JSON that a state may have.
const MaxStateSize = 1 << 20

// EncodedSize is the exact length of the value in JSON. Lists and maps
// remember theirs, so measuring the state after every event costs what changed
// and not what there is.
func EncodedSize(v ref.Val) int { return encodedSize(v) }

func encodedSize(v ref.Val) int {
	switch w := v.(type) {
	case types.String:
		return stringSize(string(w))
	case types.Bool:
		if w {
			return len("true")
		}
		return len("false")
	case types.Bytes:
		return base64.StdEncoding.EncodedLen(len(w)) + 2
	case *Record:
		n, present := 2, 0
		for i, e := range w.vals {
			if e != nil {
				n += len(w.typ.Fields[i].quoted) + encodedSize(e)
				present++
			}
		}
		return n + max(present-1, 0)
	case *List:
		if n := w.encoded.Load(); n > 0 {
			return int(n)
		}
		n := 2 + max(len(w.vals)-1, 0)
		for _, e := range w.vals {
			n += encodedSize(e)
		}
		w.encoded.Store(int64(n))
		return n
	case *Map:
		n := 2 + max(w.size-1, 0)
		for _, c := range w.chunks {
			n += c.size()
		}
		return n
	default:
		var buf [64]byte // ints, doubles, times: never longer
		return len(AppendJSON(buf[:0], v))
	}
}

// size is the length of the chunk's entries in JSON, without commas.
func (c *chunk) size() int {
	if n := c.encoded.Load(); n > 0 {
		return int(n)
	}
	n := 0
	for i, k := range c.keys {
		n += stringSize(k) + 1 + encodedSize(c.vals[i])
	}
	c.encoded.Store(int64(n))
	return n
}

func stringSize(s string) int {
	n := len(s) + 2
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= utf8.RuneSelf || plain[c] {
			continue
		}
		switch c {
		case '"', '\\', '\n', '\r', '\t':
			n++
		default:
			n += 5
		}
	}
	return n
}

// MemorySize estimates the bytes that a value keeps in memory: boxes and slice
// headers cost several times the JSON of small values.
func MemorySize(v ref.Val) int {
	const overhead = 256
	return overhead + 3*encodedSize(v)
}
