package language

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

const orders = `
types:
- name: Item
  fields: [{name: article, type: string}, {name: price, type: int}]
state: [{name: items, type: list<Item>}]
commands:
- name: Order
  fields: [{name: items, type: list<Item>}]
  emit: [{event: Ordered, set: {items: "command.items"}}]
- name: Cancel
  emit: [{event: Cancelled}]
events:
- name: Ordered
  fields: [{name: items, type: list<Item>}]
  apply: {items: "event.items"}
- name: Cancelled
`

const returns = `
types:
- name: Item
  fields: [{name: price, type: int}, {name: article, type: string}]
commands:
- {name: Return, fields: [{name: item, type: Item}], emit: [{event: Returned, set: {item: "command.item"}}]}
- {name: Cancel, emit: [{event: Cancelled}]}
events:
- {name: Returned, fields: [{name: item, type: Item}]}
- {name: Cancelled}
`

const articles = `
sources:
- {aggregate: order}
- {aggregate: refund, events: [Returned]}
table:
  key: {name: article, type: string, value: "meta.entity"}
  columns:
  - {name: sold, type: int, indexed: true}
  - {name: last, type: Item, optional: true}
  - {name: prices, type: "list<Item>"}
  apply:
  - event: Ordered
    forEach: {in: "event.items", as: item}
    key: "item.article"
    when: "item.price > 0"
    set: {sold: "row.sold + 1", last: "item", prices: "row.prices.append(item)"}
  - event: Returned
    key: "event.item.article"
    set: {sold: "row.sold - 1", last: "event.item", prices: "row.prices + [event.item]"}
  - {event: Returned, key: "event.item.article", when: "row.sold == 0", delete: true}
`

func projectionSources(t testing.TB) map[string]*Aggregate {
	t.Helper()
	return map[string]*Aggregate{
		"order":  compile(t, "order", parse[v1alpha1.AggregateSpec](t, orders)),
		"refund": compile(t, "refund", parse[v1alpha1.AggregateSpec](t, returns)),
	}
}

func project(t testing.TB, text string) (*Projection, []Problem) {
	t.Helper()
	return CompileProjection("articles", parse[v1alpha1.ProjectionSpec](t, text), projectionSources(t))
}

func TestRulesAreCarriedOutInOrder(t *testing.T) {
	p, problems := project(t, articles)
	if p == nil || len(problems) > 0 {
		t.Fatal(problems)
	}
	if p.EntityKeyed() || !p.Wants("order", "Ordered") || p.Wants("order", "Cancelled") || p.Wants("refund", "Cancelled") {
		t.Error("what the projection wants is wrong")
	}
	rows, deleted := map[string]*Record{}, 0
	feed := func(aggregate, event, data string) {
		t.Helper()
		r, err := p.DecodeEvent(aggregate, event, []byte(data))
		if err != nil {
			t.Fatal(err)
		}
		touches, err := p.Keys(aggregate, Event{Type: event, Data: r}, metaAt(1))
		if err != nil {
			t.Fatal(err)
		}
		for _, touch := range touches {
			key := string(touch.Key.(types.String))
			row, exists := rows[key]
			change, err := p.Apply(touch, row, exists)
			switch {
			case err != nil:
				t.Fatal(err)
			case change.Delete:
				deleted++
				delete(rows, key)
			case change.Changed:
				rows[key] = change.Row
			}
		}
	}
	feed("order", "Ordered", `{"items":[{"article":"a","price":1},{"article":"b","price":0},{"article":"a","price":3}]}`)
	if got, want := rows["a"].String(), `{"last":{"article":"a","price":3},"prices":[{"article":"a","price":1},{"article":"a","price":3}],"sold":2}`; got != want {
		t.Errorf("a is %s, want %s", got, want)
	}
	if len(rows) != 1 {
		t.Errorf("%d rows, want 1: an item without a price is not counted", len(rows))
	}
	feed("refund", "Returned", `{"item":{"article":"a","price":3}}`)
	if got := rows["a"].String(); !strings.Contains(got, `"sold":1`) || strings.Count(got, `"price":3`) != 3 {
		t.Errorf("a is %s", got)
	}
	feed("refund", "Returned", `{"item":{"article":"a","price":1}}`)
	if len(rows) != 0 || deleted != 1 {
		t.Errorf("%d rows, %d deleted: the row that came to 0 is to go", len(rows), deleted)
	}
	if _, err := p.DecodeEvent("order", "Cancelled", []byte(`{}`)); err == nil {
		t.Error("an event that is not wanted was decoded")
	}
}

func TestRowsAreMadeOfColumns(t *testing.T) {
	p, problems := project(t, articles)
	if p == nil {
		t.Fatal(problems)
	}
	if p.Name() != "articles" || len(p.Sources()) != 2 || p.Key().Name != "article" || len(p.Columns()) != 3 || !p.Columns()[0].Indexed {
		t.Errorf("the projection describes itself as %s, %v, %v, %v", p.Name(), p.Sources(), p.Key(), p.Columns())
	}
	row, err := NewRecord(p.Row(), []ref.Val{types.Int(3), nil, nil})
	if err != nil || row.String() != `{"prices":[],"sold":3}` {
		t.Errorf("got %v, %v", row, err)
	}
	if _, err := NewRecord(p.Row(), []ref.Val{types.String("x"), nil, nil}); err == nil || err.Error() != "field sold: is string, needs int" {
		t.Errorf("a column of the wrong type: %v", err)
	}
	if _, err := NewRecord(p.Row(), nil); err == nil {
		t.Error("a row without columns was made")
	}
}

func TestAFailingRuleChangesNothing(t *testing.T) {
	p, problems := project(t, strings.Replace(articles, `"row.sold - 1"`, `"row.sold / (event.item.price - 1)"`, 1))
	if p == nil {
		t.Fatal(problems)
	}
	r, err := p.DecodeEvent("refund", "Returned", []byte(`{"item":{"article":"a","price":1}}`))
	if err != nil {
		t.Fatal(err)
	}
	touches, err := p.Keys("refund", Event{Type: "Returned", Data: r}, metaAt(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Apply(touches[0], nil, false); err == nil || err.Error() != "BehaviorFailed: spec.table.apply[1].set.sold: division by zero" {
		t.Errorf("got %v", err)
	}
}

func TestProjectionProblems(t *testing.T) {
	for _, c := range []struct {
		old, new, path, says string
		warning              bool
	}{
		{"aggregate: order}", "aggregate: orders}", "spec.sources[0].aggregate", "there is no aggregate orders; did you mean order?", false},
		{"aggregate: refund", "aggregate: order", "spec.sources[1].aggregate", "aggregate order is a source twice", false},
		{"[Returned]", "[Return]", "spec.sources[1].events[0]", "aggregate refund has no event Return; did you mean Returned?", false},
		{"[Returned]", "[Returned, Cancelled]", "spec.sources[1].events[1]", "event Cancelled is read, but no rule applies it", true},
		{"- event: Ordered", "- event: Order", "spec.table.apply[0].event", "no source has an event Order that the projection reads; did you mean Ordered?", false},
		{"- event: Ordered", "- event: Ordered\n    aggregate: shop", "spec.table.apply[0].aggregate", "aggregate shop is no source", false},
		{"key: {name: article, type: string", "key: {name: article, type: double", "spec.table.key.type", `the key has the type "double"`, false},
		{`key: "item.article"`, `key: "item.price"`, "spec.table.apply[0].key", "is int, needs string", false},
		{`key: "item.article"`, `key: "row.last.article"`, "spec.table.apply[0].key", "row is not known here; in scope are event, meta, item", false},
		{"- {name: sold,", "- {name: Sold, type: int}\n  - {name: sold,", "spec.table.columns[0].name", `cannot have the name "Sold"`, false},
		{"- {name: last", "- {name: idle, type: int}\n  - {name: last", "spec.table.columns[1]", "no rule sets column idle", true},
		{"- {name: last", "- {name: soLd, type: int}\n  - {name: last", "spec.table.columns[1].name", "columns sold and soLd differ only in case", false},
		{"- {name: last", "- {name: articLe, type: int}\n  - {name: last", "spec.table.columns[1].name", "has the name of the key", false},
		{"type: Item, optional", "type: Itm, optional", "spec.table.columns[1].type", "Itm, which is not declared; did you mean Item?", false},
		{`"row.sold + 1"`, `"row.sold + '1'"`, "spec.table.apply[0].set.sold", "+ cannot be applied to (int, string)", false},
		{"set: {sold: \"row.sold + 1\"", "set: {count: \"1\", sold: \"row.sold + 1\"", "spec.table.apply[0].set.count", "the table has no field count", false},
		{"delete: true}", "delete: false}", "spec.table.apply[2]", "the rule does nothing; add set, or delete: true", false},
		{"delete: true}", `delete: true, set: {sold: "1"}}`, "spec.table.apply[2]", "both sets columns and deletes the row", false},
		{"as: item}", "as: row}", "spec.table.apply[0].forEach.as", "would hide another row", false},
		{`"event.items"`, `"row.prices"`, "spec.table.apply[0].forEach.in", "row is not known here", false},
		{`when: "item.price > 0"`, `when: "command.x"`, "spec.table.apply[0].when", "command is not known here", false},
	} {
		if !strings.Contains(articles, c.old) {
			t.Fatalf("%q is not in the definition", c.old)
		}
		p, problems := project(t, strings.Replace(articles, c.old, c.new, 1))
		if (p == nil) == c.warning {
			t.Errorf("%q: compiled %v", c.new, p != nil)
		}
		wantProblem(t, problems, c.warning, c.path, c.says)
	}
}

func TestAnEventThatSourcesShareNeedsItsAggregate(t *testing.T) {
	text := `
sources: [{aggregate: order}, {aggregate: refund}]
table:
  key: {name: entity, type: string, value: "meta.entity"}
  columns: [{name: times, type: int}]
  apply:
  - {event: Cancelled, set: {times: "row.times + 1"}}
`
	p, problems := project(t, text)
	if p != nil {
		t.Error("accepted without the aggregate")
	}
	wantProblem(t, problems, false, "spec.table.apply[0].aggregate", "event Cancelled is in several sources; add aggregate: order or aggregate: refund")
	p, problems = project(t, strings.Replace(text, "event: Cancelled", "aggregate: refund, event: Cancelled", 1))
	if p == nil {
		t.Fatal(problems)
	}
	if p.Wants("order", "Cancelled") || !p.Wants("refund", "Cancelled") {
		t.Error("the rule is for another aggregate")
	}
	if p.EntityKeyed() {
		t.Error("two sources may have an entity of the same name")
	}
}

func TestTypesThatSourcesDeclareDifferentlyAreNoColumns(t *testing.T) {
	sources := projectionSources(t)
	sources["refund"] = compile(t, "refund", parse[v1alpha1.AggregateSpec](t, strings.Replace(returns, "{name: price, type: int}", "{name: price, type: double}", 1)))
	p, problems := CompileProjection("articles", parse[v1alpha1.ProjectionSpec](t, articles), sources)
	if p != nil {
		t.Error("accepted")
	}
	wantProblem(t, problems, false, "spec.table.columns[1].type", "the sources declare type Item differently")
	wantProblem(t, problems, false, "spec.table.columns[2].type", "the sources declare type Item differently")
}

func TestProjectionFingerprint(t *testing.T) {
	base, _ := project(t, articles)
	same := func(text string, sources map[string]*Aggregate) bool {
		t.Helper()
		p, problems := CompileProjection("other", parse[v1alpha1.ProjectionSpec](t, text), sources)
		if p == nil {
			t.Fatal(problems)
		}
		return p.Fingerprint() == base.Fingerprint()
	}
	if !same(strings.Replace(articles, "table:", "table:\n  name: renamed", 1), projectionSources(t)) {
		t.Error("the table's name changes the fingerprint")
	}
	if same(strings.Replace(articles, "row.sold + 1", "row.sold + 2", 1), projectionSources(t)) {
		t.Error("a rule does not change the fingerprint")
	}
	if same(strings.Replace(articles, "indexed: true", "indexed: false", 1), projectionSources(t)) {
		t.Error("an index does not change the fingerprint")
	}
	sources := projectionSources(t)
	sources["order"] = compile(t, "order", parse[v1alpha1.AggregateSpec](t, strings.Replace(orders, "{name: price, type: int}", "{name: price, type: int}, {name: size, type: int}", 1)))
	if _, problems := CompileProjection("articles", parse[v1alpha1.ProjectionSpec](t, articles), sources); !HasErrors(problems) {
		t.Error("the sources now declare Item differently, which is no problem")
	}
}

// TestSamplesCompile: what the repository shows to newcomers has no problems,
// not even warnings.
func TestSamplesCompile(t *testing.T) {
	files, err := filepath.Glob("../../config/samples/*/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	aggregates, projections := map[string]*Aggregate{}, 0
	for pass := range 2 {
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, doc := range strings.Split(string(data), "\n---\n") {
				switch {
				case pass == 0 && strings.Contains(doc, "kind: Aggregate"):
					a := parse[v1alpha1.Aggregate](t, doc)
					compiled, problems := Compile(a.Name, &a.Spec)
					if len(problems) > 0 {
						t.Errorf("%s: %v", file, problems)
					}
					aggregates[a.Name] = compiled
				case pass == 1 && strings.Contains(doc, "kind: Projection"):
					p := parse[v1alpha1.Projection](t, doc)
					if _, problems := CompileProjection(p.Name, &p.Spec, aggregates); len(problems) > 0 {
						t.Errorf("%s: %v", file, problems)
					}
					projections++
				}
			}
		}
	}
	if len(aggregates) < 3 || projections < 3 {
		t.Errorf("%d aggregates and %d projections found", len(aggregates), projections)
	}
}
