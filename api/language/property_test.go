package language

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"pgregory.net/rapid"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// text draws any string that a field can hold.
var text = rapid.String().Filter(func(s string) bool { return checkText(s) == nil })

// value draws a value of a type.
func value(r *rapid.T, t *Type) ref.Val {
	switch t.Kind {
	case String:
		return types.String(text.Draw(r, "string"))
	case Int:
		return types.Int(rapid.Int64().Draw(r, "int"))
	case Double:
		return types.Double(rapid.Float64().Draw(r, "double") + 0) // never -0
	case Bool:
		return types.Bool(rapid.Bool().Draw(r, "bool"))
	case Bytes:
		return types.Bytes(rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(r, "bytes"))
	case Timestamp:
		micros := rapid.Int64Range(-62135596800_000_000, 253402300799_999_999).Draw(r, "timestamp")
		return types.Timestamp{Time: time.UnixMicro(micros).UTC()}
	case Duration:
		return types.Duration{Duration: time.Duration(rapid.Int64Range(-1<<63+1, 1<<63-1).Draw(r, "duration"))}
	case RecordOf:
		return record(r, t.Record)
	case ListOf:
		l := &List{elem: t.Elem}
		for range rapid.IntRange(0, 4).Draw(r, "length") {
			l = l.append(value(r, t.Elem)).(*List)
		}
		return l
	default:
		m := &Map{elem: t.Elem}
		for range rapid.IntRange(0, 4).Draw(r, "entries") {
			m = m.with(text.Draw(r, "key"), value(r, t.Elem)).(*Map)
		}
		return m
	}
}

func record(r *rapid.T, t *RecordType) *Record {
	out := t.zero.clone()
	for i := range t.Fields {
		if t.Fields[i].Optional && rapid.Bool().Draw(r, "absent") {
			out.vals[i] = nil
			continue
		}
		out.vals[i] = value(r, t.Fields[i].Type)
	}
	return out
}

// TestJSONKeepsEveryValue: what is written reads back equal, byte for byte and
// in any order of keys.
func TestJSONKeepsEveryValue(t *testing.T) {
	a := compile(t, "wide", parse[v1alpha1.AggregateSpec](t, wide))
	rapid.Check(t, func(r *rapid.T) {
		state := record(r, a.State())
		data := AppendJSON(nil, state)
		if !json.Valid(data) {
			r.Fatalf("no JSON: %s", data)
		}
		if got := EncodedSize(state); got != len(data) {
			r.Fatalf("measured %d bytes, has %d: %s", got, len(data), data)
		}
		again, err := a.DecodeState(data)
		if err != nil {
			r.Fatalf("%s: %v", data, err)
		}
		if again.Equal(state) != types.True {
			r.Fatalf("%s became %s", data, again)
		}
		if twice := AppendJSON(nil, again); !bytes.Equal(twice, data) {
			r.Fatalf("%s became %s", data, twice)
		}
		shuffled, err := a.DecodeState(reversed(data))
		if err != nil || shuffled.Equal(state) != types.True {
			r.Fatalf("with its keys reversed, %s became %v, %v", data, shuffled, err)
		}
	})
}

// reversed writes an object with its keys in the opposite order, as a store may.
func reversed(data []byte) []byte {
	var fields map[string]json.RawMessage
	if json.Unmarshal(data, &fields) != nil {
		return data
	}
	keys := slices.Sorted(maps.Keys(fields))
	slices.Reverse(keys)
	out := []byte("{")
	for i, k := range keys {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(appendString(out, k), ": "...), reversed(fields[k])...)
	}
	return append(out, '}')
}

// TestMapIsAMap compares with Go's own map, through all the sizes at which
// chunks split and vanish.
func TestMapIsAMap(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		// As large as it may be when it comes from a store, in one piece.
		want := map[string]int{}
		for i := range rapid.IntRange(0, 300).Draw(r, "first") {
			want[fmt.Sprintf("k%03d", (i*7)%400)] = i
		}
		data, err := json.Marshal(want)
		if err != nil {
			r.Fatal(err)
		}
		first, err := ParseJSON(&Type{Kind: MapOf, Elem: scalars["int"], name: "map<int>"}, reversed(data))
		if err != nil {
			r.Fatal(err)
		}
		m := first.(*Map)
		var older []*Map
		var olderText []string
		key := rapid.Custom(func(r *rapid.T) string { return fmt.Sprintf("k%03d", rapid.IntRange(0, 400).Draw(r, "key")) })
		for i := range rapid.IntRange(0, 600).Draw(r, "steps") {
			k := key.Draw(r, "key")
			if rapid.IntRange(0, 3).Draw(r, "remove") == 0 {
				delete(want, k)
				m = m.without(k).(*Map)
			} else {
				want[k] = i
				m = m.with(k, types.Int(i)).(*Map)
			}
			if i%50 == 0 {
				older, olderText = append(older, m), append(olderText, m.String())
			}
		}
		if m.Len() != len(want) {
			r.Fatalf("%d entries, want %d", m.Len(), len(want))
		}
		var walked []string
		for it := m.Iterator(); it.HasNext() == types.True; {
			walked = append(walked, string(it.Next().(types.String)))
		}
		if !slices.Equal(walked, slices.Sorted(maps.Keys(want))) {
			r.Fatalf("walked %v", walked)
		}
		for k, v := range want {
			if got, ok := m.Lookup(k); !ok || got != types.Int(v) {
				r.Fatalf("%s is %v, want %d", k, got, v)
			}
		}
		for _, c := range m.chunks {
			if len(c.keys) == 0 || len(c.keys) > chunkMax {
				r.Fatalf("a chunk of %d entries", len(c.keys))
			}
		}
		if got := encodedSize(m); got != len(m.String()) {
			r.Fatalf("measured %d bytes, has %d", got, len(m.String()))
		}
		for i, o := range older {
			if o.String() != olderText[i] {
				r.Fatalf("an older map changed: %s, was %s", o, olderText[i])
			}
		}
	})
}

// TestReplayGivesTheSameState: folding what is stored gives, step by step, what
// the command path speculated, whatever the commands are.
func TestReplayGivesTheSameState(t *testing.T) {
	bank := bank(t)
	channel := rapid.SampledFrom([]string{"atm", "web", "desk", "ü"})
	rapid.Check(t, func(r *rapid.T) {
		tried, replayed := bank.Zero(), bank.Zero()
		version := int64(0)
		for range rapid.IntRange(1, 20).Draw(r, "commands") {
			name, body := "Deposit", fmt.Sprintf(`{"amount":%d}`, rapid.Int64Range(1, 1<<62).Draw(r, "amount"))
			switch rapid.IntRange(0, 3).Draw(r, "command") {
			case 0:
				name, body = "Open", `{"owner":"ada"}`
			case 1:
				name = "Withdraw"
				body = fmt.Sprintf(`{"amount":%d,"channel":%q}`, rapid.Int64Range(1, 1<<62).Draw(r, "amount"), channel.Draw(r, "channel"))
			case 2:
				name = "SetLimits"
				body = fmt.Sprintf(`{"limits":{%q:{"single":%d}}}`, channel.Draw(r, "channel"), rapid.Int64Range(0, 1<<62).Draw(r, "single"))
			}
			next, events, err := do(t, bank, tried, name, body)
			if err != nil {
				continue // refused, or the balance would overflow
			}
			tried = next
			for _, e := range events {
				version++
				stored := reversed(AppendJSON(nil, e.Data))
				data, err := bank.DecodeEvent(e.Type, stored)
				if err != nil {
					r.Fatal(err)
				}
				if replayed, err = bank.Evolve(replayed, Event{Type: e.Type, Data: data}, metaAt(version)); err != nil {
					r.Fatal(err)
				}
			}
			if replayed.String() != tried.String() || replayed.Equal(tried) != types.True {
				r.Fatalf("replayed %s, speculated %s", replayed, tried)
			}
		}
	})
}

func TestTextFormsReadBack(t *testing.T) {
	for name, typ := range scalars {
		rapid.Check(t, func(r *rapid.T) {
			v := value(r, typ)
			form := string(AppendText(nil, v))
			again, err := ParseText(typ, form)
			if err != nil || types.Equal(again, v) != types.True {
				r.Fatalf("%s: %q became %v, %v", name, form, again, err)
			}
		})
	}
	for _, bad := range []struct{ typ, text string }{
		{"int", "1.0"}, {"int", ""}, {"int", "9223372036854775808"}, {"bool", "yes"}, {"double", "NaN"}, {"double", ""},
		{"timestamp", "today"}, {"duration", "90"}, {"string", "\x00"}, {"string", "\xff"}, {"bool", "null"}, {"bool", "true x"},
	} {
		if v, err := ParseText(scalars[bad.typ], bad.text); err == nil {
			t.Errorf("%q was read as %s: %v", bad.text, bad.typ, v)
		} else if !strings.HasPrefix(err.Error(), WrongType) && !strings.HasPrefix(err.Error(), MalformedBody) {
			t.Errorf("%q: %v", bad.text, err)
		}
	}
}
