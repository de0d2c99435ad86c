package language

import (
	"encoding/base64"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// maxSafeInt is the largest int that every JSON reader keeps exactly; beyond
// it, either way, ints are written as strings.
const maxSafeInt = 1<<53 - 1

// AppendJSON appends the one JSON form of a value, the same for callers and
// for the store: keys in bytewise order, no spaces, absent fields left out,
// ints beyond ±(2^53-1) as strings, timestamps in RFC 3339, durations as
// seconds ("90s"), bytes in base64. v is a value that the language made.
func AppendJSON(dst []byte, v ref.Val) []byte {
	switch w := v.(type) {
	case types.String:
		return appendString(dst, string(w))
	case types.Int:
		return appendInt(dst, int64(w))
	case types.Bool:
		return strconv.AppendBool(dst, bool(w))
	case types.Double:
		return appendDouble(dst, float64(w))
	case types.Bytes:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, w)
		return append(dst, '"')
	case types.Timestamp:
		dst = append(dst, '"')
		dst = w.Time.AppendFormat(dst, time.RFC3339Nano)
		return append(dst, '"')
	case types.Duration:
		return appendDuration(dst, w.Duration)
	case *Record:
		return appendRecord(dst, w)
	case *List:
		dst = append(dst, '[')
		for i, e := range w.vals {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = AppendJSON(dst, e)
		}
		return append(dst, ']')
	case *Map:
		dst = append(dst, '{')
		for k, e := range w.All {
			if dst[len(dst)-1] != '{' {
				dst = append(dst, ',')
			}
			dst = append(appendString(dst, k), ':')
			dst = AppendJSON(dst, e)
		}
		return append(dst, '}')
	}
	return append(dst, "null"...)
}

func appendRecord(dst []byte, r *Record) []byte {
	dst = append(dst, '{')
	first := true
	for _, i := range r.typ.sorted {
		v := r.vals[i]
		if v == nil {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(dst, r.typ.Fields[i].quoted...)
		dst = AppendJSON(dst, v)
	}
	return append(dst, '}')
}

func appendInt(dst []byte, n int64) []byte {
	if n > maxSafeInt || n < -maxSafeInt {
		dst = append(dst, '"')
		dst = strconv.AppendInt(dst, n, 10)
		return append(dst, '"')
	}
	return strconv.AppendInt(dst, n, 10)
}

// appendDouble writes the shortest digits that read back as the same double.
func appendDouble(dst []byte, d float64) []byte {
	if d == 0 {
		return append(dst, '0')
	}
	if a := math.Abs(d); a >= 1e21 || a < 1e-6 {
		dst = strconv.AppendFloat(dst, d, 'e', -1, 64)
		if n := len(dst); n > 3 && dst[n-4] == 'e' && dst[n-3] == '-' && dst[n-2] == '0' {
			dst[n-2] = dst[n-1] // e-07 is e-7
			dst = dst[:n-1]
		}
		return dst
	}
	return strconv.AppendFloat(dst, d, 'f', -1, 64)
}

// appendDuration writes seconds with as many decimals as are needed.
func appendDuration(dst []byte, d time.Duration) []byte {
	dst = append(dst, '"')
	whole, part := int64(d/time.Second), int64(d%time.Second)
	if d < 0 {
		dst = append(dst, '-')
		whole, part = -whole, -part
	}
	dst = strconv.AppendInt(dst, whole, 10)
	if part != 0 {
		var digits [9]byte
		for i := len(digits) - 1; i >= 0; i-- {
			digits[i] = byte('0' + part%10)
			part /= 10
		}
		n := len(digits)
		for digits[n-1] == '0' {
			n--
		}
		dst = append(append(dst, '.'), digits[:n]...)
	}
	return append(dst, 's', '"')
}

// plain has true for the bytes that stand for themselves in a JSON string.
var plain = func() (t [utf8.RuneSelf]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

const hexDigits = "0123456789abcdef"

// appendString writes a JSON string. Only what JSON demands is escaped.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= utf8.RuneSelf || plain[c] {
			continue
		}
		dst = append(dst, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(append(dst, s[start:]...), '"')
}
