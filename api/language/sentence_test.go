package language

import (
	"fmt"
	"strings"
	"testing"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// wide is a definition with a field of every kind. Tests change one part of it
// by replacing text.
const wide = `
types:
- name: Limit
  fields:
  - {name: single, type: int}
  - {name: note, type: string, optional: true}
state:
- {name: num, type: int}
- {name: s, type: string}
- {name: d, type: double}
- {name: f, type: bool}
- {name: b, type: bytes}
- {name: at, type: timestamp}
- {name: wait, type: duration}
- {name: limit, type: Limit}
- {name: l, type: list<int>}
- {name: m, type: map<int>}
- {name: limits, type: map<Limit>}
- {name: nested, type: "list<map<Limit>>"}
- {name: o, type: int, optional: true}
commands:
- name: Do
  fields:
  - {name: num, type: int}
  - {name: words, type: list<string>, default: "[]"}
  - {name: rates, type: map<int>, default: "{}"}
  emit:
  - {event: Done, set: {num: "command.num"}}
events:
- name: Done
  fields:
  - {name: num, type: int}
  - {name: extra, type: string, optional: true}
  apply:
    num: "event.num"
    s: "state.s"
    d: "state.d"
    f: "state.f"
    b: "state.b"
    at: "state.at"
    wait: "state.wait"
    limit: "state.limit"
    l: "state.l"
    m: "state.m"
    limits: "state.limits"
    nested: "state.nested"
    o: "state.?o"
`

// edit gives the wide definition with pieces of text replaced.
func edit(t testing.TB, pairs ...string) *v1alpha1.AggregateSpec {
	t.Helper()
	text := wide
	for i := 0; i < len(pairs); i += 2 {
		if strings.Count(text, pairs[i]) != 1 {
			t.Fatalf("%q is not once in the definition", pairs[i])
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return parse[v1alpha1.AggregateSpec](t, text)
}

const (
	doEmit = `  - {event: Done, set: {num: "command.num"}}`
	fieldN = `  - {name: num, type: int}
  - {name: words`
	stateN   = "- {name: num, type: int}\n- {name: s"
	typeLine = "  - {name: single, type: int}"
	applyN   = `num: "event.num"`
)

// emit, field, let and reject give edits of the command.
func emit(lines string) []string        { return []string{doEmit, lines} }
func apply(text string) []string        { return []string{applyN, text} }
func state(text string) []string        { return []string{stateN, text + "\n- {name: s"} }
func commandN(text string) []string     { return []string{fieldN, "  - " + text + "\n  - {name: words"} }
func before(text, more string) []string { return []string{text, more + "\n" + text} }
func inCommand(lines string) []string   { return before("  emit:", lines) }

func repeat(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format+"\n", i)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// TestSentences goes through the contract's section on the language. Each
// sentence has definitions that are accepted and, where it forbids something,
// ones that are refused, with the path and the words of the problem.
func TestSentences(t *testing.T) {
	type refused struct {
		edit       []string
		path, says string
	}
	for _, s := range []struct {
		sentence string
		accepted [][]string
		refused  []refused
	}{
		{
			sentence: "Expressions are CEL in strings of 1 to 4,096 characters",
			accepted: [][]string{emit(`  - {event: Done, set: {num: "1"}}`), emit(`  - {event: Done, set: {num: "` + strings.Repeat("1 + ", 100) + `1"}}`), emit(`  - {event: Done, set: {num: "size('` + strings.Repeat("é", 4088) + `')"}}`)},
			refused: []refused{
				{emit(`  - {event: Done, set: {num: ""}}`), "spec.commands[0].emit[0].set.num", "the expression is empty"},
				{emit(`  - {event: Done, set: {num: "` + strings.Repeat("1 + ", 1024) + `1"}}`), "spec.commands[0].emit[0].set.num", "the expression has 4097 characters, at most 4096 are allowed"},
				{emit(`  - {event: Done, set: {num: "` + strings.Repeat("(", 300) + "1" + strings.Repeat(")", 300) + `"}}`), "spec.commands[0].emit[0].set.num", "nests deeper than 128 levels"},
				{emit(`  - {event: Done, set: {num: "1 +"}}`), "spec.commands[0].emit[0].set.num", "is no expression"},
			},
		},
		{
			sentence: "Expressions are type-checked against the declared types",
			accepted: [][]string{emit(`  - {event: Done, set: {num: "size(state.s)"}}`), emit(`  - {event: Done, set: {num: "dyn(1)"}}`)},
			refused: []refused{
				{emit(`  - {event: Done, set: {num: "state.s"}}`), "spec.commands[0].emit[0].set.num", "is string, needs int; convert with int(…)"},
				{emit(`  - {event: Done, set: {num: "state.balanc"}}`), "spec.commands[0].emit[0].set.num", "there is no field balanc"},
				{emit(`  - {event: Done, set: {num: "comand.n"}}`), "spec.commands[0].emit[0].set.num", "comand is not known here; did you mean command?"},
				{emit(`  - {event: Done, set: {num: "state.num + state.s"}}`), "spec.commands[0].emit[0].set.num", "+ cannot be applied to (int, string)"},
				{emit(`  - {event: Done, set: {num: "1", extra: "open"}}`), "spec.commands[0].emit[0].set.extra", `open is not known here; for the text itself write "'open'"`},
				{emit(`  - {event: Done, when: "command.num", set: {num: "1"}}`), "spec.commands[0].emit[0].when", "is int, needs bool"},
				{inCommand(`  reject: [{when: "state.num", reason: Nope}]`), "spec.commands[0].reject[0].when", "is int, needs bool"},
				{inCommand(`  reject: [{when: "true", reason: Nope, message: "1"}]`), "spec.commands[0].reject[0].message", "is int, needs string"},
				{commandN(`{name: num, type: int, check: "self"}`), "spec.commands[0].fields[0].check", "is int, needs bool"},
				{commandN(`{name: num, type: int, default: "'a'"}`), "spec.commands[0].fields[0].default", "is string, needs int"},
				{apply(`num: "event.s"`), "spec.events[0].apply.num", "there is no field s; known are num, extra"},
				{apply(`num: "state.limits"`), "spec.events[0].apply.num", "is map<Limit>, needs int"},
				{apply(`num: "state"`), "spec.events[0].apply.num", "is the whole state, needs int"},
			},
		},
		{
			sentence: "Names of commands, events, types and reasons begin with an upper-case letter",
			accepted: [][]string{inCommand(`  reject: [{when: "false", reason: ` + "A" + strings.Repeat("9", 62) + `}]`)},
			refused: []refused{
				{[]string{"name: Do\n", "name: do\n"}, "spec.commands[0].name", `the command cannot have the name "do"`},
				{[]string{"name: Done\n", "name: done-it\n", "event: Done", "event: done-it"}, "spec.events[0].name", `the event cannot have the name "done-it"`},
				{[]string{"name: Limit\n", "name: limit\n", "limit, type: Limit}", "limit, type: limit}", "map<Limit>}", "map<limit>}", "map<Limit>>", "map<limit>>"}, "spec.types[0].name", `the type cannot have the name "limit"`},
				{inCommand(`  reject: [{when: "false", reason: nope}]`), "spec.commands[0].reject[0].reason", `a reject cannot have the name "nope"`},
				{inCommand(`  reject: [{when: "false", reason: ` + "A" + strings.Repeat("9", 63) + `}]`), "spec.commands[0].reject[0].reason", "at most 63"},
			},
		},
		{
			sentence: "Names of fields, let and as begin with a lower-case letter and are not in, true, false, null",
			accepted: [][]string{
				commandN(`{name: package, type: int}` + "\n  - {name: num, type: int}"),
				inCommand(`  let: [{name: int, value: "1"}, {name: size, value: "int"}, {name: math, value: "size"}]`),
			},
			refused: []refused{
				{commandN(`{name: Num, type: int}` + "\n  - {name: num, type: int}"), "spec.commands[0].fields[0].name", `the field cannot have the name "Num"`},
				{commandN(`{name: in, type: int}` + "\n  - {name: num, type: int}"), "spec.commands[0].fields[0].name", `the field cannot have the name "in", a word of the expression language`},
				{state(`- {name: "true", type: int}` + "\n" + `- {name: num, type: int}`), "spec.state[0].name", `"true", a word`},
				{inCommand(`  let: [{name: "null", value: "1"}]`), "spec.commands[0].let[0].name", `"null", a word`},
				{inCommand(`  let: [{name: "package", value: "1"}]`), "spec.commands[0].let[0].name", `"package", a word that CEL reserves`},
				{emit(`  - {event: Done, forEach: {in: "state.l", as: "false"}, set: {num: "1"}}`), "spec.commands[0].emit[0].forEach.as", `"false", a word`},
			},
		},
		{
			sentence: "There is no shadowing",
			accepted: [][]string{
				inCommand(`  let: [{name: num, value: "command.num"}]`),
				emit(`  - {event: Done, forEach: {in: "state.l", as: num}, set: {num: "num"}}` + "\n" + `  - {event: Done, forEach: {in: "state.l", as: num}, set: {num: "num"}}`),
			},
			refused: []refused{
				{inCommand(`  let: [{name: a, value: "1"}, {name: a, value: "2"}]`), "spec.commands[0].let[1].name", "the let named a would hide another a"},
				{inCommand(`  let: [{name: state, value: "1"}]`), "spec.commands[0].let[0].name", "the let named state would hide another state"},
				{inCommand(`  let: [{name: event, value: "1"}]`), "spec.commands[0].let[0].name", "would hide another event"},
				{emit(`  - {event: Done, forEach: {in: "state.l", as: meta}, set: {num: "1"}}`), "spec.commands[0].emit[0].forEach.as", "would hide another meta"},
				{append(inCommand(`  let: [{name: a, value: "1"}]`), emit(`  - {event: Done, forEach: {in: "state.l", as: a}, set: {num: "1"}}`)...), "spec.commands[0].emit[0].forEach.as", "would hide another a"},
			},
		},
		{
			sentence: "Every name is declared once",
			refused: []refused{
				{commandN("{name: num, type: int}\n  - {name: num, type: int}"), "spec.commands[0].fields[1].name", "field num is declared twice"},
				{before("events:", "- name: Do"), "spec.commands[1].name", "command Do is declared twice"},
				{[]string{"events:", "events:\n- name: Done\n  fields: [{name: num, type: int}]"}, "spec.events[1].name", "event Done is declared twice"},
				{[]string{"types:", "types:\n- {name: Limit, fields: [{name: a, type: int}]}"}, "spec.types[1].name", "type Limit is declared twice"},
			},
		},
		{
			sentence: "At most 64 commands, types and fields each, 128 events, 16 rejects and emits each",
			accepted: [][]string{
				before("events:", repeat(63, "- {name: C%d}")), before("state:", repeat(63, "- {name: T%d, fields: [{name: a, type: int}]}")),
				before("events:", "- {name: Many, fields: ["+strings.ReplaceAll(repeat(64, "{name: a%d, type: int},"), "\n", "")+"]}"),
				{"events:", "events:\n" + repeat(127, "- {name: E%d}")},
				inCommand("  reject:\n" + repeat(16, `  - {when: "false", reason: R%d}`)),
				emit(strings.ReplaceAll(repeat(16, doEmit+"#%d"), "#", " #")),
			},
			refused: []refused{
				{before("events:", repeat(64, "- {name: C%d}")), "spec.commands", "65 commands, at most 64 are allowed"},
				{before("state:", repeat(64, "- {name: T%d, fields: [{name: a, type: int}]}")), "spec.types", "65 types, at most 64 are allowed"},
				{before("events:", "- {name: Many, fields: ["+strings.ReplaceAll(repeat(65, "{name: a%d, type: int},"), "\n", "")+"]}"), "spec.commands[1].fields", "65 fields, at most 64 are allowed"},
				{[]string{"events:", "events:\n" + repeat(128, "- {name: E%d}")}, "spec.events", "129 events, at most 128 are allowed"},
				{inCommand("  reject:\n" + repeat(17, `  - {when: "false", reason: R%d}`)), "spec.commands[0].reject", "17 rejects, at most 16 are allowed"},
				{emit(strings.ReplaceAll(repeat(17, doEmit+"#%d"), "#", " #")), "spec.commands[0].emit", "17 emits, at most 16 are allowed"},
			},
		},
		{
			sentence: "Types: string, int, double, bool, bytes, timestamp, duration, a named type, list<T>, map<T>",
			accepted: [][]string{nil, state(`- {name: num, type: "map<list<map<list<Limit>>>>"}`)[:0], commandN(`{name: deep, type: "list<list<list<list<int>>>>", optional: true}` + "\n  - {name: num, type: int}")},
			refused: []refused{
				{commandN(`{name: num, type: integer}`), "spec.commands[0].fields[0].type", "field num has the type integer, which is not declared; did you mean int?"},
				{commandN(`{name: num, type: Limits}`), "spec.commands[0].fields[0].type", "field num has the type Limits, which is not declared; did you mean Limit?"},
				{commandN(`{name: num, type: "set<int>"}`), "spec.commands[0].fields[0].type", "the type set, which is not declared"},
				{commandN(`{name: num, type: "map<int, string>"}`), "spec.commands[0].fields[0].type", "wrong form"},
				{commandN(`{name: num, type: "list<int"}`), "spec.commands[0].fields[0].type", "wrong form"},
				{commandN(`{name: num, type: "list<list<list<list<list<int>>>>>"}`), "spec.commands[0].fields[0].type", "at most four"},
				{commandN(`{name: num, type: uint}`), "spec.commands[0].fields[0].type", "which is not declared"},
			},
		},
		{
			sentence: "Named types are acyclic",
			accepted: [][]string{before("state:", `- {name: Pair, fields: [{name: a, type: Limit}, {name: b, type: "list<Limit>"}]}`)},
			refused: []refused{
				{[]string{typeLine, typeLine + "\n  - {name: next, type: Limit, optional: true}"}, "spec.types[0]", "type Limit contains itself: Limit -> Limit"},
				{[]string{typeLine, typeLine + "\n  - {name: inner, type: Inner}", "state:", `- {name: Inner, fields: [{name: back, type: "map<list<Limit>>"}]}` + "\nstate:"}, "spec.types[0]", "type Limit contains itself: Limit -> Inner -> Limit"},
			},
		},
		{
			sentence: "In scope: check has self and command",
			accepted: [][]string{
				commandN(`{name: num, type: int, check: "self > 0 && command.num == self"}`),
				{typeLine, `  - {name: single, type: int, check: "self >= 0"}`},
			},
			refused: []refused{
				{commandN(`{name: num, type: int, check: "self > state.num"}`), "spec.commands[0].fields[0].check", "state is not known here; in scope are self, command"},
				{[]string{typeLine, `  - {name: single, type: int, check: "self > command.num"}`}, "spec.types[0].fields[0].check", "command is not known here; in scope are self"},
				{commandN(`{name: num, type: int, default: "command.num"}`), "spec.commands[0].fields[0].default", "command is not known here"},
				{state(`- {name: num, type: int, check: "self > 0"}`), "spec.state[0].check", "field num of the state takes no check"},
				{[]string{"  - {name: num, type: int}\n  - {name: extra", "  - {name: num, type: int, default: \"1\"}\n  - {name: extra"}, "spec.events[0].fields[0].default", "field num of an event takes no default"},
				{[]string{typeLine, `  - {name: single, type: int, default: "1"}`}, "spec.types[0].fields[0].default", "field single of a type takes no default"},
				{commandN(`{name: num, type: int, default: "1", optional: true}`), "spec.commands[0].fields[0].default", "has a default and is optional"},
				{commandN(`{name: num, type: int, default: "1/0"}`), "spec.commands[0].fields[0].default", "the default of num fails: division by zero"},
			},
		},
		{
			sentence: "In scope: reject and emit have state, command, meta, the let names in order, the forEach item",
			accepted: [][]string{
				inCommand(`  let: [{name: a, value: "state.num"}, {name: b, value: "a + command.num + meta.version"}]` + "\n" + `  reject: [{when: "a > b", reason: Nope, message: "meta.entity + string(b)"}]`),
				emit(`  - {event: Done, forEach: {in: "command.words", as: w}, when: "size(w) > 2", set: {num: "size(w)", extra: "w"}}`),
				emit(`  - {event: Done, forEach: {in: "command.rates", as: k}, set: {num: "command.rates[k]", extra: "k"}}`),
				emit(`  - {event: Done, set: {num: "meta.version", extra: "meta.aggregate + meta.entity + meta.commandId + meta.principal + string(meta.time)"}}`),
			},
			refused: []refused{
				{inCommand(`  let: [{name: b, value: "a"}, {name: a, value: "1"}]`), "spec.commands[0].let[0].value", "a is not known here"},
				{inCommand(`  let: [{name: b, value: "event.num"}]`), "spec.commands[0].let[0].value", "event is not known here"},
				{emit(`  - {event: Done, forEach: {in: "command.num", as: w}, set: {num: "1"}}`), "spec.commands[0].emit[0].forEach.in", "is int, needs a list, or a map with string keys"},
				{emit(`  - {event: Done, forEach: {in: "{1: 2}", as: w}, set: {num: "1"}}`), "spec.commands[0].emit[0].forEach.in", "needs a list, or a map with string keys"},
				{emit(`  - {event: Done, forEach: {in: "command.words", as: w}, set: {num: "w"}}`), "spec.commands[0].emit[0].set.num", "is string, needs int"},
				{emit(`  - {event: Done, set: {num: "meta.id"}}`), "spec.commands[0].emit[0].set.num", "there is no field id; known are aggregate, entity, version, time, commandId, principal"},
			},
		},
		{
			sentence: "In scope: apply has state, event and meta",
			accepted: [][]string{apply(`num: "state.num + event.num + meta.version"`)},
			refused: []refused{
				{apply(`num: "command.num"`), "spec.events[0].apply.num", "command is not known here"},
				{apply(`count: "1"`), "spec.events[0].apply.count", "the state has no field count"},
			},
		},
		{
			sentence: "set gives every non-optional event field",
			accepted: [][]string{emit(`  - {event: Done, set: {num: "1"}}`), emit(`  - {event: Done, set: {num: "1", extra: "'a'"}}`), emit(`  - {event: Done, set: {num: "1", extra: "optional.none()"}}`)},
			refused: []refused{
				{emit(`  - {event: Done, set: {extra: "'a'"}}`), "spec.commands[0].emit[0].set", "field num of event Done is not set; add num"},
				{emit(`  - {event: Done}`), "spec.commands[0].emit[0].set", "field num of event Done is not set"},
				{emit(`  - {event: Done, set: {num: "1", m: "2"}}`), "spec.commands[0].emit[0].set.m", "event Done has no field m"},
				{emit(`  - {event: Don, set: {num: "1"}}`), "spec.commands[0].emit[0].event", "there is no event Don; did you mean Done?"},
				{emit(`  - {event: Done, set: {num: "optional.of(1)"}}`), "spec.commands[0].emit[0].set.num", "is optional int, needs int"},
			},
		},
		{
			sentence: "Records: r.with('field', v) is a literal and type-checked, Limit{single: 5} builds one",
			accepted: [][]string{
				{`limit: "state.limit"`, `limit: "state.limit.with('single', 5).with('note', 'a').with('note', optional.none())"`},
				{`limit: "state.limit"`, `limit: "Limit{single: event.num, note: 'x'}"`},
				{`limit: "state.limit"`, `limit: "Limit{?note: event.?extra}"`},
				{`limits: "state.limits"`, `limits: "state.limits.with('a', Limit{}).without('b')"`},
			},
			refused: []refused{
				{[]string{`limit: "state.limit"`, `limit: "state.limit.with('singel', 5)"`}, "spec.events[0].apply.limit", "with: Limit has no field singel; did you mean single?"},
				{[]string{`limit: "state.limit"`, `limit: "state.limit.with('single', 'a')"`}, "spec.events[0].apply.limit", "with: field single of Limit is string, needs int"},
				{[]string{`limit: "state.limit"`, `limit: "state.limit.with(state.s, 5)"`}, "spec.events[0].apply.limit", "with: the field of a Limit must be a literal"},
				{[]string{`limit: "state.limit"`, `limit: "Limit{single: 'a'}"`}, "spec.events[0].apply.limit", "'single'"},
				{[]string{`limit: "state.limit"`, `limit: "Limit{sngle: 1}"`}, "spec.events[0].apply.limit", "there is no field sngle; did you mean single?"},
				{[]string{`limit: "state.limit"`, `limit: "Limt{single: 1}"`}, "spec.events[0].apply.limit", "Limt is not known here; did you mean Limit?"},
				{[]string{`limits: "state.limits"`, `limits: "state.limits.with('a', 1)"`}, "spec.events[0].apply.limits", "with cannot be applied to map<Limit>.(string, int)"},
				{[]string{`m: "state.m"`, `m: "{1: 2}"`}, "spec.events[0].apply.m", "is map(int, int), needs map<int>"},
			},
		},
	} {
		t.Run(s.sentence, func(t *testing.T) {
			for _, pairs := range s.accepted {
				if _, problems := Compile("wide", edit(t, pairs...)); HasErrors(problems) {
					t.Errorf("%q: refused, want accepted: %v", pairs, problems)
				}
			}
			for _, r := range s.refused {
				a, problems := Compile("wide", edit(t, r.edit...))
				if a != nil {
					t.Errorf("%q: accepted, want refused", r.edit)
				}
				wantProblem(t, problems, false, r.path, r.says)
			}
		})
	}
}

// wantProblem looks for a problem with the path and the words.
func wantProblem(t *testing.T, problems []Problem, warning bool, path, says string) {
	t.Helper()
	for _, p := range problems {
		if p.Path == path && p.Warning == warning && strings.Contains(p.String(), says) {
			return
		}
	}
	t.Errorf("no problem at %s that says %q, got:\n%v", path, says, problems)
}

func TestAllProblemsAreGivenAtOnce(t *testing.T) {
	_, problems := Compile("wide", edit(t,
		applyN, `num: "event.m"`,
		doEmit, `  - {event: Done, set: {num: "command.m"}}`,
		fieldN, "  - {name: num, type: int, check: \"self\"}\n  - {name: words"))
	for _, path := range []string{"spec.events[0].apply.num", "spec.commands[0].emit[0].set.num", "spec.commands[0].fields[0].check"} {
		wantProblem(t, problems, false, path, "")
	}
}

func TestWarnings(t *testing.T) {
	for _, w := range []struct {
		edit       []string
		path, says string
	}{
		{inCommand(`  let: [{name: a, value: "1"}]`), "spec.commands[0].let[0].name", "let a is never used"},
		{[]string{"events:", "events:\n- name: Lost"}, "spec.events[0]", "no command emits event Lost"},
		{state("- {name: num, type: int}\n- {name: idle, type: int}"), "spec.state[1]", "no event sets the state's field idle"},
	} {
		a, problems := Compile("wide", edit(t, w.edit...))
		if a == nil {
			t.Errorf("%q: a warning refused the definition: %v", w.edit, problems)
		}
		wantProblem(t, problems, true, w.path, w.says)
	}
}
