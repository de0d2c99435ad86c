package table_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/projection"
	"github.com/leftfold/leftfold/runtime/projection/projectiontest"
	"github.com/leftfold/leftfold/runtime/projection/table"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// item has an event with a field of every type.
const item = `
runtimeRef: {name: test}
types:
- {name: Part, fields: [{name: z, type: int}, {name: a, type: string}]}
commands:
- name: Do
  fields: []
  emit:
  - {event: Written, set: {s: "''", i: "0", d: "0.0", b: "false", "y": "b''", t: "timestamp('2026-01-01T00:00:00Z')", u: "duration('0s')", p: "Part{}", l: "[]"}}
  - {event: Removed, set: {}}
  - {event: Flipped, set: {}}
state: []
events:
- name: Written
  fields:
  - {name: s, type: string}
  - {name: i, type: int}
  - {name: d, type: double}
  - {name: b, type: bool}
  - {name: "y", type: bytes}
  - {name: t, type: timestamp}
  - {name: u, type: duration}
  - {name: p, type: Part}
  - {name: l, type: list<double>}
  - {name: o, type: int, optional: true}
- {name: Removed, fields: []}
- {name: Flipped, fields: []}
`

// items has a column of every type. camelCase and words of SQL are names, too.
const items = `
sources: [{aggregate: item}]
table:
  key: {name: id, type: string, value: meta.entity}
  columns:
  - {name: select, type: string, indexed: true}
  - {name: wholeNumber, type: int, indexed: true}
  - {name: double, type: double, indexed: true}
  - {name: flag, type: bool}
  - {name: raw, type: bytes}
  - {name: time, type: timestamp, indexed: true}
  - {name: span, type: duration}
  - {name: part, type: Part}
  - {name: list, type: list<double>}
  - {name: maybe, type: int, optional: true, indexed: true}
  - {name: never, type: string, optional: true}
  apply:
  - event: Written
    set:
      select: event.s
      wholeNumber: event.i
      double: event.d
      flag: event.b
      raw: event.y
      time: event.t
      span: event.u
      part: event.p
      list: event.l
      maybe: event.?o
  - {event: Flipped, set: {flag: "!row.flag"}}
  - {event: Removed, delete: true}
`

type written struct {
	S string         `json:"s"`
	I any            `json:"i"`
	D float64        `json:"d"`
	B bool           `json:"b"`
	Y []byte         `json:"y"`
	T time.Time      `json:"t"`
	U string         `json:"u"`
	P map[string]any `json:"p"`
	L []float64      `json:"l"`
	O *int           `json:"o,omitempty"`
}

// sample is a row as the test knows it, by column.
type sample struct {
	key    string
	event  written
	values map[string]any
}

func samples() []sample {
	one, minus := 1, -1
	epoch := time.Unix(0, 0).UTC()
	all := []sample{
		{key: "a", event: written{S: "", I: 0, Y: []byte{}, T: epoch, U: "0s"}},
		{key: "b", event: written{S: "b", I: 1, D: 1.5, B: true, Y: []byte{0}, T: epoch.Add(time.Microsecond), U: "1.5s", O: &one}},
		{key: "A", event: written{S: "B", I: -1, D: -1.5, Y: []byte{0, 1}, T: time.Date(2026, 2, 28, 23, 59, 59, 999999000, time.UTC), U: "-90s", O: &minus}},
		{key: "é", event: written{S: "é", I: 1, D: 1e300, B: true, Y: []byte{255}, T: time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), U: "0.000000001s", O: &one}},
		{key: "z'\"; DROP", event: written{S: "'; DROP TABLE x --", I: "9007199254740993", D: 5e-324, Y: []byte("x"), T: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), U: "36000s"}},
		{key: "zz", event: written{S: "b", I: "-9223372036854775808", D: 0, B: true, Y: []byte("xy"), T: epoch, U: "0s"}},
	}
	for i := range all {
		e := &all[i].event
		e.P, e.L = map[string]any{"z": i, "a": "q"}, []float64{0.1, float64(i)}
		span, _ := time.ParseDuration(e.U)
		whole, ok := e.I.(int)
		n := int64(whole)
		if !ok {
			_, _ = fmt.Sscan(e.I.(string), &n)
		}
		all[i].values = map[string]any{"id": all[i].key, "select": e.S, "wholeNumber": n, "double": e.D,
			"flag": e.B, "raw": e.Y, "time": e.T, "span": span, "maybe": nil, "never": nil}
		if e.O != nil {
			all[i].values["maybe"] = int64(*e.O)
		}
	}
	return all
}

// filled gives a reader of a table that holds the samples.
func filled(t *testing.T, r *projectiontest.Rig) (*table.Reader, *projection.Manager, *projectiontest.Aggregate) {
	t.Helper()
	a := r.Aggregate("item", 2, item)
	m := r.Manager()
	a.Own(m)
	if err := m.Apply(t.Context(), []projection.Definition{r.Define("items", items)}); err != nil {
		t.Fatal(err)
	}
	for _, s := range samples() {
		a.Append(s.key, "Written", s.event)
	}
	if err := m.Wait(t.Context(), "items", a.Head(), patience); err != nil {
		t.Fatal(err)
	}
	return &table.Reader{DB: r.DB}, m, a
}

// compare orders two present values of one kind.
func compare(a, b any) int {
	switch x := a.(type) {
	case string:
		return strings.Compare(x, b.(string))
	case int64:
		return cmp.Compare(x, b.(int64))
	case float64:
		return cmp.Compare(x, b.(float64))
	case []byte:
		return bytes.Compare(x, b.([]byte))
	case time.Time:
		return x.Compare(b.(time.Time))
	case time.Duration:
		return cmp.Compare(x, b.(time.Duration))
	case bool:
		if x == b.(bool) {
			return 0
		} else if x {
			return 1
		}
		return -1
	}
	panic(fmt.Sprintf("%T", a))
}

// holds says whether a value satisfies a comparison; an absent one does not.
func holds(op table.Op, value any, with []any) bool {
	if value == nil {
		return false
	}
	c := compare(value, with[0])
	switch op {
	case table.Equal:
		return c == 0
	case table.NotEqual:
		return c != 0
	case table.Less:
		return c < 0
	case table.LessOrEqual:
		return c <= 0
	case table.Greater:
		return c > 0
	case table.GreaterOrEqual:
		return c >= 0
	}
	return slices.ContainsFunc(with, func(w any) bool { return compare(value, w) == 0 })
}

func keysOf(rows []table.Row) []string {
	keys := make([]string, len(rows))
	for i, row := range rows {
		_ = json.Unmarshal(row.Key, &keys[i])
	}
	return keys
}

var columns = []string{"id", "select", "wholeNumber", "double", "flag", "raw", "time", "span", "maybe"}

func TestEveryComparisonOfEveryType(t *testing.T) {
	projectiontest.Each(t, func(t *testing.T, r *projectiontest.Rig) {
		reader, _, _ := filled(t, r)
		all := samples()
		for _, column := range columns {
			for _, op := range []table.Op{table.Equal, table.NotEqual, table.Less, table.LessOrEqual, table.Greater, table.GreaterOrEqual, table.In} {
				for i, s := range all {
					if s.values[column] == nil {
						continue
					}
					with := []any{s.values[column]}
					if other := all[(i+1)%len(all)].values[column]; op == table.In && other != nil {
						with = append(with, other)
					}
					var want []string
					for _, x := range all {
						if holds(op, x.values[column], with) {
							want = append(want, x.key)
						}
					}
					slices.Sort(want)
					page, err := reader.Query(t.Context(), "items", table.Query{Filters: []table.Filter{{Column: column, Op: op, Values: with}}})
					if err != nil {
						t.Fatalf("%s[%s]=%v: %v", column, op, with, err)
					}
					if diff := gocmp.Diff(want, keysOf(page.Rows), gocmp.Transformer("", func(s []string) string { return fmt.Sprintf("%q", s) })); diff != "" {
						t.Errorf("%s[%s]=%v (-want +got):\n%s", column, op, with, diff)
					}
				}
			}
		}
	})
}

func TestFiltersAreJoinedByAnd(t *testing.T) {
	projectiontest.Each(t, func(t *testing.T, r *projectiontest.Rig) {
		reader, _, _ := filled(t, r)
		page, err := reader.Query(t.Context(), "items", table.Query{Filters: []table.Filter{
			{Column: "flag", Op: table.Equal, Values: []any{true}},
			{Column: "wholeNumber", Op: table.GreaterOrEqual, Values: []any{int64(1)}},
			{Column: "wholeNumber", Op: table.Less, Values: []any{int64(2)}},
			{Column: "id", Op: table.NotEqual, Values: []any{"b"}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		if got := keysOf(page.Rows); !slices.Equal(got, []string{"é"}) {
			t.Errorf("got %q, want é alone", got)
		}
	})
}

// sorted gives the samples' keys in an order; absent values are below all.
func sorted(order []table.Order) []string {
	all := samples()
	slices.SortFunc(all, func(a, b sample) int {
		for _, o := range order {
			x, y := a.values[o.Column], b.values[o.Column]
			c := 0
			switch {
			case x == nil && y == nil:
			case x == nil:
				c = -1
			case y == nil:
				c = 1
			default:
				c = compare(x, y)
			}
			if o.Descending {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return strings.Compare(a.key, b.key)
	})
	keys := make([]string, len(all))
	for i, s := range all {
		keys[i] = s.key
	}
	return keys
}

func TestOrderAndPagesForEveryColumnAndDirection(t *testing.T) {
	projectiontest.Each(t, func(t *testing.T, r *projectiontest.Rig) {
		reader, _, _ := filled(t, r)
		var orders [][]table.Order
		for _, a := range append(slices.Clone(columns), "never") {
			for _, down := range []bool{false, true} {
				orders = append(orders, []table.Order{{Column: a, Descending: down}},
					[]table.Order{{Column: "maybe", Descending: down}, {Column: "flag"}, {Column: "wholeNumber", Descending: !down}})
				if a != "flag" {
					orders = append(orders, []table.Order{{Column: "flag", Descending: down}, {Column: a}},
						[]table.Order{{Column: "flag", Descending: down}, {Column: a, Descending: true}})
				}
			}
		}
		for _, order := range append(orders, nil) {
			want := sorted(order)
			for limit := 1; limit <= len(want)+1; limit++ {
				var got []string
				for q := (table.Query{Order: order, Limit: limit}); ; {
					page, err := reader.Query(t.Context(), "items", q)
					if err != nil {
						t.Fatalf("order %v: %v", order, err)
					}
					got = append(got, keysOf(page.Rows)...)
					if len(page.Rows) > limit {
						t.Fatalf("order %v: a page of %d rows, limit %d", order, len(page.Rows), limit)
					}
					if q.Cursor = page.Next; q.Cursor == "" {
						break
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("order %v in pages of %d: got %q, want %q", order, limit, got, want)
				}
			}
		}
	})
}

func TestPagesStayRightWhileRowsComeAndGo(t *testing.T) {
	projectiontest.Each(t, func(t *testing.T, r *projectiontest.Rig) {
		reader, m, a := filled(t, r)
		first, err := reader.Query(t.Context(), "items", table.Query{Limit: 2}) // A, a
		if err != nil {
			t.Fatal(err)
		}
		a.Append("a", "Removed", struct{}{})                  // the cursor's own row goes
		a.Append("0", "Written", samples()[0].event)          // before the page
		last := a.Append("bb", "Written", samples()[0].event) // after it
		if err := m.Wait(t.Context(), "items", a.Head(), patience); err != nil {
			t.Fatal(err)
		}
		rest, err := reader.Query(t.Context(), "items", table.Query{Cursor: first.Next})
		if err != nil {
			t.Fatal(err)
		}
		if got := keysOf(rest.Rows); !slices.Equal(got, []string{"b", "bb", "z'\"; DROP", "zz", "é"}) {
			t.Errorf("the second page has %q", got)
		}
		if !rest.Position.Covers(last) {
			t.Errorf("its position %v is before that of a row in it, %v", rest.Position, last)
		}
	})
}

func TestRowsAreInTheLanguagesJSON(t *testing.T) {
	projectiontest.Each(t, func(t *testing.T, r *projectiontest.Rig) {
		reader, _, a := filled(t, r)
		for key, want := range map[string]string{
			"a": `{"double":0,"flag":false,"list":[0.1,0],"part":{"a":"q","z":0},"raw":"","select":"","span":"0s","time":"1970-01-01T00:00:00Z","wholeNumber":0}`,
			"A": `{"double":-1.5,"flag":false,"list":[0.1,2],"maybe":-1,"part":{"a":"q","z":2},"raw":"AAE=","select":"B","span":"-90s","time":"2026-02-28T23:59:59.999999Z","wholeNumber":-1}`,
			"z'\"; DROP": `{"double":5e-324,"flag":false,"list":[0.1,4],"part":{"a":"q","z":4},"raw":"eA==","select":"'; DROP TABLE x --","span":"36000s",` +
				`"time":"9999-12-31T23:59:59Z","wholeNumber":"9007199254740993"}`,
		} {
			row, position, ok, err := reader.Get(t.Context(), "items", key)
			if err != nil || !ok {
				t.Fatalf("get %q: %t, %v", key, ok, err)
			}
			if diff := gocmp.Diff(want, string(row.Row)); diff != "" {
				t.Errorf("row %q (-want +got):\n%s", key, diff)
			}
			head := a.Head()
			if !position.Covers(head) || !head.Covers(position) {
				t.Errorf("the position of %q is %v, want the head", key, position)
			}
		}
		if _, position, ok, err := reader.Get(t.Context(), "items", "nobody"); ok || err != nil || position.Len() == 0 {
			t.Errorf("a key without a row: %t, %v, %v; want none, and a position", ok, err, position)
		}
	})
}

func TestAQueryThatMakesNoSenseNamesWhatIsWrong(t *testing.T) {
	projectiontest.Each(t, func(t *testing.T, r *projectiontest.Rig) {
		reader, _, _ := filled(t, r)
		byTime, err := reader.Query(t.Context(), "items", table.Query{Limit: 1, Order: []table.Order{{Column: "time"}}})
		if err != nil {
			t.Fatal(err)
		}
		filter := func(column string, op table.Op, values ...any) table.Query {
			return table.Query{Filters: []table.Filter{{Column: column, Op: op, Values: values}}}
		}
		order := func(names ...string) (q table.Query) {
			for _, n := range names {
				q.Order = append(q.Order, table.Order{Column: n})
			}
			return q
		}
		for _, c := range []struct {
			name  string
			query table.Query
			field string
		}{
			{"an unknown column", filter("nope", table.Equal, "x"), "nope[eq]"},
			{"an unknown comparison", filter("select", "like", "x"), "select[like]"},
			{"a value of another type", filter("wholeNumber", table.Equal, "x"), "wholeNumber"},
			{"no value", filter("wholeNumber", table.In), "wholeNumber[in]"},
			{"two values for one comparison", filter("wholeNumber", table.Less, int64(1), int64(2)), "wholeNumber[lt]"},
			{"a record in a filter", filter("part", table.Equal, "x"), "part[eq]"},
			{"U+0000 in a string", filter("select", table.Equal, "\x00"), "select"},
			{"an unknown column to order by", order("nope"), "order"},
			{"a list to order by", order("list"), "order"},
			{"a column to order by twice", order("flag", "flag"), "order"},
			{"a limit of -1", table.Query{Limit: -1}, "limit"},
			{"a limit of 1001", table.Query{Limit: 1001}, "limit"},
			{"a cursor that is none", table.Query{Cursor: "???"}, "cursor"},
			{"a cursor of another order", table.Query{Cursor: byTime.Next}, "cursor"},
			{"a cursor of the other direction", table.Query{Cursor: byTime.Next, Order: []table.Order{{Column: "time", Descending: true}}}, "cursor"},
			{"a cursor of another filter", table.Query{Cursor: byTime.Next, Order: []table.Order{{Column: "time"}},
				Filters: []table.Filter{{Column: "flag", Op: table.Equal, Values: []any{true}}}}, "cursor"},
			{"a cursor cut off", table.Query{Cursor: byTime.Next[:len(byTime.Next)-4], Order: []table.Order{{Column: "time"}}}, "cursor"},
		} {
			_, err := reader.Query(t.Context(), "items", c.query)
			if p := problem.From(err); err == nil || p.Reason != problem.InvalidParameter || p.Field != c.field {
				t.Errorf("%s: %v, want InvalidParameter of %s", c.name, err, c.field)
			}
		}
		if _, err := reader.Query(t.Context(), "nope", table.Query{}); !problem.Is(err, problem.UnknownName) {
			t.Errorf("an unknown projection: %v", err)
		}
		if _, _, _, err := reader.Get(t.Context(), "items", int64(1)); !problem.Is(err, problem.InvalidParameter) {
			t.Errorf("a key of another type: %v", err)
		}
	})
}

// A worker that starts anew reads rows back before it changes them: what it
// does not change stays exactly as it was, whatever its type.
func TestEveryTypeSurvivesBeingReadBack(t *testing.T) {
	projectiontest.Each(t, func(t *testing.T, r *projectiontest.Rig) {
		reader, m, a := filled(t, r)
		before, err := reader.Query(t.Context(), "items", table.Query{})
		if err != nil {
			t.Fatal(err)
		}
		m.Close()
		m = r.Manager()
		a.Own(m)
		if err := m.Apply(t.Context(), []projection.Definition{r.Define("items", items)}); err != nil {
			t.Fatal(err)
		}
		for _, s := range samples() {
			a.Append(s.key, "Flipped", struct{}{})
		}
		if err := m.Wait(t.Context(), "items", a.Head(), patience); err != nil {
			t.Fatal(err)
		}
		after, err := reader.Query(t.Context(), "items", table.Query{})
		if err != nil {
			t.Fatal(err)
		}
		flip := strings.NewReplacer(`"flag":true`, `"flag":false`, `"flag":false`, `"flag":true`)
		for i, row := range before.Rows {
			if diff := gocmp.Diff(flip.Replace(string(row.Row)), string(after.Rows[i].Row)); diff != "" {
				t.Errorf("row %s (-want +got):\n%s", row.Key, diff)
			}
		}
	})
}

func TestAPageOfRowsEndsWithTheOneThatReachesItsBytes(t *testing.T) {
	projectiontest.Each(t, func(t *testing.T, r *projectiontest.Rig) {
		reader, _, _ := filled(t, r)
		order := []table.Order{{Column: "maybe", Descending: true}, {Column: "select"}}
		all, err := reader.Query(t.Context(), "items", table.Query{Order: order})
		if err != nil {
			t.Fatal(err)
		}
		size := func(row table.Row) int { return len(row.Key) + len(row.Row) }
		total := 0
		for _, row := range all.Rows {
			total += size(row)
		}
		for _, bytes := range []int{1, size(all.Rows[0]), size(all.Rows[0]) + 1, total / 2, total - 1, total, total + 1} {
			var got []table.Row
			for q := (table.Query{Order: order, Bytes: bytes}); ; {
				page, err := reader.Query(t.Context(), "items", q)
				if err != nil {
					t.Fatal(err)
				}
				had := 0
				for i, row := range page.Rows {
					if had >= bytes {
						t.Errorf("%d bytes: row %d comes after %d bytes", bytes, i, had)
					}
					had += size(row)
				}
				if page.Next != "" && had < bytes {
					t.Errorf("%d bytes: a page of %d has a next one", bytes, had)
				}
				got = append(got, page.Rows...)
				if q.Cursor = page.Next; q.Cursor == "" {
					break
				}
				if len(page.Rows) == 0 {
					t.Fatalf("%d bytes: a page without rows has a next one", bytes)
				}
			}
			if diff := gocmp.Diff(all.Rows, got); diff != "" {
				t.Errorf("%d bytes (-want +got):\n%s", bytes, diff)
			}
		}
	})
}
