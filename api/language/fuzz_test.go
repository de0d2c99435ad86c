package language

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"cel.dev/cel-go/common/types"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// FuzzDecodeState: whatever a snapshot holds as a state is refused, or is a state
// that is written the same way from then on. No more comes out than went in, but
// for the zero values of what is left out.
func FuzzDecodeState(f *testing.F) {
	a := compile(f, "wide", parse[v1alpha1.AggregateSpec](f, wide))
	for _, seed := range []string{
		`{"num": 7, "s": "grün", "d": 2.5, "f": true, "b": "AAE=", "at": "2026-01-31T12:00:00Z", "wait": "90s"}`,
		`{"limit": {"single": 5, "note": "x"}, "l": [3, "1", 2.0], "m": {"b": 2, "a": 1}, "limits": {"": {}}, "nested": [{"k": {}}], "o": null}`,
		`{"num":1,"num":2}`, `{"d":-0.0}`, `{"d":1e999}`, `{"at":"0001-01-01T00:00:00Z"}`, `{"wait":"-9223372036.854775808s"}`, `{"s":"\ud800"}`, `[`, ``, `null`,
	} {
		f.Add([]byte(seed))
	}
	zero := len(AppendJSON(nil, a.Zero()))
	f.Fuzz(func(t *testing.T, data []byte) {
		state, err := a.DecodeState(data)
		if err != nil {
			return
		}
		once := AppendJSON(nil, state)
		if !json.Valid(once) || EncodedSize(state) != len(once) {
			t.Fatalf("%q is written as %q, measured %d", data, once, EncodedSize(state))
		}
		// A byte may become an escape of six, or an empty record one with all fields.
		if len(once) > zero+40*len(data) {
			t.Errorf("%d bytes became %d", len(data), len(once))
		}
		again, err := a.DecodeState(once)
		if err != nil || again.Equal(state) != types.True {
			t.Fatalf("%q became %q, which is read as %v, %v", data, once, again, err)
		}
		if twice := AppendJSON(nil, again); !bytes.Equal(twice, once) {
			t.Fatalf("%q became %q and then %q", data, once, twice)
		}
	})
}

// FuzzLiteral: a string that is written into an expression comes out as it was.
func FuzzLiteral(f *testing.F) {
	for _, seed := range []string{"", "a", `'"\`, "\n\r\t", "grün", "😀", "\u2028", "{{}}", "${x}", "`", "//", "\x7f", "\x01"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 500 || !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
			return
		}
		got, err := evaluate(t, "string", strconv.Quote(s))
		if err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		var back string
		if err := json.Unmarshal([]byte(got), &back); err != nil || back != s {
			t.Errorf("%q came out as %s", s, got)
		}
	})
}

// FuzzExpression: any text is an expression or not. One that is not is refused with
// its place; one that is gives the same value each time, or fails as an expression
// does.
func FuzzExpression(f *testing.F) {
	for _, seed := range []string{
		"1", "state.num + 1", "state.l.sum()", "state.m.with('k', 1)['k']", "[1, 2][9]", "9223372036854775807 + 1", "1 / 0", "state.l.map(x, x * x)[0]",
		"[1, 2, 3].all(x, x > 0) ? 1 : 2", "int('x')", "size('a'.matches('(a*)*b') ? 'a' : 'b')", "state.at.getFullYear()", "state.o", "state.?o.orValue(3)",
		"optional.none()", "cel.bind(x, 1, x + x)", "int(math.greatest(1, 2.5))", "'a' + 1", "(", "", "\x00", "0x1p3", "-9223372036854775808", "1u", "dyn(1)",
	} {
		f.Add(seed)
	}
	spec := parse[v1alpha1.AggregateSpec](f, wide)
	spec.Events = append(spec.Events, v1alpha1.Event{Name: "Got", Fields: []v1alpha1.Field{{Name: "v", Type: "int", Optional: true}}})
	spec.Commands[0].Fields = nil
	state := func(t *testing.T, a *Aggregate) *Record {
		s, err := a.DecodeState([]byte(`{"num": 7, "s": "grün", "d": 2.5, "at": "2026-01-31T12:00:00Z", "l": [3, 1, 2], "m": {"b": 2, "a": 1}}`))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	f.Fuzz(func(t *testing.T, text string) {
		spec := spec.DeepCopy()
		spec.Commands[0].Emit = []v1alpha1.Emission{{Event: "Got", Set: map[string]v1alpha1.Expression{"v": v1alpha1.Expression(text)}}}
		a, problems := Compile("wide", spec)
		if a == nil {
			for _, p := range problems {
				if p.Path == "" || p.Message == "" {
					t.Errorf("%q: a problem that does not say what and where: %+v", text, p)
				}
			}
			if len(problems) == 0 {
				t.Errorf("%q is refused without a word", text)
			}
			return
		}
		var before string
		for range 2 {
			_, events, err := do(t, a, state(t, a), "Do", "{}")
			after := ""
			switch {
			case err != nil:
				after = err.Error()
			case events[0].Data.At(0) != nil:
				after = string(AppendJSON(nil, events[0].Data.At(0)))
			}
			if before != "" && after != before {
				t.Errorf("%q gave %s and then %s", text, before, after)
			}
			before = after
		}
	})
}
