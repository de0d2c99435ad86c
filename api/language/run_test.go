package language

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// tally is a definition whose events and order show how deciding works.
const tally = `
state:
- {name: total, type: int}
- {name: seen, type: list<int>}
- {name: text, type: string}
- {name: last, type: int, optional: true}
commands:
- name: Add
  fields: [{name: amounts, type: list<int>}]
  let: [{name: before, value: "state.total"}]
  emit:
  - event: Added
    forEach: {in: "command.amounts", as: amount}
    when: "amount > 0"
    set: {amount: "amount", before: "before"}
  - {event: Closed, when: "before == state.total && size(command.amounts) > 2"}
- name: Pick
  fields: [{name: rates, type: map<int>}]
  emit:
  - {event: Added, forEach: {in: "command.rates", as: key}, set: {amount: "command.rates[key]", before: "size(key)"}}
- name: Refuse
  fields: [{name: level, type: int}]
  reject:
  - {when: "command.level > 2", reason: High, message: "'level ' + string(command.level)"}
  - {when: "command.level > 1", reason: Middle}
  - {when: "10 / command.level > 5", reason: Low}
- name: Lazy
  fields: [{name: divisor, type: int}]
  let:
  - {name: bad, value: "1 / command.divisor"}
  - {name: worse, value: "bad + 1"}
  reject: [{when: "command.divisor == 0", reason: Zero}]
  emit: [{event: Added, when: "worse > 0", set: {amount: "bad", before: "worse"}}]
- name: Note
  fields: [{name: text, type: string}, {name: times, type: int}]
  emit: [{event: Noted, set: {text: "command.text", times: "command.times"}}]
- name: Mark
  fields: [{name: at, type: int, optional: true}]
  emit: [{event: Marked, set: {at: "command.?at"}}]
- name: Nothing
events:
- name: Added
  fields: [{name: amount, type: int}, {name: before, type: int}]
  apply: {total: "state.total + event.amount", seen: "state.seen.append(state.total)"}
- name: Closed
- name: Noted
  fields: [{name: text, type: string}, {name: times, type: int}]
  apply: {text: "lists.range(event.times).map(i, event.text).join()"}
- name: Marked
  fields: [{name: at, type: int, optional: true}]
  apply: {last: "event.?at"}
`

func tallier(t testing.TB) *Aggregate {
	t.Helper()
	return compile(t, "tally", parse[v1alpha1.AggregateSpec](t, tally))
}

func eventsText(events []Event) string {
	var out []string
	for _, e := range events {
		out = append(out, e.Type+e.Data.String())
	}
	return strings.Join(out, " ")
}

func TestDeciding(t *testing.T) {
	a := tallier(t)
	for _, c := range []struct{ name, command, body, events, state, refused string }{
		{
			"events are decided on the state before, and applied in turn, each on the state the last one left",
			"Add", `{"amounts":[5,6]}`, `Added{"amount":5,"before":0} Added{"amount":6,"before":0}`,
			`{"seen":[0,5],"text":"","total":11}`, "",
		},
		{
			"when beside forEach is tested per item; emits are in order, none sees another's effect",
			"Add", `{"amounts":[1,-1,2]}`, `Added{"amount":1,"before":0} Added{"amount":2,"before":0} Closed{}`,
			`{"seen":[0,1],"text":"","total":3}`, "",
		},
		{
			"forEach over a map has the keys, in order",
			"Pick", `{"rates":{"zz":3,"a":1,"mmm":2}}`,
			`Added{"amount":1,"before":1} Added{"amount":2,"before":3} Added{"amount":3,"before":2}`,
			`{"seen":[0,1,3],"text":"","total":6}`, "",
		},
		{"no events and no reject is success that changes nothing", "Nothing", `{}`, "", `{"seen":[],"text":"","total":0}`, ""},
		{"forEach over nothing emits nothing", "Add", `{"amounts":[]}`, "", `{"seen":[],"text":"","total":0}`, ""},
		{"the first reject that is true wins", "Refuse", `{"level":3}`, "", "", "High: level 3"},
		{"a reject without a message has a sensible one", "Refuse", `{"level":2}`, "", "", "Middle: the command is refused: Middle"},
		{"rejects after the first true one are not evaluated", "Refuse", `{"level":1}`, "", "", "Low: the command is refused: Low"},
		{"a reject that fails is a failure", "Refuse", `{"level":0}`, "", "", "BehaviorFailed: spec.commands[2].reject[2].when: division by zero"},
		{"a let that is not used is not evaluated", "Lazy", `{"divisor":0}`, "", "", "Zero: the command is refused: Zero"},
		{"lets use those before them", "Lazy", `{"divisor":1}`, `Added{"amount":1,"before":2}`, `{"seen":[0],"text":"","total":1}`, ""},
		{"an optional field of an event is absent", "Mark", `{}`, `Marked{}`, `{"seen":[],"text":"","total":0}`, ""},
		{"and present", "Mark", `{"at":0}`, `Marked{"at":0}`, `{"last":0,"seen":[],"text":"","total":0}`, ""},
		{"at most 1,000 events", "Add", `{"amounts":[` + strings.Repeat("1,", 1000) + `1]}`, "", "", "BehaviorFailed: the command leads to more than 1000 events"},
	} {
		state, events, err := do(t, a, a.Zero(), c.command, c.body)
		switch {
		case c.refused != "":
			if err == nil || err.Error() != c.refused {
				t.Errorf("%s: got %v, want %s", c.name, err, c.refused)
			}
		case err != nil:
			t.Errorf("%s: %v", c.name, err)
		default:
			if got := eventsText(events); got != c.events {
				t.Errorf("%s: events %s, want %s", c.name, got, c.events)
			}
			if got := state.String(); got != c.state {
				t.Errorf("%s: state %s, want %s", c.name, got, c.state)
			}
		}
	}
	if _, _, err := do(t, a, a.Zero(), "Add", `{"amounts":[`+strings.Repeat("1,", 1000)+`1]}`); refusalOf(err).Limit != OverEvents {
		t.Errorf("more than 1,000 events: the limit is %q, want %s", refusalOf(err).Limit, OverEvents)
	}
	if _, events, err := do(t, a, a.Zero(), "Add", `{"amounts":[`+strings.Repeat("1,", 998)+`1]}`); err != nil || len(events) != 1000 {
		t.Errorf("1,000 events: got %d, %v", len(events), err)
	}
}

func TestALetIsEvaluatedOnce(t *testing.T) {
	a := tallier(t)
	c, err := a.Parse("Lazy", []byte(`{"divisor":1}`))
	if err != nil {
		t.Fatal(err)
	}
	s := newScope(true)
	defer s.release()
	s.state, s.command = a.Zero(), c.Fields
	s.useLets(c.def.let)
	first, _ := s.ResolveName("worse")
	spent := s.spent
	second, _ := s.ResolveName("worse")
	if first != second || s.spent != spent || spent == 0 {
		t.Errorf("the second use cost %d more and gave %v after %v", s.spent-spent, second, first)
	}
}

func TestAnAbsentOptionalIsClearedAgain(t *testing.T) {
	a := tallier(t)
	state, _, err := do(t, a, a.Zero(), "Mark", `{"at":3}`)
	if err != nil {
		t.Fatal(err)
	}
	if v, present := state.Lookup("last"); !present || v.Value() != int64(3) {
		t.Fatalf("last is %v, %v", v, present)
	}
	state, _, err = do(t, a, state, "Mark", `{}`)
	if err != nil {
		t.Fatal(err)
	}
	if v, present := state.Lookup("last"); present || v.Value() != int64(0) {
		t.Errorf("last is %v, %v; want absent, reading as zero", v, present)
	}
}

// refusalOf gives the Refusal that an error is; one that says nothing when it
// is none.
func refusalOf(err error) *Refusal {
	var r *Refusal
	if !errors.As(err, &r) {
		return &Refusal{Detail: fmt.Sprint(err)}
	}
	return r
}

func reasonOf(err error) string { return refusalOf(err).Reason }

func TestLimitsHoldForCommandsAndNotForReplay(t *testing.T) {
	a := tallier(t)
	type outcome struct {
		tried, evolved error
		size           int // of what was evolved
	}
	try := func(text string, times int) (o outcome) {
		data, err := a.DecodeEvent("Noted", fmt.Appendf(nil, `{"text":%q,"times":%d}`, text, times))
		if err != nil {
			t.Fatal(err)
		}
		e := Event{Type: "Noted", Data: data}
		_, o.tried = a.Try(a.Zero(), e, metaAt(1))
		next, err := a.Evolve(a.Zero(), e, metaAt(1))
		if err == nil {
			o.size = encodedSize(next)
		}
		o.evolved = err
		return o
	}
	const around = len(`{"seen":[],"text":"","total":0}`)
	if o := try(strings.Repeat("x", 1024), 1023); o.tried != nil || o.evolved != nil {
		t.Errorf("a state of %d bytes: Try %v, Evolve %v", o.size, o.tried, o.evolved)
	}
	exact := strings.Repeat("x", MaxStateSize-around)
	if o := try(exact, 1); o.tried != nil || o.size != MaxStateSize {
		t.Errorf("a state of exactly %d bytes: %v", o.size, o.tried)
	}
	if o := try(exact+"x", 1); reasonOf(o.tried) != StateTooLarge || o.evolved != nil {
		t.Errorf("a state of one byte too much: Try %v, Evolve %v", o.tried, o.evolved)
	} else if by := refusalOf(o.tried).Limit; by != OverState {
		t.Errorf("a state of one byte too much: the limit is %q, want %s", by, OverState)
	}
	if o := try(strings.Repeat("x", 100), 300_000); reasonOf(o.tried) != BehaviorFailed || o.evolved != nil {
		t.Errorf("an event that costs too much: Try %v, Evolve %v", o.tried, o.evolved)
	}
}

// TestCostIsBounded runs definitions that would take for ever, or all memory.
func TestCostIsBounded(t *testing.T) {
	double := func(first, step string) []string {
		lets := `{name: a0, value: "` + first + `"}`
		for i := 1; i < 63; i++ {
			lets += fmt.Sprintf(`, {name: a%d, value: "%s"}`, i, strings.ReplaceAll(step, "a", fmt.Sprintf("a%d", i-1)))
		}
		return append(inCommand("  let: ["+lets+"]"), emit(`  - {event: Done, set: {num: "size(a62)"}}`)...)
	}
	cube := "state.l.all(x, state.l.all(y, state.l.all(z, state.l.all(w, x + y + z + w > 0))))"
	for _, c := range []struct {
		name string
		edit []string
	}{
		{"doubling a string", double("state.s + 'x'", "a + a")},
		{"doubling a list", double("state.l + [1]", "a + a")},
		{"doubling a list that a macro made", double("state.l.map(x, x)", "a + a")},
		{"nested loops", emit(`  - {event: Done, when: "` + cube + `", set: {num: "1"}}`)},
		{"nested loops under ||", emit(`  - {event: Done, when: "` + cube + ` || true", set: {num: "1"}}`)},
		{"a costly let under ||", append(inCommand(`  let: [{name: a, value: "`+cube+`"}]`), emit(`  - {event: Done, when: "a || true", set: {num: "1"}}`)...)},
		{"appending to the same list again and again", emit(`  - {event: Done, set: {num: "state.l.map(x, state.l.append(x).append(x)).map(l, l.sum()).sum()"}}`)},
		{"forEach over much", emit(`  - {event: Done, forEach: {in: "state.l", as: x}, when: "` + strings.ReplaceAll(cube, "state.l.all(w, x + y + z + w > 0)", "y + z > 0") + `", set: {num: "1"}}`)},
		{"events of many bytes", emit(`  - {event: Done, forEach: {in: "lists.range(900)", as: x}, set: {num: "1", extra: "state.s"}}`)},
	} {
		a := compile(t, "wide", edit(t, c.edit...))
		list := strings.TrimSuffix(strings.Repeat("1,", 4000), ",")
		state, err := a.DecodeState([]byte(`{"l":[` + list + `],"s":"` + strings.Repeat("x", 20000) + `"}`))
		if err != nil {
			t.Fatal(err)
		}
		cmd, err := a.Parse("Do", []byte(`{"num":1}`))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Decide(state, cmd, metaAt(1)); reasonOf(err) != BehaviorFailed || !strings.Contains(err.Error(), "cost more") {
			t.Errorf("%s: got %v, want a failure for its cost", c.name, err)
		} else if by := refusalOf(err).Limit; by != OverCost {
			t.Errorf("%s: the limit is %q, want %s", c.name, by, OverCost)
		}
	}
}

// TestADefinitionTakesOverWhatIsInMemory: one that folds alike may list its
// fields in another order.
func TestADefinitionTakesOverWhatIsInMemory(t *testing.T) {
	old := tallier(t)
	state, events, err := do(t, old, old.Zero(), "Add", `{"amounts":[5,6]}`)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := old.Parse("Note", []byte(`{"text":"x","times":2}`))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(tally, "- {name: total, type: int}\n- {name: seen, type: list<int>}\n", "- {name: seen, type: list<int>}\n- {name: total, type: int}\n", 1)
	text = strings.Replace(text, "{name: amount, type: int}, {name: before, type: int}]\n  apply", "{name: before, type: int}, {name: amount, type: int}]\n  apply", 1)
	text = strings.Replace(text, "{name: text, type: string}, {name: times, type: int}]\n  emit", "{name: times, type: int}, {name: text, type: string}]\n  emit", 1)
	next := compile(t, "tally", parse[v1alpha1.AggregateSpec](t, text))
	if next.Fingerprint() != old.Fingerprint() || text == tally {
		t.Fatal("the definitions are not to be told apart by what they fold into")
	}
	folded, err := next.Evolve(state, events[0], metaAt(3))
	if err != nil || folded.String() != `{"seen":[0,5,11],"text":"","total":16}` {
		t.Errorf("folded %v, %v", folded, err)
	}
	decided, err := next.Decide(state, parsed, metaAt(3))
	if err != nil || eventsText(decided) != `Noted{"text":"x","times":2}` {
		t.Errorf("decided %s, %v", eventsText(decided), err)
	}
	gone := compile(t, "tally", parse[v1alpha1.AggregateSpec](t, strings.Replace(text, "- name: Note\n", "- name: Gone\n", 1)))
	if _, err := gone.Decide(state, parsed, metaAt(3)); reasonOf(err) != UnknownName {
		t.Errorf("a command that is gone: %v", err)
	}
}

func TestOneAggregateServesManyAtOnce(t *testing.T) {
	a := tallier(t)
	state, _, err := do(t, a, a.Zero(), "Add", `{"amounts":[1,2,3]}`)
	if err != nil {
		t.Fatal(err)
	}
	want := state.String()
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for i := range 50 {
				next, events, err := do(t, a, state, "Add", fmt.Sprintf(`{"amounts":[%d,%d]}`, worker+1, i+1))
				if err != nil || len(events) != 2 {
					t.Errorf("%v, %v", events, err)
					return
				}
				if got := fmt.Sprintf(`{"seen":[0,1,3,6,%d],"text":"","total":%d}`, 6+worker+1, 8+worker+i); next.String() != got {
					t.Errorf("got %s, want %s", next, got)
				}
			}
		})
	}
	group.Wait()
	if got := state.String(); got != want {
		t.Errorf("the shared state changed from %s to %s", want, got)
	}
}
