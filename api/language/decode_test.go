package language

import (
	"strings"
	"testing"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

const bodies = `
types:
- name: Limit
  fields:
  - {name: single, type: int, check: "self >= 0"}
  - {name: note, type: string, optional: true, check: "self != 'bad'"}
events: [{name: Done}]
commands:
- name: Take
  emit: [{event: Done}]
  fields:
  - {name: i, type: int, optional: true}
  - {name: d, type: double, optional: true}
  - {name: s, type: string, optional: true}
  - {name: f, type: bool, optional: true}
  - {name: b, type: bytes, optional: true}
  - {name: at, type: timestamp, optional: true}
  - {name: wait, type: duration, optional: true}
  - {name: limit, type: Limit, optional: true}
  - {name: l, type: list<int>, optional: true}
  - {name: m, type: map<int>, optional: true}
  - {name: limits, type: "map<list<Limit>>", optional: true, check: "size(self) < 3"}
- name: Need
  emit: [{event: Done}]
  fields:
  - {name: first, type: int, check: "self < command.second"}
  - {name: second, type: int, default: "10"}
  - {name: third, type: string, default: "'c'", check: "self != command.fourth"}
  - {name: fourth, type: string, optional: true}
`

func bodyTaker(t testing.TB) *Aggregate {
	t.Helper()
	return compile(t, "bodies", parse[v1alpha1.AggregateSpec](t, bodies))
}

func TestBodiesThatAreTaken(t *testing.T) {
	a := bodyTaker(t)
	for _, b := range []struct{ name, command, body, want string }{
		{"an empty body has no fields", "Take", ``, `{}`},
		{"spaces do not matter", "Take", " {\n\t\"i\" : 1 , \"l\" : [ 1 , 2 ] }\r\n", `{"i":1,"l":[1,2]}`},
		{"keys come out in order", "Take", `{"s":"a","i":1,"b":"","at":"2026-01-01T00:00:00Z"}`, `{"at":"2026-01-01T00:00:00Z","b":"","i":1,"s":"a"}`},
		{"null is left out", "Take", `{"i":null,"limit":null,"m":{"a":null,"b":1}}`, `{"m":{"b":1}}`},
		{"a zero that was given is there", "Take", `{"i":0,"s":"","f":false,"l":[],"m":{}}`, `{"f":false,"i":0,"l":[],"m":{},"s":""}`},
		{"ints up to 2^53-1 are numbers", "Take", `{"l":[9007199254740991,-9007199254740991]}`, `{"l":[9007199254740991,-9007199254740991]}`},
		{"ints beyond are strings, both forms are taken", "Take", `{"l":[9007199254740992,"-9223372036854775808","5"]}`, `{"l":["9007199254740992","-9223372036854775808",5]}`},
		{"a whole number may be written with a point or an exponent", "Take", `{"l":[1.0,1e3,1200E-2,-0,0.0e5]}`, `{"l":[1,1000,12,0,0]}`},
		{"-0 is 0", "Take", `{"d":-0.0}`, `{"d":0}`},
		{"doubles keep their value", "Take", `{"d":1e-7}`, `{"d":1e-7}`},
		{"doubles may be whole", "Take", `{"d":3}`, `{"d":3}`},
		{"a number too small for a double is 0", "Take", `{"d":1e-999}`, `{"d":0}`},
		{"escapes", "Take", `{"s":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é😀\u007f"}`, `{"s":"\"\\/\u0008\u000c\n\r\té😀é😀` + "\x7f" + `"}`},
		{"a key may be escaped", "Take", `{"\u0069":1}`, `{"i":1}`},
		{"timestamps come out in UTC and microseconds", "Take", `{"at":"2026-01-01T01:30:00.1234567+02:00"}`, `{"at":"2025-12-31T23:30:00.123456Z"}`},
		{"durations are seconds", "Take", `{"wait":"-90.50s"}`, `{"wait":"-90.5s"}`},
		{"bytes are base64", "Take", `{"b":"AP+/"}`, `{"b":"AP+/"}`},
		{"keys of maps are sorted", "Take", `{"m":{"é":4,"b":2,"a":1,"B":3}}`, `{"m":{"B":3,"a":1,"b":2,"é":4}}`},
		{"records nest", "Take", `{"limits":{"x":[{"single":1},{"note":"n","single":2}]}}`, `{"limits":{"x":[{"single":1},{"note":"n","single":2}]}}`},
		{"defaults fill in", "Need", `{"first":1}`, `{"first":1,"second":10,"third":"c"}`},
		{"a default gives way", "Need", `{"first":1,"second":2,"third":"x"}`, `{"first":1,"second":2,"third":"x"}`},
		{"null takes the default", "Need", `{"first":1,"second":null}`, `{"first":1,"second":10,"third":"c"}`},
	} {
		c, err := a.Parse(b.command, []byte(b.body))
		if err != nil {
			t.Errorf("%s: %v", b.name, err)
		} else if got := c.Fields.String(); got != b.want {
			t.Errorf("%s: got %s, want %s", b.name, got, b.want)
		}
	}
}

func TestBodiesThatAreRefused(t *testing.T) {
	a := bodyTaker(t)
	for _, b := range []struct{ name, command, body, reason, field, says string }{
		{"an unknown command", "Tak", `{}`, UnknownName, "", "no command Tak"},
		{"no JSON", "Take", `x`, MalformedBody, "", "byte 0"},
		{"only spaces", "Take", ` `, MalformedBody, "", "ends at byte 1"},
		{"a list", "Take", `[]`, MalformedBody, "", "is a list, it must be a JSON object"},
		{"null", "Take", `null`, MalformedBody, "", "is null"},
		{"more after the object", "Take", `{} {}`, MalformedBody, "", "byte 3"},
		{"cut off", "Take", `{"i":1`, MalformedBody, "", "ends at byte 6"},
		{"cut off in a string", "Take", `{"s":"a`, MalformedBody, "s", "ends at byte 7"},
		{"a comma too many", "Take", `{"i":1,}`, MalformedBody, "", "a key in quotes"},
		{"a comma too few", "Take", `{"i":1 "s":"a"}`, MalformedBody, "", "a comma or }"},
		{"a colon missing", "Take", `{"i" 1}`, MalformedBody, "", "a colon"},
		{"a leading zero", "Take", `{"i":01}`, MalformedBody, "", "a comma or }"},
		{"a plus", "Take", `{"i":+1}`, MalformedBody, "i", "byte 5"},
		{"a bare minus", "Take", `{"i":-}`, MalformedBody, "i", "a digit"},
		{"a point without digits", "Take", `{"d":1.}`, MalformedBody, "d", "a digit"},
		{"an exponent without digits", "Take", `{"d":1e}`, MalformedBody, "d", "a digit"},
		{"NaN", "Take", `{"d":NaN}`, MalformedBody, "d", "byte 5"},
		{"Infinity", "Take", `{"d":-Infinity}`, MalformedBody, "d", "a digit"},
		{"malformed wins over an unknown field", "Take", `{"x":1,`, MalformedBody, "", "ends at byte 7"},
		{"duplicate keys", "Take", `{"i":1,"i":1}`, MalformedBody, "i", "twice"},
		{"duplicate keys, one of them null", "Take", `{"i":null,"i":1}`, MalformedBody, "i", "twice"},
		{"duplicate keys, one of them escaped", "Take", `{"i":1,"\u0069":1}`, MalformedBody, "i", "twice"},
		{"duplicate keys in a map", "Take", `{"m":{"a b":1,"a b":2}}`, MalformedBody, `m["a b"]`, "twice"},
		{"duplicate keys in a map, far apart", "Take", `{"m":{"a":1,"b":2,"a":null}}`, MalformedBody, `m["a"]`, "twice"},
		{"U+0000", "Take", `{"s":"\u0000"}`, MalformedBody, "s", "U+0000"},
		{"U+0000 in a key", "Take", `{"m":{"\u0000":1}}`, MalformedBody, "m", "U+0000"},
		{"a control character", "Take", "{\"s\":\"\n\"}", MalformedBody, "s", "control characters"},
		{"a lone high surrogate", "Take", `{"s":"\ud800"}`, MalformedBody, "s", "lone surrogate"},
		{"a lone low surrogate", "Take", `{"s":"\udc00x"}`, MalformedBody, "s", "lone surrogate"},
		{"two high surrogates", "Take", `{"s":"\ud800\ud800"}`, MalformedBody, "s", "lone surrogate"},
		{"an unknown escape", "Take", `{"s":"\x"}`, MalformedBody, "s", "a valid escape"},
		{"no UTF-8", "Take", "{\"s\":\"\xff\"}", MalformedBody, "s", "UTF-8"},
		{"an encoded surrogate", "Take", "{\"s\":\"\xed\xa0\x80\"}", MalformedBody, "s", "UTF-8"},
		{"an unknown field", "Take", `{"limits":{},"limitt":{}}`, UnknownField, "limitt", "did you mean limit?"},
		{"an unknown field in a record", "Take", `{"limits":{"a":[{"single":1,"x":1}]}}`, UnknownField, `limits["a"][0].x`, "no such field"},
		{"a missing field", "Need", `{}`, MissingField, "first", "int"},
		{"null for a field that is required", "Need", `{"first":null}`, MissingField, "first", "int"},
		{"a missing field in a record", "Take", `{"limit":{"note":"a"}}`, MissingField, "limit.single", "int"},
		{"a fraction for an int", "Take", `{"i":1.5}`, WrongType, "i", "fraction"},
		{"a small fraction for an int", "Take", `{"i":1e-1}`, WrongType, "i", "fraction"},
		{"a huge exponent", "Take", `{"i":1e99999999999}`, WrongType, "i", "out of the range"},
		{"a tiny exponent", "Take", `{"i":1e-99999999999}`, WrongType, "i", "fraction"},
		{"an int too large", "Take", `{"i":9223372036854775808}`, WrongType, "i", "out of the range"},
		{"an int too small", "Take", `{"l":[1,"-9223372036854775809"]}`, WrongType, "l[1]", "out of the range"},
		{"a string that is no int", "Take", `{"i":"1.0"}`, WrongType, "i", "digits"},
		{"a string with a leading zero", "Take", `{"i":"007"}`, WrongType, "i", "digits"},
		{"a double too large", "Take", `{"d":1e999}`, WrongType, "d", "out of the range"},
		{"a string for a double", "Take", `{"d":"1"}`, WrongType, "d", "is a string, needs double"},
		{"a number for a string", "Take", `{"s":1}`, WrongType, "s", "is a number, needs string"},
		{"a number for a bool", "Take", `{"f":1}`, WrongType, "f", "is a number, needs bool"},
		{"null in a list", "Take", `{"l":[null]}`, WrongType, "l[0]", "is null, needs int"},
		{"an object for a list", "Take", `{"l":{}}`, WrongType, "l", "is an object, needs list<int>"},
		{"a list for a map", "Take", `{"m":[]}`, WrongType, "m", "is a list, needs map<int>"},
		{"a bool in a map", "Take", `{"m":{"q\"":true}}`, WrongType, `m["q\""]`, "is a bool, needs int"},
		{"a string for a record", "Take", `{"limit":"x"}`, WrongType, "limit", "is a string, needs Limit"},
		{"bytes that are no base64", "Take", `{"b":"***"}`, WrongType, "b", "base64"},
		{"bytes without padding", "Take", `{"b":"AAE"}`, WrongType, "b", "base64"},
		{"a timestamp without a zone", "Take", `{"at":"2026-01-01T00:00:00"}`, WrongType, "at", "RFC 3339"},
		{"a timestamp with an hour of one digit", "Take", `{"at":"2026-01-01T1:00:00Z"}`, WrongType, "at", "RFC 3339"},
		{"a timestamp with a comma", "Take", `{"at":"2026-01-01T01:00:00,5Z"}`, WrongType, "at", "RFC 3339"},
		{"a timestamp of the 13th month", "Take", `{"at":"2026-13-01T00:00:00Z"}`, WrongType, "at", "RFC 3339"},
		{"a timestamp before year 1", "Take", `{"at":"0001-01-01T00:00:00+01:00"}`, WrongType, "at", "years 1 to 9999"},
		{"a duration in minutes", "Take", `{"wait":"2m"}`, WrongType, "wait", "seconds"},
		{"a duration without a number", "Take", `{"wait":"s"}`, WrongType, "wait", "seconds"},
		{"a duration with ten decimals", "Take", `{"wait":"0.1234567890s"}`, WrongType, "wait", "seconds"},
		{"a duration too long", "Take", `{"wait":"9223372037s"}`, WrongType, "wait", "seconds"},
		{"a check", "Need", `{"first":10}`, CheckFailed, "first", "self < command.second"},
		{"a check of a default", "Need", `{"first":1,"fourth":"c"}`, CheckFailed, "third", "self != command.fourth"},
		{"a check inside a list", "Take", `{"limits":{"a":[{"single":1},{"single":-1}]}}`, CheckFailed, `limits["a"][1].single`, "self >= 0"},
		{"a check of an optional field", "Take", `{"limit":{"single":1,"note":"bad"}}`, CheckFailed, "limit.note", "self != 'bad'"},
		{"a check of a map", "Take", `{"limits":{"a":[],"b":[],"c":[]}}`, CheckFailed, "limits", "size(self) < 3"},
	} {
		_, err := a.Parse(b.command, []byte(b.body))
		r := refusalOf(err)
		if r.Reason != b.reason || r.Field != b.field || !strings.Contains(r.Detail, b.says) {
			t.Errorf("%s: got %v, want %s at %q with %q", b.name, err, b.reason, b.field, b.says)
		}
	}
}

func TestStoredDataReadsWhatWasDeclaredLaterAsZero(t *testing.T) {
	a := compile(t, "wide", parse[v1alpha1.AggregateSpec](t, wide))
	s, err := a.DecodeState([]byte(`{"limit":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"at":"1970-01-01T00:00:00Z","b":"","d":0,"f":false,"l":[],"limit":{"single":0},"limits":{},"m":{},"nested":[],"num":0,"s":"","wait":"0s"}`
	if got := s.String(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := a.Zero().String(); got != want {
		t.Errorf("zero is %s, want %s", got, want)
	}
	if _, err := a.DecodeState([]byte(`{"gone":1}`)); err == nil {
		t.Error("a field that is not declared was read")
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `{"i":1}`, `{"i":"1"}`, `{"d":1.5e3}`, `{"s":"\ud83d\ude00"}`, `{"limits":{"a":[{"single":1}]}}`,
		`{"m":{"a":1,"b":null}}`, `{"at":"2026-01-01T00:00:00Z"}`, `{"wait":"1.5s"}`, `{"b":"AAE="}`, `[[[[`, `{"s":"\u0000"}`,
	} {
		f.Add([]byte(seed))
	}
	a := bodyTaker(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := a.Parse("Take", body)
		if err != nil {
			return
		}
		once := c.Fields.String()
		again, err := a.Parse("Take", []byte(once))
		if err != nil {
			t.Fatalf("%q became %s, which is refused: %v", body, once, err)
		}
		if twice := again.Fields.String(); twice != once {
			t.Fatalf("%q became %s and then %s", body, once, twice)
		}
		if size := EncodedSize(c.Fields); size != len(once) {
			t.Fatalf("%s: measured %d bytes, has %d", once, size, len(once))
		}
	})
}
