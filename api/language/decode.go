package language

import (
	"encoding/base64"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// decodeRecord reads a JSON object as a record. A command's fields must all be
// there unless they are optional or have a default; in what was stored, a field
// that is missing was declared later and has its zero.
func decodeRecord(t *RecordType, data []byte, command bool) (*Record, *Refusal) {
	d := decoder{scanner: scanner{data: data}, command: command}
	r, refusal := d.document(t)
	if refusal == nil {
		return r, nil
	}
	if refusal.Reason != MalformedBody {
		// What is no JSON at all is told before what the fields are like.
		s := scanner{data: data}
		if malformed := s.document(); malformed != nil {
			return nil, malformed
		}
	}
	return nil, refusal
}

// decoder reads values of declared types.
type decoder struct {
	scanner
	command bool
}

func (d *decoder) document(t *RecordType) (*Record, *Refusal) {
	d.space()
	if d.peek() != '{' {
		if kind := d.kind(); kind != "" {
			return nil, refuse(MalformedBody, "the body is %s, it must be a JSON object", kind)
		}
		return nil, d.unexpected("a JSON object")
	}
	r, refusal := d.record(t)
	if refusal != nil {
		return nil, refusal
	}
	d.space()
	if d.pos < len(d.data) {
		return nil, d.unexpected("nothing after the object")
	}
	return r, nil
}

// value reads a value of type t; nil for null.
func (d *decoder) value(t *Type) (ref.Val, *Refusal) {
	c := d.peek()
	if c == 'n' {
		return nil, d.literal("null")
	}
	switch t.Kind {
	case Int:
		return d.integer(c)
	case String:
		if c == '"' {
			s, refusal := d.text()
			if refusal != nil {
				return nil, refusal
			}
			return types.String(s), nil
		}
	case Bool:
		switch c {
		case 't':
			return types.True, d.literal("true")
		case 'f':
			return types.False, d.literal("false")
		}
	case Double:
		if c == '-' || isDigit(c) {
			return d.double()
		}
	case Bytes, Timestamp, Duration:
		if c == '"' {
			return d.encoded(t)
		}
	case RecordOf:
		if c == '{' {
			r, refusal := d.record(t.Record)
			if refusal != nil {
				return nil, refusal
			}
			return r, nil
		}
	case ListOf:
		if c == '[' {
			return d.list(t)
		}
	case MapOf:
		if c == '{' {
			return d.mapping(t)
		}
	}
	return nil, d.mismatch(t.name)
}

// mismatch refuses what stands next, which has another kind than is needed.
func (d *decoder) mismatch(need string) *Refusal {
	if kind := d.kind(); kind != "" {
		return refuse(WrongType, "is %s, needs %s", kind, need)
	}
	return d.unexpected(need)
}

func (d *decoder) record(t *RecordType) (*Record, *Refusal) {
	r := &Record{typ: t, vals: make([]ref.Val, len(t.Fields))}
	var seen uint64 // no record has more than 64 fields
	d.pos++
	for first := true; ; first = false {
		more, refusal := d.next('}', first)
		if refusal != nil {
			return nil, refusal
		}
		if !more {
			break
		}
		key, refusal := d.key()
		if refusal != nil {
			return nil, refusal
		}
		i, ok := t.find(string(key))
		if !ok {
			return nil, d.unknown(t, string(key))
		}
		if seen&(1<<i) != 0 {
			return nil, duplicate(t.Fields[i].Name)
		}
		seen |= 1 << i
		v, refusal := d.value(t.Fields[i].Type)
		if refusal != nil {
			return nil, refusal.in(t.Fields[i].Name)
		}
		r.vals[i] = v
	}
	for i, v := range r.vals {
		if v == nil {
			if refusal := d.missing(r, i); refusal != nil {
				return nil, refusal
			}
		}
	}
	return r, nil
}

func (d *decoder) unknown(t *RecordType, name string) *Refusal {
	r := &Refusal{Reason: UnknownField, Field: name, Detail: "there is no such field"}
	names := make([]string, len(t.Fields))
	for i := range t.Fields {
		names[i] = t.Fields[i].Name
	}
	if near := nearest(name, names); near != "" {
		r.Detail += "; did you mean " + near + "?"
	}
	return r
}

func duplicate(name string) *Refusal {
	return &Refusal{Reason: MalformedBody, Field: name, Detail: "is there twice"}
}

// missing gives a field that the object left out its value.
func (d *decoder) missing(r *Record, i int) *Refusal {
	f := &r.typ.Fields[i]
	switch {
	case f.Optional:
	case !d.command:
		r.vals[i] = f.Type.zero
	case f.fallback != nil:
		r.vals[i] = f.fallback
	default:
		return &Refusal{Reason: MissingField, Field: f.Name, Detail: "is required: give a value of type " + f.Type.name}
	}
	return nil
}

func (d *decoder) list(t *Type) (ref.Val, *Refusal) {
	l := &List{elem: t.Elem}
	d.pos++
	for first := true; ; first = false {
		more, refusal := d.next(']', first)
		if refusal != nil {
			return nil, refusal
		}
		if !more {
			return l, nil
		}
		v, refusal := d.value(t.Elem)
		if refusal == nil && v == nil {
			refusal = refuse(WrongType, "is null, needs %s: a list cannot leave an element out", t.Elem.name)
		}
		if refusal != nil {
			return nil, refusal.in("[" + strconv.Itoa(len(l.vals)) + "]")
		}
		l.vals = append(l.vals, v)
	}
}

func (d *decoder) mapping(t *Type) (ref.Val, *Refusal) {
	var keys []string
	var vals []ref.Val
	sorted := true
	d.pos++
	for first := true; ; first = false {
		more, refusal := d.next('}', first)
		if refusal != nil {
			return nil, refusal
		}
		if !more {
			break
		}
		raw, refusal := d.key()
		if refusal != nil {
			return nil, refusal
		}
		key := string(raw)
		v, refusal := d.value(t.Elem)
		if refusal != nil {
			return nil, refusal.in(step(key))
		}
		sorted = sorted && (len(keys) == 0 || keys[len(keys)-1] < key)
		keys, vals = append(keys, key), append(vals, v)
	}
	if !sorted {
		if key, twice := sortEntries(keys, vals); twice {
			return nil, duplicate(step(key))
		}
	}
	if slices.Contains(vals, nil) {
		keys, vals = dropNull(keys, vals)
	}
	return newMap(t.Elem, keys, vals), nil
}

// step is how a refusal's field names an entry of a map.
func step(key string) string { return "[" + string(appendString(nil, key)) + "]" }

// sortEntries orders entries by key and gives a key that is there twice.
func sortEntries(keys []string, vals []ref.Val) (string, bool) {
	type entry struct {
		key string
		val ref.Val
	}
	entries := make([]entry, len(keys))
	for i := range keys {
		entries[i] = entry{keys[i], vals[i]}
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.key, b.key) })
	for i, e := range entries {
		if i > 0 && e.key == entries[i-1].key {
			return e.key, true
		}
		keys[i], vals[i] = e.key, e.val
	}
	return "", false
}

// dropNull leaves out the entries that were null.
func dropNull(keys []string, vals []ref.Val) ([]string, []ref.Val) {
	n := 0
	for i, v := range vals {
		if v != nil {
			keys[n], vals[n] = keys[i], v
			n++
		}
	}
	return keys[:n], vals[:n]
}

// integer reads an int as a number or as a string of digits.
func (d *decoder) integer(c byte) (ref.Val, *Refusal) {
	var digits string
	switch {
	case c == '"':
		s, refusal := d.text()
		if refusal != nil {
			return nil, refusal
		}
		if !isIntText(s) {
			return nil, refuse(WrongType, "is a string that is no int: write digits, such as \"42\"")
		}
		digits = s
	case c == '-' || isDigit(c):
		n, ok := d.smallInt()
		if ok {
			return types.Int(n), nil
		}
		token, refusal := d.number()
		if refusal != nil {
			return nil, refusal
		}
		if digits, ok = wholeNumber(token); !ok {
			return nil, refuse(WrongType, "%s has a fraction, needs int", token)
		}
	default:
		return nil, d.mismatch("int")
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return nil, refuse(WrongType, "is out of the range of int (64 bit)")
	}
	return types.Int(n), nil
}

// isIntText tells the form that ints have as strings: no plus, no leading zero.
func isIntText(s string) bool {
	s = strings.TrimPrefix(s, "-")
	if s == "" || (s[0] == '0' && len(s) > 1) {
		return false
	}
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return true
}

// wholeNumber writes a JSON number, which may have a point and an exponent, as
// plain digits; not ok when it is no whole number.
func wholeNumber(token string) (digits string, ok bool) {
	sign := ""
	if token[0] == '-' {
		sign, token = "-", token[1:]
	}
	exponent := 0
	if i := strings.IndexAny(token, "eE"); i >= 0 {
		e, err := strconv.Atoi(token[i+1:])
		if err != nil {
			e = 1 << 20 // beyond any range; the digits decide
			if token[i+1] == '-' {
				e = -e
			}
		}
		exponent, token = e, token[:i]
	}
	if i := strings.IndexByte(token, '.'); i >= 0 {
		exponent -= len(token) - i - 1
		token = token[:i] + token[i+1:]
	}
	token = strings.TrimLeft(token, "0")
	if token == "" {
		return "0", true
	}
	for exponent < 0 && token[len(token)-1] == '0' {
		token, exponent = token[:len(token)-1], exponent+1
	}
	if exponent < 0 {
		return "", false
	}
	const beyondInt64 = 20 // more digits than any int64; ParseInt refuses them
	return sign + token + strings.Repeat("0", min(exponent, beyondInt64)), true
}

func (d *decoder) double() (ref.Val, *Refusal) {
	token, refusal := d.number()
	if refusal != nil {
		return nil, refusal
	}
	f, err := strconv.ParseFloat(token, 64)
	if err != nil || math.IsInf(f, 0) {
		return nil, refuse(WrongType, "is out of the range of double")
	}
	if f == 0 {
		f = 0 // -0 is 0
	}
	return types.Double(f), nil
}

// encoded reads the types that JSON has as strings.
func (d *decoder) encoded(t *Type) (ref.Val, *Refusal) {
	s, refusal := d.text()
	if refusal != nil {
		return nil, refusal
	}
	switch t.Kind {
	case Bytes:
		b, err := base64.StdEncoding.Strict().DecodeString(s)
		if err != nil || strings.ContainsAny(s, "\r\n") {
			return nil, refuse(WrongType, "is not base64 (standard alphabet, with padding)")
		}
		return types.Bytes(b), nil
	case Timestamp:
		at, err := time.Parse(time.RFC3339Nano, s)
		// Go takes an hour of one digit and a comma before the fraction as well.
		if err != nil || s[len("2006-01-02T15")] != ':' || strings.Contains(s, ",") {
			return nil, refuse(WrongType, "is no timestamp: write RFC 3339, such as \"2026-01-31T12:00:00Z\"")
		}
		v, err := conformTime(nil, at.In(notUTC))
		if err != nil {
			return nil, refuse(WrongType, "%v", err)
		}
		return v, nil
	default:
		v, ok := parseDuration(s)
		if !ok {
			return nil, refuse(WrongType, "is no duration: write seconds, such as \"90s\" or \"0.5s\"")
		}
		return types.Duration{Duration: v}, nil
	}
}

// notUTC makes conformTime build its own value.
var notUTC = time.FixedZone("", 0)

// parseDuration reads what appendDuration writes.
func parseDuration(s string) (time.Duration, bool) {
	body, ok := strings.CutSuffix(s, "s")
	if !ok {
		return 0, false
	}
	body, negative := strings.CutPrefix(body, "-")
	whole, part, point := strings.Cut(body, ".")
	if whole == "" || len(part) > 9 || (point && part == "") || strings.Trim(whole+part, "0123456789") != "" {
		return 0, false
	}
	seconds, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || seconds > int64(math.MaxInt64/time.Second) {
		return 0, false
	}
	var nanos int64
	if part != "" {
		nanos, _ = strconv.ParseInt(part+strings.Repeat("0", 9-len(part)), 10, 64)
	}
	v := time.Duration(seconds)*time.Second + time.Duration(nanos)
	if v < 0 {
		return 0, false
	}
	if negative {
		v = -v
	}
	return v, true
}
