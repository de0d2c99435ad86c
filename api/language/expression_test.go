package language

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// evaluate gives what an expression makes of the wide state, as a field of a
// type holds it, in JSON; or what goes wrong.
func evaluate(t testing.TB, typ, text string) (string, error) {
	t.Helper()
	spec := parse[v1alpha1.AggregateSpec](t, wide)
	spec.Events = append(spec.Events, v1alpha1.Event{
		Name: "Got", Fields: []v1alpha1.Field{{Name: "v", Type: typ, Optional: true}},
	})
	spec.Commands[0].Fields = nil
	spec.Commands[0].Emit = []v1alpha1.Emission{{Event: "Got", Set: map[string]v1alpha1.Expression{"v": v1alpha1.Expression(text)}}}
	a, problems := Compile("wide", spec)
	if a == nil {
		t.Fatalf("%s: %v", text, problems)
	}
	state, err := a.DecodeState([]byte(`{
		"num": 7, "s": "grün", "d": 2.5, "f": true, "b": "AAE=", "at": "2026-01-31T12:00:00Z", "wait": "90s",
		"limit": {"single": 5, "note": "x"}, "l": [3, 1, 2], "m": {"b": 2, "a": 1},
		"limits": {"web": {"single": 9}, "atm": {"single": 4}}, "nested": [{"k": {"single": 1}}]
	}`))
	if err != nil {
		t.Fatal(err)
	}
	_, events, err := do(t, a, state, "Do", "{}")
	if err != nil {
		return "", err
	}
	v := events[0].Data.At(0)
	if v == nil {
		return "absent", nil
	}
	return string(AppendJSON(nil, v)), nil
}

func TestExpressions(t *testing.T) {
	for _, e := range []struct{ typ, text, want string }{
		// CEL standard.
		{"int", "state.num * 2 + 1", "15"},
		{"bool", "state.s.startsWith('gr') && !(state.num in [1, 2])", "true"},
		{"string", "state.f ? 'yes' : 'no'", `"yes"`},
		{"int", "size(state.s) + size(state.l) + size(state.m) + size(state.b)", "11"},
		{"list<int>", "state.l + [4]", "[3,1,2,4]"},
		{"list<int>", "state.l.filter(i, i > 1).map(i, i * 10)", "[30,20]"},
		{"bool", "state.s.matches('^gr.n$')", "true"},
		{"string", "string(state.num) + string(state.d) + string(state.f)", `"72.5true"`},
		{"timestamp", "state.at + state.wait", `"2026-01-31T12:01:30Z"`},
		{"duration", "state.at - timestamp('2026-01-31T11:00:00Z')", `"3600s"`},
		{"int", "{1: 10, 2: 20}[size(state.m)]", "20"},
		{"bool", "has(state.limit.note) && !has(state.o) && has(state.m.a) && !has(state.m.z)", "true"},
		{"int", "state.o", "0"},
		{"bool", "state.limit == Limit{single: 5, note: 'x'} && state.limit != Limit{single: 5}", "true"},
		{"bool", "state.m == {'a': 1, 'b': 2} && state.l == [3, 1, 2]", "true"},
		{"bool", "type(state.limit) == Limit && type(1) == int", "true"},
		// Maps are walked in key order, everywhere.
		{"list<string>", "state.m.map(k, k)", `["a","b"]`},
		{"list<int>", "state.m.map(k, state.m[k])", `[1,2]`},
		{"list<string>", "{'z': 1, 'y': 2, 'x': 3, 'w': 4, 'v': 5}.map(k, k)", `["v","w","x","y","z"]`},
		{"list<string>", "{'z': state.num, 'y': 2, 'x': 3}.map(k, k)", `["x","y","z"]`},
		{"list<int>", "{3: 'c', 1: 'a', 2: 'b'}.map(k, k)", `[1,2,3]`},
		{"map<int>", "{'z': 1, 'a': 2}", `{"a":2,"z":1}`},
		{"list<map<Limit>>", "state.nested + [state.limits]", `[{"k":{"single":1}},{"atm":{"single":4},"web":{"single":9}}]`},
		{"list<string>", "{true: 'x', false: 'y'}.map(k, string(k))", `["false","true"]`},
		{"bool", "{1: 'a', 2: 'b'}.all(k, k > 0)", "true"},
		// Lists, maps and records behind dyn, and compared.
		{"int", "dyn(state.m)['a'] + dyn(state).num + dyn(state.l)[0]", "11"},
		{"int", "state.l[state.l[2]] + state.limits['web'].single", "11"},
		{"bool", "3 in state.l && !(4 in state.l) && 'a' in state.m && state.l != [1] && state.m != {'a': 1}", "true"},
		{"bool", "[state.l, [1]] == [[3, 1, 2], [1]] && {'k': state.m} == {'k': {'a': 1, 'b': 2}}", "true"},
		{"bool", "optional.ofNonZeroValue(state.m).hasValue() && !optional.ofNonZeroValue(state.o).hasValue()", "true"},
		{"bool", "optional.ofNonZeroValue(Limit{}).hasValue() || optional.ofNonZeroValue(state.l.filter(i, i > 9)).hasValue()", "false"},
		{"bool", "type(state.l) == list && type(state.m) == map && meta == meta", "true"},
		{"bool", "state.l.exists(i, i == 2) && state.m.exists_one(k, k == 'a')", "true"},
		{"string", "state.m.map(k, k).append('c').join('/')", `"a/b/c"`},
		{"list<Limit>", "state.limits.map(k, state.limits[k])", `[{"single":4},{"single":9}]`},
		{"string", "meta.commandId + '@' + meta.aggregate", `"c-1@account"`},
		// Optionals.
		{"int", "state.?o.orValue(3)", "3"},
		{"string", "state.limit.?note.orValue('none')", `"x"`},
		{"int", "state.m[?'z'].orValue(-1)", "-1"},
		{"int", "optional.none()", "absent"},
		{"int", "optional.of(4)", "4"},
		{"int", "state.m[?'a'].optMap(v, v + 1)", "2"},
		{"string", "optional.ofNonZeroValue(state.s).or(optional.of('none')).value()", `"grün"`},
		// Bindings, strings, math, lists, sets.
		{"int", "cel.bind(x, state.num + 1, x * x)", "64"},
		{"string", "'a,b'.split(',').join('-') + 'Ab'.lowerAscii() + '%s:%d'.format([state.s, state.num])", `"a-babgrün:7"`},
		{"int", "math.greatest(state.l) + math.least(1, 2) + math.abs(-3)", "7"},
		{"double", "math.round(state.d)", "3"},
		{"list<int>", "state.l.sort().slice(0, 2) + [1, 1].distinct() + lists.range(2)", "[1,2,1,0,1]"},
		{"list<string>", "['bb', 'a'].sortBy(w, size(w))", `["a","bb"]`},
		{"bool", "sets.contains(state.l, [1, 2]) && sets.intersects(state.l, [9, 1]) && sets.equivalent([1, 1], [1])", "true"},
		// The language's own.
		{"map<int>", "state.m.with('c', 3).with('a', 0)", `{"a":0,"b":2,"c":3}`},
		{"map<int>", "state.m.without('a').without('absent')", `{"b":2}`},
		{"Limit", "state.limit.with('single', 8)", `{"note":"x","single":8}`},
		{"Limit", "state.limit.with('note', optional.none())", `{"single":5}`},
		{"Limit", "Limit{}.with('note', optional.of('n'))", `{"note":"n","single":0}`},
		{"Limit", "state.limits['atm'].with('single', state.num)", `{"single":7}`},
		{"list<int>", "state.l.append(9).append(8)", "[3,1,2,9,8]"},
		{"list<string>", "['a'].append('b')", `["a","b"]`},
		{"int", "state.l.sum() + state.m.map(k, state.m[k]).sum()", "9"},
		{"double", "[0.5, 0.25].sum()", "0.75"},
		{"double", "[1.0].filter(x, x > 2.0).sum()", "0"},
		{"duration", "[days(1), state.wait].sum()", `"86490s"`},
		{"timestamp", "state.at + days(1)", `"2026-02-01T12:00:00Z"`},
		{"timestamp", "state.at.addMonths(1)", `"2026-02-28T12:00:00Z"`},
		{"timestamp", "state.at.addMonths(25)", `"2028-02-29T12:00:00Z"`},
		{"timestamp", "state.at.addMonths(-2)", `"2025-11-30T12:00:00Z"`},
		{"timestamp", "timestamp('2026-03-31T23:30:00-02:00').addMonths(1)", `"2026-05-01T01:30:00Z"`},
		// Time zones come with the binary.
		{"int", "state.at.getHours('Europe/Berlin')", "13"},
		{"int", "state.at.getHours()", "12"},
		{"int", "state.at.getHours('-05:30')", "6"},
		{"int", "timestamp('2026-07-01T23:00:00Z').getDate('Asia/Tokyo')", "2"},
		// Times are kept in microseconds, doubles finite, -0 as 0.
		{"timestamp", "timestamp('2026-01-01T00:00:00.1234567Z')", `"2026-01-01T00:00:00.123456Z"`},
		{"double", "-0.0", "0"},
		{"int", "9007199254740993", `"9007199254740993"`},
		// Zero values.
		{"string", "Limit{}.note", `""`},
		{"string", "meta.principal", `""`},
		{"timestamp", "meta.time", `"2026-01-31T12:00:00Z"`},
	} {
		got, err := evaluate(t, e.typ, e.text)
		if err != nil {
			t.Errorf("%s: %v", e.text, err)
		} else if got != e.want {
			t.Errorf("%s: got %s, want %s", e.text, got, e.want)
		}
	}
}

func TestExpressionsThatFailWhileTheyRun(t *testing.T) {
	for _, e := range []struct{ typ, text, says string }{
		{"int", "9223372036854775807 + state.num", "integer overflow"},
		{"int", "state.num / (state.num - 7)", "division by zero"},
		{"int", "state.m['z']", "no such key: z"},
		{"int", "state.l[3]", "index out of bounds: 3"},
		{"int", "dyn(state.l)[dyn('a')]", "a"},
		{"int", "dyn(state.m)[1]", "no such key: 1"},
		{"int", "dyn(state).nope", "no such field: nope"},
		{"double", "state.d / 0.0", "finite"},
		{"string", "'a\\u0000'", "U+0000"},
		{"map<int>", "state.m.with('\\u0000', 1)", "U+0000"},
		{"int", "dyn(state.s)", "is string, needs int"},
		{"list<int>", "dyn([1, 'a'])", "element 1: is string, needs int"},
		{"map<int>", "dyn({1: 2})", "needs map<int>"},
		{"Limit", "dyn(1)", "is int, needs Limit"},
		{"duration", "days(200000)", "too many"},
		{"timestamp", "state.at.addMonths(100000)", "leave the years 1 to 9999"},
		{"int", "[9223372036854775807, 1].sum()", "integer overflow"},
		{"int", "state.at.getHours('Mars/Olympus')", `no time zone "Mars/Olympus"`},
		{"int", "state.at.getHours('Europe')", `no time zone "Europe"`},
		{"int", "optional.none().value()", "optional.none() dereference"},
	} {
		_, err := evaluate(t, e.typ, e.text)
		r := refusalOf(err)
		if r.Reason != BehaviorFailed || !strings.Contains(r.Detail, e.says) {
			t.Errorf("%s: got %v, want BehaviorFailed with %q", e.text, err, e.says)
		} else if !strings.HasPrefix(r.Detail, "spec.commands[0].emit[0].set.v: ") {
			t.Errorf("%s: the path is missing in %q", e.text, r.Detail)
		}
	}
}

func TestEveryOwnFunctionRefusesDynValuesOfOtherTypes(t *testing.T) {
	for _, text := range []string{
		"dyn(1).with('a', 1)", "dyn({1: 2}).with('a', 1)", "dyn('a').without('a')", "dyn({}).without(dyn(1))", "dyn(1).append(1)",
		"dyn('a').sum()", "dyn(['a', 1]).sum()", "days(dyn('a'))", "dyn(1).addMonths(1)", "state.at.addMonths(dyn('a'))",
		"state.at.getHours(dyn(1))", "state.limit.with(dyn('single'), 1)",
	} {
		spec := edit(t, doEmit, `  - {event: Done, when: "type(`+strings.ReplaceAll(text, `"`, `\"`)+`) == int", set: {num: "1"}}`)
		a, problems := Compile("wide", spec)
		if a == nil {
			continue // refused at once, which is better
		}
		if _, events, err := do(t, a, a.Zero(), "Do", `{"num": 1}`); err == nil {
			t.Errorf("%s: %v, want a failure (problems %v)", text, events, problems)
		}
	}
}

func TestZonesComeFromTheBinary(t *testing.T) {
	t.Setenv("ZONEINFO", t.TempDir())
	summer := types.Timestamp{Time: time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)}
	for zone, hour := range map[string]int{"America/New_York": 8, "Asia/Kolkata": 17, "UTC": 12, "": 12, "+05:30": 17, "-03:30": 8} {
		loc, err := location(zone)
		if err != nil {
			t.Fatal(err)
		}
		if got := summer.In(loc).Hour(); got != hour {
			t.Errorf("%s: %d o'clock, want %d", zone, got, hour)
		}
	}
	for _, zone := range []string{"Local", "../UTC", "24:00", "01:60", "x:00", "00:x"} {
		if _, err := location(zone); err == nil {
			t.Errorf("%s: found, want an error", zone)
		}
	}
}

func TestAppendSharesOneArrayAndNeverChangesALongerList(t *testing.T) {
	base := ref.Val(&List{elem: scalars["int"]})
	for i := range 100 {
		base = base.(*List).append(types.Int(i))
	}
	left := base.(*List).append(types.Int(1000)).(*List)
	right := base.(*List).append(types.Int(2000)).(*List)
	if left.At(100) != types.Int(1000) || right.At(100) != types.Int(2000) || base.(*List).Len() != 100 {
		t.Errorf("left %v, right %v, base %d: two lists that grew from one disturb each other", left.At(100), right.At(100), base.(*List).Len())
	}
	if got, want := encodedSize(left), len(AppendJSON(nil, left)); got != want {
		t.Errorf("size %d, want %s", got, strconv.Itoa(want))
	}
}
