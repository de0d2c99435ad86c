package eventstore

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"unicode/utf8"
)

// MaxJSONDepth is how deep arrays and objects may nest in canonical JSON. It is
// far beyond what definitions declare, and far below what makes any database or
// this package's recursion expensive.
const MaxJSONDepth = 128

// ErrJSON is wrapped by every refusal of AppendCanonical.
var ErrJSON = errors.New("not storable as JSON")

// AppendCanonical appends the canonical form of one JSON value to dst: the one
// text that all spellings of the value share, and that it therefore still has
// after a store has reordered its keys and rewritten its numbers (PostgreSQL's
// jsonb does both, writes exponents out, keeps trailing zeros and loses -0).
//
// The form is RFC 8785's: no white space, keys ordered by UTF-16 code units,
// strings with the fewest escapes, numbers as ECMAScript prints them. Numbers
// differ in one point: they are exact decimals of any length instead of
// doubles, so 2^53 and 2^53+1 stay two values, while 1, 1.0, 1e0 and 10e-1 are
// one; -0 is 0. The result is JSON and fit for output.
//
// Refused, with an error that wraps ErrJSON: whatever is not JSON (RFC 8259),
// trailing data, invalid UTF-8, lone surrogates, U+0000, duplicate keys, nesting
// beyond MaxJSONDepth, numbers with more than 1,000 significant digits or a
// magnitude outside 1e-1000..1e1000. On error dst is returned as it was.
func AppendCanonical(dst, json []byte) ([]byte, error) {
	c, _ := canonicalizers.Get().(*canonicalizer)
	defer canonicalizers.Put(c)
	return c.append(dst, json)
}

var canonicalizers = sync.Pool{New: func() any { return new(canonicalizer) }}

// canonicalizer reads src once, writing as it goes. An object's members are
// written in the order they come; only when that is not the canonical order are
// they sorted, in place, through spare.
type canonicalizer struct {
	src     []byte
	at      int
	dst     []byte
	depth   int
	members []member // of all objects that are open
	spare   []byte
	keyA    []byte
	keyB    []byte
}

// member is where a member of an object stands in dst: its quoted key at
// start..colon, then the colon and the value up to end.
type member struct{ start, colon, end int }

func (c *canonicalizer) append(dst, src []byte) ([]byte, error) {
	c.src, c.at, c.dst, c.depth, c.members = src, 0, dst, 0, c.members[:0]
	err := c.value()
	if err == nil {
		c.space()
		if c.at < len(c.src) {
			err = c.wrong("data after the value")
		}
	}
	out := c.dst
	c.src, c.dst = nil, nil
	if err != nil {
		return dst, err
	}
	return out, nil
}

func (c *canonicalizer) wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %s at byte %d", ErrJSON, fmt.Sprintf(format, args...), c.at)
}

func (c *canonicalizer) space() {
	for c.at < len(c.src) {
		switch c.src[c.at] {
		case ' ', '\t', '\n', '\r':
			c.at++
		default:
			return
		}
	}
}

// next skips white space and gives the byte there, 0 at the end (a byte 0 in
// the source is no JSON either).
func (c *canonicalizer) next() byte {
	c.space()
	if c.at == len(c.src) {
		return 0
	}
	return c.src[c.at]
}

func (c *canonicalizer) value() error {
	switch b := c.next(); {
	case b == '{':
		return c.nested(c.object)
	case b == '[':
		return c.nested(c.array)
	case b == '"':
		return c.string()
	case b == '-' || '0' <= b && b <= '9':
		return c.number()
	case b == 't':
		return c.literal("true")
	case b == 'f':
		return c.literal("false")
	case b == 'n':
		return c.literal("null")
	case c.at == len(c.src):
		return c.wrong("unexpected end")
	default:
		return c.wrong("unexpected %q", b)
	}
}

func (c *canonicalizer) literal(word string) error {
	if !bytes.HasPrefix(c.src[c.at:], []byte(word)) {
		return c.wrong("unknown word")
	}
	c.at += len(word)
	c.dst = append(c.dst, word...)
	return nil
}

func (c *canonicalizer) nested(read func() error) error {
	if c.depth == MaxJSONDepth {
		return c.wrong("nested deeper than %d", MaxJSONDepth)
	}
	c.depth++
	err := read()
	c.depth--
	return err
}

func (c *canonicalizer) array() error {
	c.at++
	c.dst = append(c.dst, '[')
	if c.next() == ']' {
		c.at++
		c.dst = append(c.dst, ']')
		return nil
	}
	for {
		if err := c.value(); err != nil {
			return err
		}
		switch c.next() {
		case ',':
			c.at++
			c.dst = append(c.dst, ',')
		case ']':
			c.at++
			c.dst = append(c.dst, ']')
			return nil
		default:
			return c.wrong("expected , or ]")
		}
	}
}

func (c *canonicalizer) object() error {
	c.at++
	c.dst = append(c.dst, '{')
	first, body, sorted := len(c.members), len(c.dst), true
	if c.next() == '}' {
		c.at++
		c.dst = append(c.dst, '}')
		return nil
	}
	for {
		m, err := c.member()
		if err != nil {
			return err
		}
		if sorted && len(c.members) > first {
			order := c.compare(c.members[len(c.members)-1], m)
			if order == 0 {
				return c.duplicate(m)
			}
			sorted = order < 0
		}
		c.members = append(c.members, m)
		switch c.next() {
		case ',':
			c.at++
			c.dst = append(c.dst, ',')
			continue
		case '}':
			c.at++
		default:
			return c.wrong("expected , or }")
		}
		break
	}
	if !sorted {
		if err := c.sort(body, c.members[first:]); err != nil {
			return err
		}
	}
	c.members = c.members[:first]
	c.dst = append(c.dst, '}')
	return nil
}

func (c *canonicalizer) member() (member, error) {
	if c.next() != '"' {
		return member{}, c.wrong("expected a key")
	}
	m := member{start: len(c.dst)}
	if err := c.string(); err != nil {
		return m, err
	}
	m.colon = len(c.dst)
	if c.next() != ':' {
		return m, c.wrong("expected :")
	}
	c.at++
	c.dst = append(c.dst, ':')
	if err := c.value(); err != nil {
		return m, err
	}
	m.end = len(c.dst)
	return m, nil
}

func (c *canonicalizer) duplicate(m member) error {
	return c.wrong("duplicate key %s", c.dst[m.start:m.colon])
}

// sort puts the members, which fill dst from body on, into canonical order.
func (c *canonicalizer) sort(body int, members []member) error {
	slices.SortFunc(members, c.compare)
	c.spare = append(c.spare[:0], c.dst[body:]...)
	at := body
	for i, m := range members {
		if i > 0 {
			if c.compareIn(c.spare, body, members[i-1], m) == 0 {
				return c.wrong("duplicate key %s", c.spare[m.start-body:m.colon-body])
			}
			c.dst[at] = ','
			at++
		}
		at += copy(c.dst[at:], c.spare[m.start-body:m.end-body])
	}
	return nil
}

func (c *canonicalizer) compare(a, b member) int { return c.compareIn(c.dst, 0, a, b) }

// compareIn orders two keys that stand, quoted and canonical, in text, whose
// first byte has the position base.
func (c *canonicalizer) compareIn(text []byte, base int, a, b member) int {
	x := text[a.start+1-base : a.colon-1-base]
	y := text[b.start+1-base : b.colon-1-base]
	if bytes.IndexByte(x, '\\') >= 0 {
		c.keyA = appendUnescaped(c.keyA[:0], x)
		x = c.keyA
	}
	if bytes.IndexByte(y, '\\') >= 0 {
		c.keyB = appendUnescaped(c.keyB[:0], y)
		y = c.keyB
	}
	return compareUTF16(x, y)
}

// compareUTF16 orders UTF-8 texts by their UTF-16 code units. That is the order
// of the bytes, but for one case: characters beyond U+FFFF (first byte F0 and
// up) are surrogates in UTF-16 and come before U+E000..U+FFFF (first byte EE
// or EF).
func compareUTF16(x, y []byte) int {
	n := min(len(x), len(y))
	for i := range n {
		a, b := x[i], y[i]
		if a == b {
			continue
		}
		if a >= 0xee && b >= 0xee && (a >= 0xf0) != (b >= 0xf0) {
			a, b = b, a
		}
		if a < b {
			return -1
		}
		return 1
	}
	return len(x) - len(y)
}

// shortEscapes are the letters of the two-character escapes, by what they mean.
var shortEscapes = [256]byte{'\b': 'b', '\t': 't', '\n': 'n', '\f': 'f', '\r': 'r', '"': '"', '\\': '\\'}

// escapeMeanings is shortEscapes the other way round, with \/.
var escapeMeanings = [256]byte{'b': '\b', 't': '\t', 'n': '\n', 'f': '\f', 'r': '\r', '"': '"', '\\': '\\', '/': '/'}

// string copies a string, from its quote on, with canonical escapes.
func (c *canonicalizer) string() error {
	c.at++
	c.dst = append(c.dst, '"')
	for {
		plain := c.at
		for c.at < len(c.src) {
			b := c.src[c.at]
			if b < ' ' || b == '"' || b == '\\' || b >= utf8.RuneSelf {
				break
			}
			c.at++
		}
		c.dst = append(c.dst, c.src[plain:c.at]...)
		if c.at == len(c.src) {
			return c.wrong("unexpected end in a string")
		}
		switch b := c.src[c.at]; {
		case b == '"':
			c.at++
			c.dst = append(c.dst, '"')
			return nil
		case b == '\\':
			if err := c.escape(); err != nil {
				return err
			}
		case b < ' ':
			return c.wrong("control character in a string")
		default:
			r, size := utf8.DecodeRune(c.src[c.at:])
			if r == utf8.RuneError && size == 1 {
				return c.wrong("invalid UTF-8")
			}
			c.dst = append(c.dst, c.src[c.at:c.at+size]...)
			c.at += size
		}
	}
}

func (c *canonicalizer) escape() error {
	if c.at+1 == len(c.src) {
		return c.wrong("unexpected end in a string")
	}
	letter := c.src[c.at+1]
	if letter != 'u' {
		meaning := escapeMeanings[letter]
		if meaning == 0 {
			return c.wrong("unknown escape")
		}
		c.at += 2
		c.dst = appendEscaped(c.dst, rune(meaning))
		return nil
	}
	r := hexRune(c.src[c.at:])
	switch {
	case r < 0:
		return c.wrong("malformed \\u escape")
	case r == 0:
		return c.wrong("U+0000")
	case 0xdc00 <= r && r < 0xe000:
		return c.wrong("lone surrogate")
	case 0xd800 <= r && r < 0xdc00:
		low := hexRune(c.src[c.at+6:])
		if low < 0xdc00 || low >= 0xe000 {
			return c.wrong("lone surrogate")
		}
		c.at += 6
		r = (r-0xd800)<<10 + (low - 0xdc00) + 0x10000
	}
	c.at += 6
	c.dst = appendEscaped(c.dst, r)
	return nil
}

// hexRune reads \uXXXX at the start of s; -1 when it is not there.
func hexRune(s []byte) rune {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return -1
	}
	var r rune
	for _, b := range s[2:6] {
		switch {
		case '0' <= b && b <= '9':
			r = r<<4 | rune(b-'0')
		case 'a' <= b && b <= 'f':
			r = r<<4 | rune(b-'a'+10)
		case 'A' <= b && b <= 'F':
			r = r<<4 | rune(b-'A'+10)
		default:
			return -1
		}
	}
	return r
}

func appendEscaped(dst []byte, r rune) []byte {
	if r >= utf8.RuneSelf {
		return utf8.AppendRune(dst, r)
	}
	if letter := shortEscapes[r]; letter != 0 {
		return append(dst, '\\', letter)
	}
	if r < ' ' {
		const digits = "0123456789abcdef"
		return append(dst, '\\', 'u', '0', '0', digits[r>>4], digits[r&15])
	}
	return append(dst, byte(r))
}

// appendUnescaped undoes the escapes of a canonical string without its quotes.
func appendUnescaped(dst, s []byte) []byte {
	for i := 0; i < len(s); {
		switch {
		case s[i] != '\\':
			dst = append(dst, s[i])
			i++
		case s[i+1] == 'u': // canonical: always below U+0020
			dst = append(dst, byte(hexRune(s[i:])))
			i += 6
		default:
			dst = append(dst, escapeMeanings[s[i+1]])
			i += 2
		}
	}
	return dst
}
