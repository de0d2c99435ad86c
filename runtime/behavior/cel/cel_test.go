package cel

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/leftfold/leftfold/api/language"
	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/runtime/behavior"
	"github.com/leftfold/leftfold/runtime/problem"
)

// bank is the account of the contract.
func bank(t testing.TB) *Behavior {
	t.Helper()
	data, err := os.ReadFile("../../../api/language/testdata/bank.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var a v1alpha1.Aggregate
	if err := yaml.UnmarshalStrict(data, &a); err != nil {
		t.Fatal(err)
	}
	compiled, problems := language.Compile(a.Name, &a.Spec)
	if len(problems) > 0 {
		t.Fatalf("the bank has problems: %v", problems)
	}
	return New(compiled)
}

var testMeta = behavior.Meta{
	Aggregate: "account", Entity: "a-1", Version: 1, CommandID: "c-1",
	Time: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC),
}

// handle sends one command and folds what it leads to.
func handle(t testing.TB, b *Behavior, s behavior.State, command, body string) (behavior.State, []behavior.Event, error) {
	t.Helper()
	c, err := b.Parse(command, []byte(body))
	if err != nil {
		return s, nil, err
	}
	events, err := b.Decide(s, c, testMeta)
	if err != nil {
		return s, nil, err
	}
	for _, e := range events {
		if s, err = b.Try(s, e, testMeta); err != nil {
			return nil, nil, err
		}
	}
	return s, events, nil
}

func TestBankWorksEndToEnd(t *testing.T) {
	b := bank(t)
	s := b.Zero()
	for _, step := range []struct{ command, body, events, state, refused string }{
		{"Deposit", `{"amount":1}`, "", `{"balance":0,"limits":{},"owner":"","status":""}`, "NotOpen: the command is refused: NotOpen"},
		{"Open", `{"owner":""}`, "", "", "CheckFailed: owner: does not pass the check size(self) > 0"},
		{"Open", `{"owner":"ada"}`, `Opened{"owner":"ada"}`, `{"balance":0,"limits":{},"owner":"ada","status":"open"}`, ""},
		{"Open", `{"owner":"ada"}`, "", "", "AlreadyOpen: the command is refused: AlreadyOpen"},
		{"Deposit", `{"amount":0}`, "", "", "CheckFailed: amount: does not pass the check self > 0"},
		{"Deposit", `{"amount":"1000"}`, `Deposited{"amount":1000}`, `{"balance":1000,"limits":{},"owner":"ada","status":"open"}`, ""},
		{"SetLimits", `{"limits":{"web":{"single":500},"atm":{"single":-1}}}`, "", "", `CheckFailed: limits["atm"].single: does not pass the check self >= 0`},
		{"SetLimits", `{"limits":{"web":{"single":500},"atm":{"single":200}}}`,
			`LimitSet{"channel":"atm","limit":{"single":200}} LimitSet{"channel":"web","limit":{"single":500}}`,
			`{"balance":1000,"limits":{"atm":{"single":200},"web":{"single":500}},"owner":"ada","status":"open"}`, ""},
		{"Withdraw", `{"amount":201}`, "", "", "OverLimit: the command is refused: OverLimit"},
		{"Withdraw", `{"amount":200}`, `Withdrawn{"amount":200,"fee":100}`, `{"balance":700,"limits":{"atm":{"single":200},"web":{"single":500}},"owner":"ada","status":"open"}`, ""},
		{"Withdraw", `{"amount":701,"channel":"desk"}`, "", "", "InsufficientFunds: balance 700, needed 701"},
		{"Withdraw", `{"amount":700,"channel":"desk"}`, `Withdrawn{"amount":700,"fee":0}`, `{"balance":0,"limits":{"atm":{"single":200},"web":{"single":500}},"owner":"ada","status":"open"}`, ""},
	} {
		next, events, err := handle(t, b, s, step.command, step.body)
		if err != nil {
			if err.Error() != step.refused {
				t.Errorf("%s %s: refused with %q, want %q", step.command, step.body, err, step.refused)
			}
		} else {
			if step.refused != "" {
				t.Errorf("%s %s: went through, want %q", step.command, step.body, step.refused)
			}
			if got := describe(events); got != step.events {
				t.Errorf("%s %s: events %s, want %s", step.command, step.body, got, step.events)
			}
			s = next
		}
		if step.state != "" {
			if got := encode(t, b, s); got != step.state {
				t.Errorf("%s %s: state %s, want %s", step.command, step.body, got, step.state)
			}
		}
	}
}

func describe(events []behavior.Event) string {
	out := ""
	for i, e := range events {
		if i > 0 {
			out += " "
		}
		out += e.Type + string(e.Data)
	}
	return out
}

func encode(t testing.TB, b *Behavior, s behavior.State) string {
	t.Helper()
	data, err := b.EncodeState(s)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(data) {
		t.Fatalf("the state is no JSON: %s", data)
	}
	return string(data)
}

func TestRefusalsBecomeProblems(t *testing.T) {
	b := bank(t)
	for _, c := range []struct {
		command, body string
		want          problem.Problem
	}{
		{"Deposit", `{"amount":1.5}`, problem.Problem{Reason: problem.WrongType, Field: "amount"}},
		{"Deposit", `{}`, problem.Problem{Reason: problem.MissingField, Field: "amount"}},
		{"Deposit", `{"amount":1,"x":1}`, problem.Problem{Reason: problem.UnknownField, Field: "x"}},
		{"Deposit", `{"amount":0}`, problem.Problem{Reason: problem.CheckFailed, Field: "amount"}},
		{"Deposit", `{`, problem.Problem{Reason: problem.MalformedBody}},
		{"Depose", `{}`, problem.Problem{Reason: problem.UnknownName}},
		{"Deposit", `{"amount":1}`, problem.Problem{Reason: "NotOpen", Rejected: true}},
	} {
		_, _, err := handle(t, b, b.Zero(), c.command, c.body)
		var got *problem.Problem
		if !errors.As(err, &got) || got.Reason != c.want.Reason || got.Field != c.want.Field || got.Rejected != c.want.Rejected {
			t.Errorf("%s %s: got %#v, want %#v", c.command, c.body, err, c.want)
		}
	}
}

func TestAnEventOverflowsTheStateAndIsNotWritten(t *testing.T) {
	b := bank(t)
	s, _, err := handle(t, b, b.Zero(), "Open", `{"owner":"ada"}`)
	if err != nil {
		t.Fatal(err)
	}
	if s, _, err = handle(t, b, s, "Deposit", `{"amount":"9223372036854775807"}`); err != nil {
		t.Fatal(err)
	}
	_, _, err = handle(t, b, s, "Deposit", `{"amount":1}`)
	if !problem.Is(err, problem.BehaviorFailed) || !strings.Contains(err.Error(), "spec.events[2].apply.balance") {
		t.Errorf("got %v, want BehaviorFailed that names the expression", err)
	}
}

// TestTheLanguagesLimitsAreThoseOfProblems: they are counted under these names.
func TestTheLanguagesLimitsAreThoseOfProblems(t *testing.T) {
	for name, limit := range map[string]problem.Limit{
		language.OverCost: problem.LimitExpressionCost, language.OverEvents: problem.LimitEvents, language.OverState: problem.LimitState,
	} {
		got := refused(&language.Refusal{Reason: language.BehaviorFailed, Limit: name})
		if problem.From(got).Limit != limit {
			t.Errorf("%s became %q, want %s", name, problem.From(got).Limit, limit)
		}
	}
}

// TestStoredDataThatDoesNotFit: nobody sent it, so no reason may blame a body.
func TestStoredDataThatDoesNotFit(t *testing.T) {
	b := bank(t)
	for _, e := range []behavior.Event{
		{Type: "Deposited", Data: json.RawMessage(`{"amount":"x"}`)},
		{Type: "Deposited", Data: json.RawMessage(`{"gone":1}`)},
		{Type: "Gone", Data: json.RawMessage(`{}`)},
	} {
		if _, err := b.Evolve(b.Zero(), e, testMeta); !problem.Is(err, problem.BehaviorFailed) {
			t.Errorf("%s %s: got %v, want BehaviorFailed", e.Type, e.Data, err)
		}
	}
	if _, err := b.DecodeState([]byte(`{"balance":"x"}`)); !problem.Is(err, problem.BehaviorFailed) {
		t.Errorf("a state: got %v, want BehaviorFailed", err)
	}
	if _, err := b.Evolve("another's", behavior.Event{Type: "Deposited"}, testMeta); !problem.Is(err, problem.BehaviorFailed) {
		t.Errorf("a foreign state: got %v, want BehaviorFailed", err)
	}
}

func TestStateReadsBack(t *testing.T) {
	b := bank(t)
	s, _, err := handle(t, b, b.Zero(), "Open", `{"owner":"ada"}`)
	if err != nil {
		t.Fatal(err)
	}
	again, err := b.DecodeState([]byte(encode(t, b, s)))
	if err != nil || encode(t, b, again) != encode(t, b, s) {
		t.Errorf("%s became %v, %v", encode(t, b, s), again, err)
	}
	if b.Size(s) <= len(encode(t, b, s)) {
		t.Errorf("a state of %d bytes of JSON is said to keep %d bytes of memory", len(encode(t, b, s)), b.Size(s))
	}
}

// TestTheTheatreTakesAFullHouse: the largest command that the seats sample
// allows stays under the cost limit.
func TestTheTheatreTakesAFullHouse(t *testing.T) {
	data, err := os.ReadFile("../../../config/samples/seats/show.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var a v1alpha1.Aggregate
	if err := yaml.UnmarshalStrict(data, &a); err != nil {
		t.Fatal(err)
	}
	compiled, problems := language.Compile(a.Name, &a.Spec)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	show := New(compiled)
	seats := make([]string, 500)
	for i := range seats {
		seats[i] = "row " + string(rune('A'+i/25)) + " seat " + string(rune('a'+i%25))
	}
	body, err := json.Marshal(map[string]any{"title": "Faust", "seats": seats})
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := handle(t, show, show.Zero(), "Schedule", string(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(seats); i += 20 {
		body, err := json.Marshal(map[string]any{"guest": "ada", "seats": seats[i : i+20]})
		if err != nil {
			t.Fatal(err)
		}
		if s, _, err = handle(t, show, s, "Reserve", string(body)); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err = handle(t, show, s, "Reserve", `{"guest":"bob","seats":["row A seat a"]}`); err == nil || err.Error() != "SeatTaken: already taken: row A seat a" {
		t.Errorf("a seat was given twice: %v", err)
	}
	_, events, err := handle(t, show, s, "Cancel", `{"guest":"ada"}`)
	if err != nil || len(events) != 500 {
		t.Errorf("%d seats released, %v", len(events), err)
	}
}
