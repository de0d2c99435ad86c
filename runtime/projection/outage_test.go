package projection_test

import (
	"testing"
	"time"

	"github.com/leftfold/leftfold/runtime/projection"
	"github.com/leftfold/leftfold/runtime/projection/projectiontest"
)

// Rows are read by those who wait for nothing, too: nobody hurries the workers.
func TestRowsFollowSoonAfterAnOutageHoweverLongItWas(t *testing.T) {
	const (
		// outage is so long that pauses which went on doubling would by now be
		// longer than promised.
		outage = 3300 * time.Millisecond
		// promised is the longest pause and some time to work.
		promised = 1500 * time.Millisecond
	)
	r := projectiontest.SQLite(t)
	m := r.Manager(func(c *projection.Config) { c.MinBackoff, c.MaxBackoff = 0, 0 }) // the defaults
	a := r.Aggregate("till", 1, till)
	a.Own(m)
	apply(t, m, r.Define("sums", `
sources: [{aggregate: till}]
table:
  key: {name: id, type: string, value: meta.entity}
  columns: [{name: sum, type: int}]
  apply:
  - {event: Divided, set: {sum: "10 / event.by"}}
`))
	rename := func(from, to string) {
		t.Helper()
		if _, err := r.DB.Writer.ExecContext(t.Context(), `ALTER TABLE `+from+` RENAME TO `+to); err != nil {
			t.Fatal(err)
		}
	}
	rename("projection_offset", "hidden")
	a.Append("x", "Divided", divided{5})
	<-time.After(outage)
	rename("hidden", "projection_offset")
	ended := time.Now()
	eventually(t, "the row is there", func() bool { return len(r.Rows("sums")) == 1 })
	if took := time.Since(ended); took > promised {
		t.Errorf("the row came %s after the outage, %s are promised", took.Round(time.Millisecond), promised)
	}
}
