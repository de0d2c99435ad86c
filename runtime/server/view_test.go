package server_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// record makes one row in records.
func record(r *rig, t *testing.T, number int, replacements ...string) string {
	t.Helper()
	body := fullWith(`"9007199254740993"`, fmt.Sprint(number))
	for i := 0; i+1 < len(replacements); i += 2 {
		body = strings.Replace(body, replacements[i], replacements[i+1], 1)
	}
	return r.ok(t, post(probePath(fmt.Sprintf("row-%d", number))+"/Record", body)).str(t, "position")
}

func keys(a answer) string {
	var out []string
	for i := range a.list("rows") {
		out = append(out, fmt.Sprint(a.at("rows", i, "key")))
	}
	return strings.Join(out, " ")
}

func TestAWriterReadsItsOwnWritesInAProjection(t *testing.T) {
	onEachStore(t, func(t *testing.T, p place) {
		r := start(t, p, probe(t))
		for i := 1; i <= 20; i++ {
			position := r.add(t, "mine").str(t, "position")
			row := r.ok(t, get("/v1/projections/counts/mine?wait=10s&after="+position))
			if row.at("row", "count") != fmt.Sprint(i) {
				t.Fatalf("after %d writes: %s", i, row.text)
			}
			rows := r.ok(t, get("/v1/projections/counts?count[gte]=1&wait=10s&after="+position))
			if rows.at("rows", 0, "row", "count") != fmt.Sprint(i) || rows.str(t, "position") == "" {
				t.Fatalf("after %d writes: %s", i, rows.text)
			}
		}
	})
}

func TestRowsAreFilteredOrderedAndPaged(t *testing.T) {
	onEachStore(t, func(t *testing.T, p place) {
		r := start(t, p, probe(t))
		for n := 1; n <= 6; n++ {
			extra := `"pause":"90s"`
			if n%2 == 0 {
				extra += fmt.Sprintf(`,"extra":"a,b%d"`, n)
			}
			position := record(r, t, n,
				`"pause":"90s"`, extra, `"ratio":0.5`, fmt.Sprintf(`"ratio":%d.5`, n/3),
				`"moment":"2026-01-01T12:00:00.123456+02:00"`, fmt.Sprintf(`"moment":"2026-01-0%dT00:00:00Z"`, n))
			r.ok(t, get("/v1/projections/records?limit=1&wait=10s&after="+position))
		}
		for _, c := range []struct{ sentence, query, want string }{
			{"without order rows come by key", "", "1 2 3 4 5 6"},
			{"order may be descending", "order=-number", "6 5 4 3 2 1"},
			{"ties are sorted by key", "order=-ratio", "6 3 4 5 1 2"},
			{"several columns order in turn", "order=ratio,-number", "2 1 5 4 3 6"},
			{"eq", "number[eq]=3", "3"},
			{"ne", "number[ne]=3", "1 2 4 5 6"},
			{"lt and gt are joined by and", "number[gt]=2&number[lt]=5", "3 4"},
			{"lte and gte", "number[gte]=2&number[lte]=3", "2 3"},
			{"in takes values separated by commas", "number[in]=1,5,9", "1 5"},
			{"a comma in a value is escaped", `extra[in]=a\,b2,a\,b4`, "2 4"},
			{"an absent value satisfies no comparison", "extra[ne]=x", "2 4 6"},
			{"doubles compare as numbers", "ratio[gte]=1.5", "3 4 5 6"},
			{"timestamps compare as times", "moment[gt]=2026-01-04T01:00:00%2B02:00", "4 5 6"},
			{"durations compare as lengths", "pause[eq]=90s&number[lte]=2", "1 2"},
			{"bytes compare bytewise", "blob[eq]=AP8%3D&number[lte]=1", "1"},
		} {
			query := strings.ReplaceAll(strings.ReplaceAll(c.query, "[", "%5B"), "]", "%5D")
			query = strings.ReplaceAll(query, `\`, "%5C")
			a := r.ok(t, get("/v1/projections/records?"+query))
			if got := keys(a); got != c.want {
				t.Errorf("%s: %s, want %s", c.sentence, got, c.want)
			}
			if paged := pages(t, r, "/v1/projections/records?limit=2&"+query); paged != c.want {
				t.Errorf("%s, in pages of 2: %s, want %s", c.sentence, paged, c.want)
			}
		}
		first := r.ok(t, get("/v1/projections/records?limit=2&order=-number"))
		other := r.do(t, get("/v1/projections/records?limit=2&order=number&cursor="+url.QueryEscape(first.str(t, "next"))))
		if other.status != 400 || other.at("reason") != "InvalidParameter" || other.at("field") != "cursor" {
			t.Errorf("a cursor of another query: %d %s", other.status, other.text)
		}
		row := r.ok(t, get("/v1/projections/records/2"))
		for _, piece := range []string{`"key":2`, `"blob":"AP8="`, `"moment":"2026-01-02T00:00:00Z"`, `"pause":"90s"`, `"flags":{"a":false,"x":true}`, `"extra":"a,b2"`} {
			if !strings.Contains(row.text, piece) {
				t.Errorf("the row lacks %s: %s", piece, row.text)
			}
		}
	})
}

// pages follows next to the end.
func pages(t *testing.T, r *rig, path string) string {
	t.Helper()
	var out []string
	for cursor := ""; ; {
		a := r.ok(t, get(path+cursor))
		if some := keys(a); some != "" {
			out = append(out, some)
		}
		next, more := a.at("next").(string)
		if !more {
			return strings.Join(out, " ")
		}
		cursor = "&cursor=" + url.QueryEscape(next)
	}
}

func TestAWaitThatRunsOutIsNotCaughtUp(t *testing.T) {
	onEachStore(t, func(t *testing.T, p place) {
		r := start(t, p, probe(t))
		act := func(action string) {
			t.Helper()
			if a := r.do(t, post("/v1/projections/counts:"+action, `{}`)); a.status != 202 {
				t.Fatalf("%s: %d %s", action, a.status, a.text)
			}
		}
		act("pause")
		position := r.add(t, "late").str(t, "position")
		for _, path := range []string{"/v1/projections/counts/late", "/v1/projections/counts"} {
			row{status: 504, reason: "NotCaughtUp", request: get(path + "?wait=50ms&after=" + position)}.run(t, r)
		}
		act("resume")
		if a := r.ok(t, get("/v1/projections/counts/late?wait=10s&after="+position)); a.at("row", "count") != "1" {
			t.Errorf("after it resumed: %s", a.text)
		}
	})
}

func TestAWaitOnAParkedEntityIsQuarantinedAndOthersGoOn(t *testing.T) {
	onEachStore(t, func(t *testing.T, p place) {
		r := start(t, p, probe(t))
		position := r.ok(t, post(probePath("spoilt")+"/Spoil", `{}`)).str(t, "position")
		row{status: 409, reason: "Quarantined", request: get("/v1/projections/fragile/spoilt?wait=10s&after=" + position)}.run(t, r)
		position = r.add(t, "spoilt").str(t, "position")
		row{status: 409, reason: "Quarantined", request: get("/v1/projections/fragile?wait=10s&after=" + position)}.run(t, r)
		for i := range 8 { // on every shard, that of the parked entity among them
			healthy := fmt.Sprintf("healthy-%d", i)
			position := r.add(t, healthy).str(t, "position")
			if a := r.ok(t, get("/v1/projections/fragile/"+healthy+"?wait=10s&after="+position)); a.at("row", "total") != "1" {
				t.Errorf("another entity: %s", a.text)
			}
		}
		eventually(t, func() string {
			if got := r.metric(t, `leftfold_projection_quarantined{projection="fragile"}`); got != "1" {
				return "projection_quarantined is " + got
			}
			return ""
		})
	})
}

func TestARebuildNeverLeavesAMomentWithoutRows(t *testing.T) {
	onEachStore(t, func(t *testing.T, p place) {
		r := start(t, p, probe(t))
		for i := range 10 {
			position := r.add(t, fmt.Sprintf("e-%d", i)).str(t, "position")
			r.ok(t, get("/v1/projections/counts?wait=10s&after="+position))
		}
		stop, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			for {
				select {
				case <-stop:
					return
				default:
				}
				a, err := r.try(t.Context(), get("/v1/projections/counts"))
				if err != nil || a.status != 200 || len(a.list("rows")) != 10 {
					t.Errorf("while it is rebuilt: %d %s %v", a.status, a.text, err)
					return
				}
			}
		}()
		for range 3 {
			if a := r.do(t, post("/v1/projections/counts:rebuild", `{}`)); a.status != 202 {
				t.Errorf("rebuild: %d %s", a.status, a.text)
			}
			for range 100 { // the switch comes meanwhile
				if a := r.ok(t, get("/v1/projections/counts/e-1")); a.at("row", "count") != "1" {
					t.Errorf("while it is rebuilt: %s", a.text)
				}
			}
		}
		close(stop)
		<-done
		position := r.add(t, "e-0").str(t, "position")
		if a := r.ok(t, get("/v1/projections/counts/e-0?wait=10s&after="+position)); a.at("row", "count") != "2" {
			t.Errorf("after the rebuilds: %s", a.text)
		}
	})
}
