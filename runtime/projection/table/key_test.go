package table_test

import (
	"strings"
	"testing"
	"time"

	"github.com/leftfold/leftfold/runtime/projection"
	"github.com/leftfold/leftfold/runtime/projection/projectiontest"
	"github.com/leftfold/leftfold/runtime/projection/table"
)

// counted counts the events of each key, and drops a key at its third.
const counted = `
sources: [{aggregate: item}]
table:
  key: {name: key, type: TYPE, value: VALUE}
  columns: [{name: count, type: int}]
  apply:
  - {event: Written, set: {count: "row.count + 1"}}
  - {event: Written, when: "row.count == 3", delete: true}
`

func TestKeysOfEveryType(t *testing.T) {
	projectiontest.Each(t, func(t *testing.T, r *projectiontest.Rig) {
		a := r.Aggregate("item", 3, item)
		m := r.Manager()
		a.Own(m)
		for _, s := range samples() {
			a.Append(s.key, "Written", s.event)
		}
		reader := table.Reader{DB: r.DB}
		for name, c := range map[string]struct {
			typ, value string
			twice      any    // the key that two samples have
			json       string // the same in JSON
			thrice     any    // the key that three have
		}{
			"strings":    {"string", "event.s", "b", `"b"`, nil},
			"ints":       {"int", "event.i", int64(1), `1`, nil},
			"bools":      {"bool", "event.i == 1", true, `true`, nil},
			"flags":      {"bool", "event.b", nil, ``, true},
			"timestamps": {"timestamp", "event.t", time.Unix(0, 0).UTC(), `"1970-01-01T00:00:00Z"`, nil},
			"durations":  {"duration", "event.u", time.Duration(0), `"0s"`, nil},
		} {
			spec := strings.NewReplacer("TYPE", c.typ, "VALUE", c.value).Replace(counted)
			if err := m.Apply(t.Context(), []projection.Definition{r.Define(name, spec)}); err != nil {
				t.Fatal(err)
			}
			if err := m.Wait(t.Context(), name, a.Head(), patience); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if c.twice != nil {
				row, _, ok, err := reader.Get(t.Context(), name, c.twice)
				if err != nil || !ok || string(row.Key) != c.json || string(row.Row) != `{"count":2}` {
					t.Errorf("%s: the row of %v is %s %s (%t, %v), want key %s, counted twice", name, c.twice, row.Key, row.Row, ok, err, c.json)
				}
			}
			if c.thrice != nil {
				if row, _, ok, err := reader.Get(t.Context(), name, c.thrice); err != nil || ok {
					t.Errorf("%s: the row of %v is %s (%v), want none", name, c.thrice, row.Row, err)
				}
			}
		}
	})
}
