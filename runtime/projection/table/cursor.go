package table

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/leftfold/leftfold/runtime/problem"
)

// A cursor is base64url of a checksum of the query and the order's values of
// the last row on the page: JSON, each in a form that loses nothing.

const checksumSize = 8

// checksum binds a cursor to the projection, its filters and its order.
func (s *snapshot) checksum(filters []Filter, order []sorting) []byte {
	h := sha256.New()
	fmt.Fprintf(h, "%q\n", s.name)
	for _, f := range filters {
		fmt.Fprintf(h, "%q %q", f.Column, f.Op)
		for _, v := range f.Values {
			fmt.Fprintf(h, " %q", cursorValue(v))
		}
		fmt.Fprintln(h)
	}
	for _, o := range order {
		fmt.Fprintf(h, "%q %s %t %t\n", o.Name, o.Kind, o.descending, o.Optional)
	}
	return h.Sum(nil)[:checksumSize]
}

func makeCursor(checksum []byte, order []sorting, row []any) (string, error) {
	values := make([]*string, len(order))
	for i, o := range order {
		if v := row[o.place]; v != nil {
			text := cursorValue(v)
			values[i] = &text
		}
	}
	text, err := json.Marshal(values)
	if err != nil {
		return "", fmt.Errorf("make a cursor: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(append(bytes.Clone(checksum), text...)), nil
}

func parseCursor(text string, checksum []byte, order []sorting) ([]any, error) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(raw) < checksumSize {
		return nil, problem.On(problem.InvalidParameter, "cursor", "is not a cursor that an answer gave as next")
	}
	if !bytes.Equal(raw[:checksumSize], checksum) {
		return nil, problem.On(problem.InvalidParameter, "cursor", "is of another query: filters and order must stay as they were")
	}
	var texts []*string
	if err := json.Unmarshal(raw[checksumSize:], &texts); err != nil || len(texts) != len(order) {
		return nil, problem.On(problem.InvalidParameter, "cursor", "is damaged")
	}
	values := make([]any, len(texts))
	for i, t := range texts {
		if t == nil && order[i].Optional {
			continue
		}
		v, ok := any(nil), false
		if t != nil {
			v, ok = parseCursorValue(order[i].Kind, *t)
		}
		if !ok || checkValue(order[i].Column, v) != nil {
			return nil, problem.On(problem.InvalidParameter, "cursor", "is damaged")
		}
		values[i] = v
	}
	return values, nil
}

// cursorValue writes a value so that parseCursorValue gives the same one.
// Strings travel as they are: they are valid UTF-8.
func cursorValue(v any) string {
	var n uint64
	switch w := v.(type) {
	case string:
		return w
	case []byte:
		return base64.RawURLEncoding.EncodeToString(w)
	case bool:
		if w {
			n = 1
		}
	case int64:
		n = uint64(w)
	case float64:
		n = math.Float64bits(w)
	case time.Time:
		n = uint64(w.UnixMicro())
	case time.Duration:
		n = uint64(w)
	}
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, n))
}

func parseCursorValue(k Kind, text string) (any, bool) {
	if k == String {
		return text, true
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, false
	}
	if k == Bytes {
		return raw, true
	}
	if len(raw) != 8 {
		return nil, false
	}
	n := binary.BigEndian.Uint64(raw)
	switch k {
	case Int:
		return int64(n), true
	case Duration:
		return time.Duration(n), true
	case Bool:
		return n == 1, n <= 1
	case Double:
		f := math.Float64frombits(n)
		return f, !math.IsNaN(f) && !math.IsInf(f, 0)
	case Timestamp:
		t := time.UnixMicro(int64(n)).UTC()
		return t, t.Year() >= 1 && t.Year() <= 9999
	}
	return nil, false
}
