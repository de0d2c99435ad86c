package language

import (
	"strconv"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// ParseJSON reads a JSON value of a type, as AppendJSON writes it. null is not
// a value. Errors are of type *Refusal.
func ParseJSON(t *Type, data []byte) (ref.Val, error) {
	d := decoder{scanner: scanner{data: data}}
	d.space()
	v, refusal := d.value(t)
	if refusal != nil {
		return nil, refusal
	}
	d.space()
	if d.pos < len(d.data) {
		return nil, d.unexpected("nothing more")
	}
	if v == nil {
		return nil, refuse(WrongType, "is null, needs %s", t.name)
	}
	return v, nil
}

// ParseText reads a value as it stands in a URL or on a command line: what
// JSON has in quotes comes without them. Lists, maps and records are JSON.
// Errors are of type *Refusal.
func ParseText(t *Type, text string) (ref.Val, error) {
	switch t.Kind {
	case String:
		if err := checkText(text); err != nil {
			return nil, refuse(WrongType, "%v", err)
		}
		return types.String(text), nil
	case Int:
		if !isIntText(text) {
			return nil, refuse(WrongType, "is no int: write digits, such as 42")
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, refuse(WrongType, "is out of the range of int (64 bit)")
		}
		return types.Int(n), nil
	case Bytes, Timestamp, Duration:
		return ParseJSON(t, appendString(nil, text))
	default:
		return ParseJSON(t, []byte(text))
	}
}

// AppendText appends a value as ParseText reads it.
func AppendText(dst []byte, v ref.Val) []byte {
	switch w := v.(type) {
	case types.String:
		return append(dst, w...)
	case types.Int:
		return strconv.AppendInt(dst, int64(w), 10)
	}
	start := len(dst)
	dst = AppendJSON(dst, v)
	switch v.(type) {
	case types.Bytes, types.Timestamp, types.Duration:
		// Plain ASCII without escapes: only the quotes have to go.
		return append(dst[:start], dst[start+1:len(dst)-1]...)
	}
	return dst
}
