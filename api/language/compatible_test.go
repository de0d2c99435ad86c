package language

import (
	"strings"
	"testing"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

func TestHistoryNeedsWhatStoredEventsUse(t *testing.T) {
	old := parse[v1alpha1.AggregateSpec](t, orders)
	for _, c := range []struct{ name, old, new, path, says string }{
		{"nothing changed", "", "", "", ""},
		{"what events do may change", `{items: "event.items"}`, `{items: "state.items + event.items"}`, "", ""},
		{"a field may be added", "price, type: int}", "price, type: int}, {name: size, type: int}", "", ""},
		{"a field may become optional", "price, type: int}", "price, type: int, optional: true}", "", ""},
		{"an event that is not stored may go", "- name: Cancelled", "- name: Gone", "", ""},
		{"an event may be declared elsewhere in the list", "events:\n", "events:\n- name: First\n", "", ""},
		{"the state may change", "state: [{name: items, type: list<Item>}]", "state: [{name: count, type: int}]", "", ""},
		{"an event is removed or renamed", "- name: Ordered", "- name: Bought", "spec.events", "event Ordered is stored, so it cannot be removed or renamed; keep event Ordered"},
		{"an event's field is renamed", "  fields: [{name: items, type: list<Item>}]\n  apply", "  fields: [{name: lines, type: list<Item>}]\n  apply", "spec.events[0].fields", "stored events of type Ordered have field items of event Ordered"},
		{"an event's field is retyped", "  fields: [{name: items, type: list<Item>}]\n  apply", "  fields: [{name: items, type: map<Item>}]\n  apply", "spec.events[0].fields[0].type", "as list<Item>, so it cannot become map<Item>"},
		{"a named type's field is renamed", "name: price", "name: cost", "spec.types[0].fields", "have field price of type Item"},
		{"a named type's field is retyped", "price, type: int", "price, type: double", "spec.types[0].fields[1].type", "cannot become double"},
		{"a named type is removed", "- name: Item", "- name: Line", "spec.types", "contain type Item"},
	} {
		text := orders
		if c.old != "" {
			if strings.Count(orders, c.old) != 1 {
				t.Fatalf("%s: %q is not once in the definition", c.name, c.old)
			}
			text = strings.Replace(orders, c.old, c.new, 1)
		}
		problems := Compatible(old, parse[v1alpha1.AggregateSpec](t, text), []string{"Ordered"})
		if c.path == "" {
			if len(problems) > 0 {
				t.Errorf("%s: %v", c.name, problems)
			}
			continue
		}
		if len(problems) != 1 {
			t.Errorf("%s: %d problems, want 1", c.name, len(problems))
		}
		wantProblem(t, problems, false, c.path, c.says)
	}
}

func TestFingerprintCoversWhatFoldingDependsOn(t *testing.T) {
	of := func(text string) [32]byte {
		return compile(t, "wide", parse[v1alpha1.AggregateSpec](t, text)).Fingerprint()
	}
	base := of(wide)
	for _, c := range []struct {
		name, old, new string
		same           bool
	}{
		{"a check", typeLine, `  - {name: single, type: int, check: "self > 0"}`, true},
		{"a command", "- name: Do\n", "- name: Other\n", true},
		{"a default", `default: "[]"`, `default: "['a']"`, true},
		{"the order of fields", "- {name: f, type: bool}\n- {name: b, type: bytes}", "- {name: b, type: bytes}\n- {name: f, type: bool}", true},
		{"the order of what apply sets", "    d: \"state.d\"\n    f: \"state.f\"", "    f: \"state.f\"\n    d: \"state.d\"", true},
		{"the order of events", "events:\n", "events:\n- name: Another\n", false},
		{"an expression of apply", applyN, `num: "event.num + 0"`, false},
		{"a type of the state", "- {name: d, type: double}", "- {name: d, type: double, optional: true}", false},
		{"a named type", typeLine, "  - {name: single, type: int, optional: true}", false},
		{"an event's field", "{name: extra, type: string, optional: true}", "{name: extra, type: string, optional: true}\n  - {name: more, type: string, optional: true}", false},
	} {
		if strings.Count(wide, c.old) != 1 {
			t.Fatalf("%s: %q is not once in the definition", c.name, c.old)
		}
		if got := of(strings.Replace(wide, c.old, c.new, 1)) == base; got != c.same {
			t.Errorf("%s: the same %v, want %v", c.name, got, c.same)
		}
	}
}
