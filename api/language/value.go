package language

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// zeroTime is what a timestamp reads as that was never set: the Unix epoch, as
// CEL and protobuf have it.
var zeroTime = types.Timestamp{Time: time.Unix(0, 0).UTC()}

var (
	errNUL      = errors.New("a string cannot hold U+0000")
	errNotUTF8  = errors.New("a string must be valid UTF-8")
	errNotFinal = errors.New("a double must be a finite number, not NaN or infinity")
)

// conform gives v as a value that a field of type t can hold, and that every
// store keeps exactly: finite, in microseconds, valid text, in key order.
func conform(t *Type, v ref.Val) (ref.Val, error) {
	switch w := v.(type) {
	case types.String:
		if t.Kind == String {
			return v, checkText(string(w))
		}
	case types.Int:
		if t.Kind == Int {
			return v, nil
		}
	case types.Bool:
		if t.Kind == Bool {
			return v, nil
		}
	case types.Double:
		if t.Kind == Double {
			return conformDouble(v, float64(w))
		}
	case types.Bytes:
		if t.Kind == Bytes {
			return v, nil
		}
	case types.Timestamp:
		if t.Kind == Timestamp {
			return conformTime(v, w.Time)
		}
	case types.Duration:
		if t.Kind == Duration {
			return v, nil
		}
	case *Record:
		if t.Kind == RecordOf {
			return conformRecord(t.Record, w)
		}
	case *types.Err:
		return nil, w
	case traits.Lister:
		if t.Kind == ListOf {
			return conformList(t, w)
		}
	case *Map:
		if t.Kind == MapOf {
			return conformMap(t, w)
		}
	}
	return nil, fmt.Errorf("is %s, needs %s", v.Type().TypeName(), t.name)
}

func conformDouble(v ref.Val, d float64) (ref.Val, error) {
	if math.IsNaN(d) || math.IsInf(d, 0) {
		return nil, errNotFinal
	}
	if d == 0 {
		return types.Double(0), nil // -0 is not kept by stores
	}
	return v, nil
}

func conformTime(v ref.Val, t time.Time) (ref.Val, error) {
	u := t.UTC().Truncate(time.Microsecond)
	if y := u.Year(); y < 1 || y > 9999 {
		return nil, fmt.Errorf("a timestamp must be in the years 1 to 9999")
	}
	if t.Location() == time.UTC && u.Equal(t) {
		return v, nil
	}
	return types.Timestamp{Time: u}, nil
}

func conformRecord(t *RecordType, r *Record) (ref.Val, error) {
	if r.typ == t {
		return r, nil
	}
	// The same named type of another definition, such as a source's.
	if r.typ.Name != t.Name {
		return nil, fmt.Errorf("is %s, needs %s", r.typ.Name, t.Name)
	}
	out := t.zero.clone()
	for i := range r.vals {
		j, ok := t.find(r.typ.Fields[i].Name)
		if !ok {
			return nil, fmt.Errorf("%s has no field %s", t.Name, r.typ.Fields[i].Name)
		}
		if r.vals[i] == nil {
			continue
		}
		if err := out.set(j, r.vals[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func conformList(t *Type, l traits.Lister) (ref.Val, error) {
	if own, ok := l.(*List); ok && own.elem == t.Elem {
		return own, nil
	}
	from := listElements(l)
	vals := make([]ref.Val, len(from))
	for i, v := range from {
		w, err := conform(t.Elem, v)
		if err != nil {
			return nil, fmt.Errorf("element %d: %w", i, err)
		}
		vals[i] = w
	}
	return &List{vals: vals, elem: t.Elem}, nil
}

func conformMap(t *Type, m *Map) (ref.Val, error) {
	if m.elem == t.Elem {
		return m, nil
	}
	keys, vals := make([]string, 0, m.size), make([]ref.Val, 0, m.size)
	for k, v := range m.All {
		if err := checkText(k); err != nil {
			return nil, err
		}
		w, err := conform(t.Elem, v)
		if err != nil {
			return nil, fmt.Errorf("entry %q: %w", k, err)
		}
		keys, vals = append(keys, k), append(vals, w)
	}
	return newMap(t.Elem, keys, vals), nil
}

// checkText refuses what not every store can keep in a string.
func checkText(s string) error {
	if strings.IndexByte(s, 0) >= 0 {
		return errNUL
	}
	if !utf8.ValidString(s) {
		return errNotUTF8
	}
	return nil
}
