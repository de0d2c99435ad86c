package api

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
)

func TestQueriesAreReadWithTheirTypes(t *testing.T) {
	r := serveFakes(t, nil)
	var got Query
	r.query = func(_ context.Context, q Query) (Rows, error) {
		got = q
		return Rows{}, nil
	}
	where := func(name, columnType string, op Op, values ...any) []Filter {
		return []Filter{{Column: Column{name, columnType}, Op: op, Values: values}}
	}
	tests := []struct {
		name, parameter, value string
		want                   []Filter // nil: refused
	}{
		{"eq", "balance[eq]", "100", where("balance", "int", Equal, int64(100))},
		{"ne", "balance[ne]", "-100", where("balance", "int", NotEqual, int64(-100))},
		{"lt", "balance[lt]", "0", where("balance", "int", Less, int64(0))},
		{"lte", "balance[lte]", "9223372036854775807", where("balance", "int", LessOrEqual, int64(1<<63-1))},
		{"gt", "balance[gt]", "-9223372036854775808", where("balance", "int", Greater, int64(-1<<63))},
		{"gte", "balance[gte]", "1", where("balance", "int", GreaterOrEqual, int64(1))},
		{"in", "balance[in]", "1,2,3", where("balance", "int", In, int64(1), int64(2), int64(3))},
		{"in with one value", "balance[in]", "1", where("balance", "int", In, int64(1))},
		{"in with commas in a value", "owner[in]", `a\,b,c\\,d\e,`, where("owner", "string", In, "a,b", `c\`, `d\e`, "")},
		{"a comma is no separator elsewhere", "owner[eq]", "a,b", where("owner", "string", Equal, "a,b")},
		{"an empty string", "owner[eq]", "", where("owner", "string", Equal, "")},
		{"the key", "account[gt]", "alice", where("account", "string", Greater, "alice")},
		{"a double", "rate[lt]", "1.5e-3", where("rate", "double", Less, 0.0015)},
		{"a bool", "open[eq]", "true", where("open", "bool", Equal, true)},
		{"bytes in base64", "seal[eq]", "AQI=", where("seal", "bytes", Equal, []byte{1, 2})},
		{"a timestamp", "since[gte]", "2026-01-01T14:00:00+02:00", where("since", "timestamp", GreaterOrEqual, time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC))},
		{"a duration", "term[lt]", "90.5s", where("term", "duration", Less, 90500*time.Millisecond)},

		{"an unknown column", "colour[eq]", "red", nil},
		{"an unknown comparison", "balance[like]", "1", nil},
		{"no comparison in the brackets", "balance[]", "1", nil},
		{"two comparisons", "balance[eq][ne]", "1", nil},
		{"a column without brackets", "balance", "1", nil},
		{"a column that cannot be compared", "limits[eq]", "{}", nil},
		{"a fraction for an int", "balance[eq]", "1.0", nil},
		{"a number beyond 64 bits", "balance[eq]", "9223372036854775808", nil},
		{"words for an int", "balance[eq]", "much", nil},
		{"an int with a leading zero", "balance[eq]", "007", nil},
		{"an int with a plus", "balance[eq]", "+7", nil},
		{"an empty int", "balance[in]", "1,,2", nil},
		{"no number", "rate[eq]", "NaN", nil},
		{"no finite number", "rate[eq]", "Inf", nil},
		{"a number out of range", "rate[eq]", "1e400", nil},
		{"a number in another base", "rate[eq]", "0x1p-2", nil},
		{"a number that begins with its point", "rate[eq]", ".5", nil},
		{"a number that ends in its point", "rate[eq]", "5.", nil},
		{"a bool in other words", "open[eq]", "yes", nil},
		{"bytes that are not base64", "seal[eq]", "AQI", nil},
		{"a day for a timestamp", "since[eq]", "2026-01-01", nil},
		{"an hour of one digit", "since[eq]", "2026-01-01T1:00:00Z", nil},
		{"a duration without unit", "term[eq]", "90", nil},
		{"a duration in another unit", "term[eq]", "90ms", nil},
		{"a duration finer than it can be", "term[eq]", "1.0000000001s", nil},
		{"a duration that begins with its point", "term[eq]", ".5s", nil},
		{"U+0000", "owner[eq]", "a\x00", nil},
		{"too many values", "balance[in]", strings.Repeat("1,", 1000) + "1", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got = Query{}
			a := r.ask(t, "GET", "/v1/projections/balances?"+url.QueryEscape(tt.parameter)+"="+url.QueryEscape(tt.value), "")
			if tt.want == nil {
				expect(t, a, 400, problem.InvalidParameter, tt.parameter)
				return
			}
			expect(t, a, 200, "", "")
			if diff := cmp.Diff(tt.want, got.Filters); diff != "" {
				t.Errorf("filters (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAQueryIsReadWhole(t *testing.T) {
	r := serveFakes(t, nil)
	var got Query
	r.query = func(_ context.Context, q Query) (Rows, error) {
		got = q
		return Rows{Position: q.Wait.After}, nil
	}
	a := r.ask(t, "GET", "/v1/projections/balances?balance[lt]=9&balance[gte]=1&account[ne]=x&order=-balance,owner&limit=7&cursor=c&wait=1500ms&after="+text(t, at(5)), "")
	want := Query{
		Filters: []Filter{
			{Column{"account", "string"}, NotEqual, []any{"x"}},
			{Column{"balance", "int"}, GreaterOrEqual, []any{int64(1)}},
			{Column{"balance", "int"}, Less, []any{int64(9)}},
		},
		Order: []Order{{Column{"balance", "int"}, true}, {Column{"owner", "string"}, false}},
		Limit: 7, Cursor: "c", Wait: Wait{Wanted: true, After: at(5), For: 1500 * time.Millisecond},
	}
	positions := cmp.Comparer(func(a, b eventstore.Position) bool { return a.Covers(b) && b.Covers(a) })
	if diff := cmp.Diff(want, got, positions); diff != "" {
		t.Errorf("query (-want +got):\n%s", diff)
	}
	if want := `{"rows":[],"position":"` + text(t, at(5)) + `"}` + "\n"; a.body != want {
		t.Errorf("a page without rows is %s, want %s", a.body, want)
	}
}

func TestWrongQueriesAreRefused(t *testing.T) {
	r := serveFakes(t, nil)
	position := text(t, at(1))
	for _, tt := range []struct{ name, query, field string }{
		{"order by an unknown column", "order=colour", "order"},
		{"order by what has no order", "order=limits", "order"},
		{"order by a column twice", "order=balance,-balance", "order"},
		{"order by nothing", "order=", "order"},
		{"order by two minus", "order=--balance", "order"},
		{"an empty cursor", "cursor=", "cursor"},
		{"the same filter twice", "balance[gt]=1&balance[gt]=2", "balance[gt]"},
		{"an unknown parameter", "colour=red", "colour"},
		{"a wait for nothing", "wait=2s", "wait"},
		{"a wait that is no duration", "wait=2&after=" + position, "wait"},
		{"a wait below zero", "wait=-1s&after=" + position, "wait"},
		{"a wait that is too long", "wait=61s&after=" + position, "wait"},
		{"an empty wait", "wait=&after=" + position, "wait"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			expect(t, r.ask(t, "GET", "/v1/projections/balances?"+tt.query, ""), 400, problem.InvalidParameter, tt.field)
			if strings.Contains(tt.query, "wait") {
				expect(t, r.ask(t, "GET", "/v1/projections/balances/alice?"+tt.query, ""), 400, problem.InvalidParameter, tt.field)
			}
		})
	}
	expect(t, r.ask(t, "GET", "/v1/projections/balances/alice?limit=1", ""), 400, problem.InvalidParameter, "limit")
}

func TestAWaitHasADefaultAndIsNotCutOffByTheReadTimeout(t *testing.T) {
	r := serveFakes(t, func(c *Config) { c.ReadTimeout = time.Second })
	for query, want := range map[string]time.Duration{"": 2 * time.Second, "&wait=0s": 0, "&wait=1m": time.Minute} {
		var wait Wait
		var left time.Duration
		r.get = func(ctx context.Context, _ any, w Wait) (Row, eventstore.Position, error) {
			deadline, _ := ctx.Deadline()
			wait, left = w, time.Until(deadline)
			return Row{}, w.After, problem.New(problem.NotCaughtUp, "not there yet")
		}
		expect(t, r.ask(t, "GET", "/v1/projections/balances/alice?after="+text(t, at(9))+query, ""), 504, problem.NotCaughtUp, "")
		if !wait.Wanted || wait.After.Get(shardOne) != 9 || wait.For != want {
			t.Errorf("%q: %+v, want a wait of %s", query, wait, want)
		}
		if left <= want {
			t.Errorf("%q: %s are left for a wait of %s", query, left, want)
		}
	}
}

func TestRowsAreAnsweredWithoutAPositionThatIsTooLong(t *testing.T) {
	r := serveFakes(t, nil)
	var wide eventstore.Position
	for aggregate := range eventstore.AggregateID(8) {
		for shard := range int32(eventstore.MaxShards) {
			wide.Set(eventstore.ShardID{Aggregate: aggregate, Number: shard}, 1+int64(shard)*int64(shard))
		}
	}
	if _, err := wide.Encode(); !errors.Is(err, eventstore.ErrPositionTooLong) {
		t.Fatalf("the position is not too long: %v", err)
	}
	row := Row{Key: []byte(`"alice"`), Row: []byte(`{"owner":"A","balance":250}`)}
	r.get = func(context.Context, any, Wait) (Row, eventstore.Position, error) { return row, wide, nil }
	r.query = func(context.Context, Query) (Rows, error) { return Rows{Rows: []Row{row}, Position: wide}, nil }
	for path, want := range map[string]string{
		"/v1/projections/balances/alice": `{"key":"alice","row":{"owner":"A","balance":250}}`,
		"/v1/projections/balances":       `{"rows":[{"key":"alice","row":{"owner":"A","balance":250}}]}`,
	} {
		if a := r.ask(t, "GET", path, ""); a.code != 200 || strings.TrimSpace(a.body) != want {
			t.Errorf("%s: %d %s", path, a.code, a.body)
		}
	}
}

// numbered is a projection whose key is an int.
type numbered struct{ fakeProjections }

func (numbered) Table(string) (Table, error) { return Table{Key: Column{"number", "int"}}, nil }

func TestKeysHaveTheirType(t *testing.T) {
	r := serveFakes(t, func(c *Config) { c.Projections = numbered{c.Projections.(fakeProjections)} })
	r.spec = nil // the rows are of no declared form
	r.get = func(_ context.Context, key any, _ Wait) (Row, eventstore.Position, error) {
		n, ok := key.(int64)
		if !ok {
			t.Errorf("the key is a %T", key)
		}
		return Row{Key: []byte(strconv.FormatInt(n, 10)), Row: []byte(`{}`)}, at(1), nil
	}
	if a := r.ask(t, "GET", "/v1/projections/numbers/42", ""); a.code != 200 || !strings.HasPrefix(a.body, `{"key":42,`) {
		t.Errorf("%d %s", a.code, a.body)
	}
	expect(t, r.ask(t, "GET", "/v1/projections/numbers/4x2", ""), 400, problem.InvalidParameter, "number")
	expect(t, r.ask(t, "GET", "/v1/projections/numbers/042", ""), 400, problem.InvalidParameter, "number")
}

func TestKeysOfProjectionsMayHoldAnything(t *testing.T) {
	r := serveFakes(t, nil)
	var got any
	r.get = func(_ context.Context, key any, _ Wait) (Row, eventstore.Position, error) {
		got = key
		return Row{Key: []byte(`"x"`), Row: []byte(`{"owner":"","balance":0}`)}, at(1), nil
	}
	for segment, want := range map[string]string{"a%2Fb": "a/b", "..": "..", "a:rebuild": "a:rebuild", "": "", "events": "events"} {
		if a := r.ask(t, "GET", "/v1/projections/balances/"+segment, ""); a.code != 200 || got != want {
			t.Errorf("%q: %d, key %q, want %q", segment, a.code, got, want)
		}
	}
}

func TestKeysOfProjectionsAreText(t *testing.T) {
	r := serveFakes(t, nil)
	r.get = func(_ context.Context, key any, _ Wait) (Row, eventstore.Position, error) {
		t.Errorf("%q was looked for", key)
		return Row{}, at(1), nil
	}
	for _, key := range []string{"a%00", "%FF", "a%ED%A0%80"} {
		expect(t, r.ask(t, "GET", "/v1/projections/balances/"+key, ""), 400, problem.InvalidParameter, "account")
	}
}

func TestProjectionsAreManaged(t *testing.T) {
	r := serveFakes(t, nil)
	var got Action
	r.act = func(_ context.Context, a Action) error { got = a; return nil }
	for _, action := range []Action{Rebuild, Pause, Resume, Retry} {
		for _, body := range []string{"", "{}", " {} "} {
			got = ""
			expect(t, r.ask(t, "POST", "/v1/projections/balances:"+string(action), body), 202, "", "")
			if got != action {
				t.Errorf("%s did %q", action, got)
			}
		}
	}
	expect(t, r.ask(t, "POST", "/v1/projections/balances:rebuild", "", "Content-Type: -"), 202, "", "")
	expect(t, r.ask(t, "POST", "/v1/projections/balances:drop", ""), 404, problem.UnknownName, "")
	expect(t, r.ask(t, "POST", "/v1/projections/nothing:rebuild", ""), 404, problem.UnknownName, "")
	expect(t, r.ask(t, "POST", "/v1/projections/balances:rebuild?x=1", ""), 400, problem.InvalidParameter, "x")
	expect(t, r.ask(t, "POST", "/v1/projections/balances:rebuild", `{"a":1}`), 400, problem.UnknownField, "a")
	expect(t, r.ask(t, "POST", "/v1/projections/balances:rebuild", `[]`), 400, problem.MalformedBody, "")
	expect(t, r.ask(t, "POST", "/v1/projections/balances:rebuild", `null`), 400, problem.MalformedBody, "")
	expect(t, r.ask(t, "POST", "/v1/projections/balances:rebuild", `{}`, "Content-Type: text/plain"), 415, problem.UnsupportedMediaType, "")
	expect(t, r.ask(t, "POST", "/v1/projections/balances:rebuild", strings.Repeat(" ", MaxBody+1)), 413, problem.TooLarge, "")
}
