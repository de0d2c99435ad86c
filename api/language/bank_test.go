package language

import (
	"os"
	"slices"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// read reads a manifest of testdata.
func read[T any](t testing.TB, file string) *T {
	t.Helper()
	data, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return parse[T](t, string(data))
}

func parse[T any](t testing.TB, text string) *T {
	t.Helper()
	out := new(T)
	if err := yaml.UnmarshalStrict([]byte(text), out); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return out
}

// compile compiles a definition that has no problems.
func compile(t testing.TB, name string, spec *v1alpha1.AggregateSpec) *Aggregate {
	t.Helper()
	a, problems := Compile(name, spec)
	if HasErrors(problems) {
		t.Fatalf("unexpected problems: %v", problems)
	}
	return a
}

func bank(t testing.TB) *Aggregate {
	t.Helper()
	a := read[v1alpha1.Aggregate](t, "bank.yaml")
	return compile(t, a.Name, &a.Spec)
}

var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func metaAt(version int64) Meta {
	return Meta{Aggregate: "account", Entity: "a-1", Version: version, Time: noon, CommandID: "c-1"}
}

// do handles one command and folds its events.
func do(t testing.TB, a *Aggregate, state *Record, name, body string) (*Record, []Event, error) {
	t.Helper()
	c, err := a.Parse(name, []byte(body))
	if err != nil {
		return state, nil, err
	}
	events, err := a.Decide(state, c, metaAt(1))
	if err != nil {
		return state, nil, err
	}
	for _, e := range events {
		if state, err = a.Try(state, e, metaAt(1)); err != nil {
			return nil, nil, err
		}
	}
	return state, events, nil
}

func TestTheContractsDefinitionsHaveNoProblems(t *testing.T) {
	a := read[v1alpha1.Aggregate](t, "bank.yaml")
	account, problems := Compile(a.Name, &a.Spec)
	for _, p := range problems {
		t.Errorf("bank: %v", p)
	}
	p := read[v1alpha1.Projection](t, "balances.yaml")
	balances, problems := CompileProjection(p.Name, &p.Spec, map[string]*Aggregate{"account": account})
	for _, p := range problems {
		t.Errorf("balances: %v", p)
	}
	if !balances.EntityKeyed() {
		t.Error("balances: each account has its own row, but EntityKeyed is false")
	}
}

func TestADefinitionDescribesItself(t *testing.T) {
	a := bank(t)
	if a.Name() != "account" || !slices.Equal(a.Commands(), []string{"Open", "SetLimits", "Deposit", "Withdraw"}) ||
		!slices.Equal(a.Events(), []string{"Opened", "LimitSet", "Deposited", "Withdrawn"}) {
		t.Errorf("%s has %v and %v", a.Name(), a.Commands(), a.Events())
	}
	withdraw, ok := a.Command("Withdraw")
	if !ok || !withdraw.Fields[0].Required() || withdraw.Fields[1].Required() {
		t.Errorf("Withdraw takes %v: the amount is required, the channel has a default", withdraw)
	}
	set, ok := a.Event("LimitSet")
	if !ok || set.Fields[1].Type.Kind != RecordOf || set.Fields[1].Type.Record.Fields[0].Type.Name() != "int" {
		t.Errorf("LimitSet has %v", set)
	}
	if _, ok := a.Event("Gone"); ok {
		t.Error("an event that is not declared was found")
	}
	if limits, ok := a.State().Field("limits"); !ok || limits.Type.Name() != "map<Limit>" || limits.Type.Elem.Record.Name != "Limit" {
		t.Errorf("limits is %v", limits)
	}
}

func TestBalancesFollowTheBank(t *testing.T) {
	account := bank(t)
	p := read[v1alpha1.Projection](t, "balances.yaml")
	balances, problems := CompileProjection(p.Name, &p.Spec, map[string]*Aggregate{"account": account})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	rows := map[string]*Record{}
	state := account.Zero()
	for _, step := range [][2]string{
		{"Open", `{"owner":"ada"}`}, {"Deposit", `{"amount":900}`}, {"Withdraw", `{"amount":100}`},
		{"SetLimits", `{"limits":{"atm":{"single":1}}}`},
	} {
		var events []Event
		var err error
		if state, events, err = do(t, account, state, step[0], step[1]); err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			touches, err := balances.Keys("account", e, metaAt(1))
			if err != nil {
				t.Fatal(err)
			}
			for _, touch := range touches {
				key := string(AppendText(nil, touch.Key))
				row, exists := rows[key]
				change, err := balances.Apply(touch, row, exists)
				if err != nil {
					t.Fatal(err)
				}
				rows[key] = change.Row
			}
		}
	}
	if got, want := rows["a-1"].String(), `{"balance":700,"owner":"ada"}`; got != want || len(rows) != 1 {
		t.Errorf("rows %v, want one, of %s", rows, want)
	}
}
