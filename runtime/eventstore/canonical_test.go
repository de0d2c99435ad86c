package eventstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestAppendCanonicalWritesOneTextForAllSpellings(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"white space goes", " { \"a\" :\t[ 1 ,\r\n2 ] } ", `{"a":[1,2]}`},
		{"empty object and array", ` [ { } , [ ] ]`, `[{},[]]`},
		{"literals stay", `[true,false,null]`, `[true,false,null]`},
		{"keys are sorted", `{"b":1,"a":{"d":1,"c":2},"":0}`, `{"":0,"a":{"c":2,"d":1},"b":1}`},
		{"a key that begins another comes first", `{"aa":1,"a":2}`, `{"a":2,"aa":1}`},
		{"keys are sorted by what they mean, not by how they are escaped", `{"\\":1,"Z":2,"\"":3,"\n":4}`, `{"\n":4,"\"":3,"Z":2,"\\":1}`},
		{"surrogates come before U+E000 to U+FFFF", "{\"\uffee\":1,\"\U0001f600\":2,\"\ue000\":3,\"\u00e9\":4}", "{\"\u00e9\":4,\"\U0001f600\":2,\"\ue000\":3,\"\uffee\":1}"},
		{"the example of RFC 8785 for keys", "{\"\\u20ac\":1,\"\\r\":2,\"\\ufb33\":3,\"1\":4,\"\\ud83d\\ude00\":5,\"\\u0080\":6,\"\\u00f6\":7}",
			"{\"\\r\":2,\"1\":4,\"\u0080\":6,\"ö\":7,\"€\":1,\"😀\":5,\"\ufb33\":3}"},
		{"escapes are the shortest", `"\u0041\/\u0008\u0009\u000a\u000c\u000d\u0022\u005c\u001F\u007f"`, `"A/\b\t\n\f\r\"\\\u001f` + "\x7f" + `"`},
		{"a surrogate pair is one character", `"\uD83D\uDE00"`, `"😀"`},
		{"U+2028 stays as it is", `"\u2028"`, "\"\u2028\""},
	} {
		t.Run(c.name, func(t *testing.T) { wantCanonical(t, c.in, c.want) })
	}
}

func TestAppendCanonicalNormalisesNumbersExactly(t *testing.T) {
	for _, c := range []struct {
		want string
		in   []string
	}{
		{"0", []string{"0", "-0", "0.0", "-0.000", "0e5", "0e-10000", "-0E+9"}},
		{"1", []string{"1", "1.0", "1e0", "10e-1", "0.1e1", "0.001E+3", "1.000"}},
		{"-15", []string{"-15", "-1.5e1", "-150e-1", "-15.0"}},
		{"100", []string{"100", "1e2", "1.00e+2", "100.00"}},
		{"10.05", []string{"10.05", "1005e-2", "10.0500"}},
		{"9007199254740992", []string{"9007199254740992"}},
		{"9007199254740993", []string{"9007199254740993", "9007199254740.993e3"}},
		{"100000000000000000000", []string{"1e20", "100000000000000000000"}},
		{"1e+21", []string{"1e21", "1000000000000000000000"}},
		{"123456789012345678901.5", []string{"123456789012345678901.5"}},
		{"1.2345678901234567890123e+22", []string{"12345678901234567890123"}},
		{"0.000001", []string{"1e-6", "0.0000010"}},
		{"1e-7", []string{"1e-7", "0.0000001"}},
		{"1.05e-9", []string{"1.05e-9", "105e-11"}},
		{"1e+999", []string{"1e999", "1" + strings.Repeat("0", 999)}},
		{"1e-1001", []string{"1e-1001", "0." + strings.Repeat("0", 1000) + "1"}},
		{"0.1", []string{"0." + strings.Repeat("0", 5000) + "1e5000"}},
	} {
		for _, in := range c.in {
			wantCanonical(t, in, c.want)
		}
	}
}

// RFC 8785 prints doubles as ECMAScript does; for a number that is the shortest
// spelling of a double the forms are the same.
func TestAppendCanonicalPrintsDoublesAsECMAScript(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.Float64().Filter(func(f float64) bool { return !math.IsInf(f, 0) && !math.IsNaN(f) }).Draw(t, "f")
		b, err := json.Marshal(f) // encoding/json follows ES6, but keeps -0
		if err != nil {
			t.Fatal(err)
		}
		if f == 0 {
			b = []byte("0")
		}
		got, err := AppendCanonical(nil, []byte(strconv.FormatFloat(f, 'e', -1, 64)))
		if err != nil || string(got) != string(b) {
			t.Fatalf("%v: got %s, %v; want %s", f, got, err, b)
		}
	})
}

func wantCanonical(t *testing.T, in, want string) {
	t.Helper()
	got, err := AppendCanonical([]byte("before:"), []byte(in))
	if err != nil {
		t.Fatalf("%.80s: %v", in, err)
	}
	if string(got) != "before:"+want {
		t.Errorf("%.80s: got %s, want %s", in, got[len("before:"):], want)
	}
	again, err := AppendCanonical(nil, []byte(want))
	if err != nil || string(again) != want {
		t.Errorf("%s is not canonical itself: %s, %v", want, again, err)
	}
}

func TestAppendCanonicalRefuses(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	if _, err := AppendCanonical(nil, []byte(deep(MaxJSONDepth))); err != nil {
		t.Errorf("nesting of %d: %v", MaxJSONDepth, err)
	}
	for name, in := range map[string]string{
		"nothing":                       "",
		"white space only":              " \n",
		"trailing data":                 `{} 1`,
		"a trailing comma":              `[1,]`,
		"a trailing comma in an object": `{"a":1,}`,
		"a missing comma":               `[1 2]`,
		"a missing colon":               `{"a" 1}`,
		"a key that is no string":       `{1:2}`,
		"an unclosed object":            `{"a":1`,
		"an unclosed array":             `[1`,
		"an unclosed string":            `"a`,
		"an unclosed escape":            `"\`,
		"an unknown escape":             `"\x41"`,
		"a short \\u escape":            `"\u12"`,
		"a control character":           "\"\n\"",
		"invalid UTF-8":                 "\"\xff\"",
		"an encoded surrogate":          "\"\xed\xa0\x80\"",
		"an overlong character":         "\"\xc0\x80\"",
		"a lone high surrogate":         `"\ud83d"`,
		"a lone low surrogate":          `"\ude00"`,
		"two high surrogates":           `"\ud83d\ud83d"`,
		"U+0000":                        `"\u0000"`,
		"a raw U+0000":                  "\"\x00\"",
		"duplicate keys":                `{"a":1,"a":1}`,
		"duplicate keys apart":          `{"b":1,"a":1,"b":2}`,
		"keys alike once unescaped":     `{"\u0061":1,"b":0,"a":1}`,
		"NaN":                           `NaN`,
		"infinity":                      `-Infinity`,
		"a leading zero":                `01`,
		"a leading plus":                `+1`,
		"a point without digits":        `1.`,
		"a point without whole":         `.5`,
		"a minus alone":                 `-`,
		"an exponent without digits":    `1e+`,
		"hexadecimal":                   `0x10`,
		"a misspelled word":             `nul`,
		"a word too long":               `nulls`,
		"nesting beyond the bound":      deep(MaxJSONDepth + 1),
		"a huge exponent":               `1e999999999`,
		"a huge exponent of zero":       `0e999999999999999999999`,
		"a magnitude above the bound":   `1e1000`,
		"a magnitude below the bound":   `1e-1002`,
		"too many digits":               strings.Repeat("7", 1001),
		"a byte order mark":             "\ufeff1",
	} {
		dst := []byte("kept")
		got, err := AppendCanonical(dst, []byte(in))
		if !errors.Is(err, ErrJSON) {
			t.Errorf("%s: error %v, want ErrJSON", name, err)
		}
		if string(got) != "kept" {
			t.Errorf("%s: dst became %q", name, got)
		}
	}
}

// spelled draws a JSON value and two texts that differ in everything that has no
// meaning: key order, white space, escapes, the spelling of numbers.
func spelled(t *rapid.T, depth int) (a, b string) {
	space := rapid.SampledFrom([]string{"", " ", "\n\t"})
	pad := func(s string) string { return space.Draw(t, "space") + s + space.Draw(t, "space") }
	kind := rapid.IntRange(0, 5).Draw(t, "kind")
	if depth == 0 {
		kind %= 4
	}
	switch kind {
	case 0:
		w := rapid.SampledFrom([]string{"true", "false", "null"}).Draw(t, "word")
		return pad(w), pad(w)
	case 1, 2:
		digits := rapid.StringMatching(`-?[1-9][0-9]{0,30}`).Draw(t, "digits")
		exponent := rapid.IntRange(-40, 40).Draw(t, "exponent")
		shift := rapid.IntRange(0, 5).Draw(t, "shift")
		return pad(digits + "e" + strconv.Itoa(exponent)),
			pad(digits + strings.Repeat("0", shift) + ".00E" + strconv.Itoa(exponent-shift))
	case 3:
		s := rapid.StringOfN(rapid.Rune().Filter(func(r rune) bool { return r != 0 }), 0, 8, -1).Draw(t, "string")
		return pad(quoted(s, false)), pad(quoted(s, true))
	case 4:
		var as, bs []string
		for range rapid.IntRange(0, 4).Draw(t, "elements") {
			x, y := spelled(t, depth-1)
			as, bs = append(as, x), append(bs, y)
		}
		return pad("[" + strings.Join(as, ",") + "]"), pad("[" + strings.Join(bs, ",") + "]")
	}
	keys := rapid.SliceOfNDistinct(rapid.StringOfN(rapid.SampledFrom([]rune("ab\"\\\n€\ue000\uffee😀")), 0, 3, -1), 0, 6, rapid.ID[string]).Draw(t, "keys")
	var as, bs []string
	for _, k := range keys {
		x, y := spelled(t, depth-1)
		as = append(as, pad(quoted(k, false))+":"+x)
		bs = append(bs, pad(quoted(k, true))+":"+y)
	}
	bs = rapid.Permutation(bs).Draw(t, "order")
	return pad("{" + strings.Join(as, ",") + "}"), pad("{" + strings.Join(bs, ",") + "}")
}

func quoted(s string, escaped bool) string {
	if !escaped {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		_ = e.Encode(s)
		return strings.TrimSuffix(b.String(), "\n")
	}
	return `"` + escapeAll(s) + `"`
}

func escapeAll(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r > 0xffff {
			r -= 0x10000
			for _, half := range []rune{0xd800 + r>>10, 0xdc00 + r&0x3ff} {
				b.WriteString(`\u` + strconv.FormatInt(int64(half)+0x10000, 16)[1:])
			}
			continue
		}
		b.WriteString(`\u` + strconv.FormatInt(int64(r)+0x10000, 16)[1:])
	}
	return b.String()
}

func TestAppendCanonicalIsTheSameForEverySpellingAndIdempotent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := spelled(t, 3)
		x, errX := AppendCanonical(nil, []byte(a))
		y, errY := AppendCanonical(nil, []byte(b))
		if errX != nil || errY != nil {
			t.Fatalf("%s: %v\n%s: %v", a, errX, b, errY)
		}
		if !bytes.Equal(x, y) {
			t.Fatalf("two spellings, two forms:\n%s -> %s\n%s -> %s", a, x, b, y)
		}
		again, err := AppendCanonical(nil, x)
		if err != nil || !bytes.Equal(again, x) {
			t.Fatalf("%s is not canonical itself: %s, %v", x, again, err)
		}
	})
}

func FuzzAppendCanonical(f *testing.F) {
	for _, seed := range []string{
		`{"b":[1,2.50,-0,1e3],"a":"\u00e9\ud83d\ude00"}`, `{"a":1,"a":2}`, `[[[[]]]]`, `0.1e-5`, `123456789012345678901234567890`,
		`"\ud800"`, "\"\xff\"", `{"":{}}`, `1e1001`, ` null `,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		out, err := AppendCanonical(nil, in)
		if err != nil {
			return
		}
		if !json.Valid(in) {
			t.Fatalf("accepted what is not JSON: %q", in)
		}
		again, err := AppendCanonical(nil, out)
		if err != nil || !bytes.Equal(again, out) {
			t.Fatalf("%q gives %q, which gives %q, %v", in, out, again, err)
		}
		if x, y := exact(t, in), exact(t, out); x != y {
			t.Fatalf("%q became %q", in, out)
		}
	})
}

// exact is a second opinion on what a text means, by another decoder.
func exact(t *testing.T, in []byte) string {
	d := json.NewDecoder(bytes.NewReader(in))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q: %v", in, err)
	}
	out, err := json.Marshal(rationals(v))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func rationals(v any) any {
	switch v := v.(type) {
	case json.Number:
		r, _ := new(big.Rat).SetString(string(v))
		return "number " + r.String()
	case []any:
		for i := range v {
			v[i] = rationals(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = rationals(v[k])
		}
	}
	return v
}

func BenchmarkAppendCanonical(b *testing.B) {
	in := []byte(`{"amount":12500,"channel":"atm","fee":100,"owner":"somebody","limits":{"single":1000}}`)
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst, _ = AppendCanonical(dst[:0], in)
	}
}
