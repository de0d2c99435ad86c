package language

import (
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds what a body that is no valid value may nest; a valid one
// nests as deep as its types.
const maxDepth = 1000

// scanner reads JSON tokens, stricter than the standard's grammar: text must
// be valid Unicode without lone surrogates and without U+0000.
type scanner struct {
	data    []byte
	pos     int
	scratch []byte
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// peek gives the byte at the position, 0 at the end.
func (s *scanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// kind names the value that stands next, "" when none can begin so.
func (s *scanner) kind() string {
	switch c := s.peek(); {
	case c == '{':
		return "an object"
	case c == '[':
		return "a list"
	case c == '"':
		return "a string"
	case c == 't' || c == 'f':
		return "a bool"
	case c == 'n':
		return "null"
	case c == '-' || isDigit(c):
		return "a number"
	}
	return ""
}

// unexpected refuses what stands at the position.
func (s *scanner) unexpected(want string) *Refusal {
	if s.pos >= len(s.data) {
		return refuse(MalformedBody, "the JSON ends at byte %d, where it needs %s", s.pos, want)
	}
	return refuse(MalformedBody, "the JSON has %q at byte %d, where it needs %s", rune(s.data[s.pos]), s.pos, want)
}

// next steps to the next element of an object or list and tells whether there
// is one; it consumes the comma before it, or the closing byte.
func (s *scanner) next(closing byte, first bool) (bool, *Refusal) {
	s.space()
	c := s.peek()
	if c == closing {
		s.pos++
		return false, nil
	}
	if first {
		return true, nil
	}
	if c != ',' {
		return false, s.unexpected("a comma or " + string(rune(closing)))
	}
	s.pos++
	s.space()
	return true, nil
}

// key reads an object's key and the colon after it. The bytes are valid until
// the next read.
func (s *scanner) key() ([]byte, *Refusal) {
	if s.peek() != '"' {
		return nil, s.unexpected("a key in quotes")
	}
	key, refusal := s.raw()
	if refusal != nil {
		return nil, refusal
	}
	s.space()
	if s.peek() != ':' {
		return nil, s.unexpected("a colon")
	}
	s.pos++
	s.space()
	return key, nil
}

func (s *scanner) literal(word string) *Refusal {
	if len(s.data)-s.pos < len(word) || string(s.data[s.pos:s.pos+len(word)]) != word {
		return s.unexpected(word)
	}
	s.pos += len(word)
	return nil
}

// text reads a string.
func (s *scanner) text() (string, *Refusal) {
	b, refusal := s.raw()
	return string(b), refusal
}

// raw reads a string; the bytes are valid until the next read.
func (s *scanner) raw() ([]byte, *Refusal) {
	start := s.pos + 1
	for i := start; i < len(s.data); i++ {
		c := s.data[i]
		if c == '"' {
			s.pos = i + 1
			return s.data[start:i], nil
		}
		if c >= utf8.RuneSelf || !plain[c] {
			return s.unescape(start, i)
		}
	}
	s.pos = len(s.data)
	return nil, s.unexpected("a closing quote")
}

// unescape goes on from i with a string that is not plain ASCII.
func (s *scanner) unescape(start, i int) ([]byte, *Refusal) {
	out := append(s.scratch[:0], s.data[start:i]...)
	for i < len(s.data) {
		c := s.data[i]
		switch {
		case c == '"':
			s.pos, s.scratch = i+1, out
			return out, nil
		case c == '\\':
			s.pos = i
			var refusal *Refusal
			if out, refusal = s.escape(out); refusal != nil {
				return nil, refusal
			}
			i = s.pos
		case c < ' ':
			s.pos = i
			return nil, s.unexpected("an escape: control characters cannot stand in a string")
		case c < utf8.RuneSelf:
			out = append(out, c)
			i++
		default:
			r, n := utf8.DecodeRune(s.data[i:])
			if r == utf8.RuneError && n == 1 {
				return nil, refuse(MalformedBody, "the JSON is not valid UTF-8 at byte %d", i)
			}
			out = append(out, s.data[i:i+n]...)
			i += n
		}
	}
	s.pos = len(s.data)
	return nil, s.unexpected("a closing quote")
}

// escape reads the escape at the position and appends what it stands for.
func (s *scanner) escape(out []byte) ([]byte, *Refusal) {
	at := s.pos
	s.pos++
	c := s.peek()
	s.pos++
	switch c {
	case '"', '\\', '/':
		return append(out, c), nil
	case 'b':
		return append(out, '\b'), nil
	case 'f':
		return append(out, '\f'), nil
	case 'n':
		return append(out, '\n'), nil
	case 'r':
		return append(out, '\r'), nil
	case 't':
		return append(out, '\t'), nil
	case 'u':
		r, ok := s.hex4()
		if ok && utf16.IsSurrogate(r) {
			low, paired := rune(0), false
			if s.peek() == '\\' && s.pos+1 < len(s.data) && s.data[s.pos+1] == 'u' {
				s.pos += 2
				low, paired = s.hex4()
			}
			if r = utf16.DecodeRune(r, low); !paired || r == utf8.RuneError {
				return nil, refuse(MalformedBody, "the JSON has a lone surrogate at byte %d", at)
			}
		}
		if ok && r == 0 {
			return nil, refuse(MalformedBody, "the JSON has U+0000 in a string at byte %d", at)
		}
		if ok {
			return utf8.AppendRune(out, r), nil
		}
	}
	s.pos = at
	return nil, s.unexpected("a valid escape")
}

func (s *scanner) hex4() (rune, bool) {
	if s.pos+4 > len(s.data) {
		return 0, false
	}
	var r rune
	for _, c := range s.data[s.pos : s.pos+4] {
		switch {
		case isDigit(c):
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	s.pos += 4
	return r, true
}

// smallInt reads a number that is nothing but a few digits; not ok, and
// nothing read, when it may be more than that.
func (s *scanner) smallInt() (int64, bool) {
	i, negative := s.pos, false
	if s.data[i] == '-' {
		negative = true
		i++
	}
	const fits = 18 // digits that never overflow an int64
	var n int64
	start := i
	for i < len(s.data) && isDigit(s.data[i]) && i-start < fits {
		n = n*10 + int64(s.data[i]-'0')
		i++
	}
	if i == start || (s.data[start] == '0' && i-start > 1) {
		return 0, false
	}
	if i < len(s.data) {
		switch c := s.data[i]; {
		case isDigit(c), c == '.', c == 'e', c == 'E':
			return 0, false
		}
	}
	s.pos = i
	if negative {
		n = -n
	}
	return n, true
}

// number reads a number as it is written.
func (s *scanner) number() (string, *Refusal) {
	start := s.pos
	if s.peek() == '-' {
		s.pos++
	}
	switch {
	case s.peek() == '0':
		s.pos++
	case !s.digits():
		return "", s.unexpected("a digit")
	}
	if s.peek() == '.' {
		s.pos++
		if !s.digits() {
			return "", s.unexpected("a digit")
		}
	}
	if s.peek()|0x20 == 'e' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		if !s.digits() {
			return "", s.unexpected("a digit")
		}
	}
	return string(s.data[start:s.pos]), nil
}

func (s *scanner) digits() bool {
	start := s.pos
	for s.pos < len(s.data) && isDigit(s.data[s.pos]) {
		s.pos++
	}
	return s.pos > start
}

// document reads any JSON value to the end of the data.
func (s *scanner) document() *Refusal {
	s.space()
	if refusal := s.skip(0); refusal != nil {
		return refusal
	}
	s.space()
	if s.pos < len(s.data) {
		return s.unexpected("nothing more")
	}
	return nil
}

// skip reads any JSON value.
func (s *scanner) skip(depth int) *Refusal {
	if depth > maxDepth {
		return refuse(MalformedBody, "the JSON nests deeper than %d levels", maxDepth)
	}
	switch c := s.peek(); {
	case c == '{' || c == '[':
		return s.skipInside(c, depth)
	case c == '"':
		_, refusal := s.raw()
		return refusal
	case c == 't':
		return s.literal("true")
	case c == 'f':
		return s.literal("false")
	case c == 'n':
		return s.literal("null")
	case c == '-' || isDigit(c):
		_, refusal := s.number()
		return refusal
	}
	return s.unexpected("a value")
}

func (s *scanner) skipInside(open byte, depth int) *Refusal {
	closing := open + 2 // both pairs are two apart in ASCII
	s.pos++
	for first := true; ; first = false {
		more, refusal := s.next(closing, first)
		if refusal != nil || !more {
			return refusal
		}
		if open == '{' {
			if _, refusal := s.key(); refusal != nil {
				return refusal
			}
		}
		if refusal := s.skip(depth + 1); refusal != nil {
			return refusal
		}
	}
}
