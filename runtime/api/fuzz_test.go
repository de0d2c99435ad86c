package api

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

// handled gives a request to a handler as the server would, and tells the status;
// 0 for what the server refuses before any handler.
func handled(t *testing.T, h *Handler, method, target string) int {
	t.Helper()
	request, err := http.ReadRequest(bufio.NewReader(strings.NewReader(method + " " + target + " HTTP/1.1\r\nHost: x\r\n\r\n")))
	if err != nil {
		return 0
	}
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, request)
	if recorder.Code >= 500 || recorder.Code >= 300 && recorder.Code < 400 {
		t.Fatalf("%s %s answered %d %s", method, target, recorder.Code, recorder.Body)
	}
	return recorder.Code
}

func FuzzEntityPath(f *testing.F) {
	for _, seed := range []string{"alice", "a/b", "..", ".", "", "\x00", "\xff", "%2F", "a b+c", "é", strings.Repeat("a", 257), "events", "\u0085", "?#;:"} {
		f.Add(seed)
	}
	fakes := newFakes(f)
	var got string
	fakes.read = func(_ context.Context, entity, _ string) (shard.View, error) {
		got = entity
		return shard.View{Entity: entity, Version: 1, State: []byte(`{}`)}, nil
	}
	h := NewHandler(fakes.config())
	f.Fuzz(func(t *testing.T, id string) {
		got = ""
		code := handled(t, h, "GET", "/v1/aggregates/account/"+url.PathEscape(id))
		switch valid := checkEntity(id) == nil; {
		case valid && (code != 200 || got != id):
			t.Errorf("%q: %d, and %q arrived", id, code, got)
		case !valid && (code != 400 || got != ""):
			t.Errorf("%q is no id, and was answered %d", id, code)
		}
	})
}

func FuzzPath(f *testing.F) {
	for _, seed := range []string{"/", "//", "/v1/../v1/shards", "/v1/aggregates/account/%2e%2e", "/v1/%", "*", "/v1/projections/balances:rebuild", "http://x/v1/shards", "/openapi.json?x=%zz"} {
		f.Add(seed)
	}
	h := NewHandler(newFakes(f).config())
	f.Fuzz(func(t *testing.T, target string) {
		if strings.ContainsAny(target, " \r\n") || strings.Contains(target, "account/") {
			return
		}
		handled(t, h, "GET", target)
		handled(t, h, "POST", target)
	})
}

func FuzzIfMatch(f *testing.F) {
	for _, seed := range []string{`"3"`, `*`, `"0"`, `W/"3"`, `""`, `"`, `"-1"`, `"03"`, `"9223372036854775808"`, `"1","2"`, ``} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		e, err := expectation(http.Header{matchHeader: {value}})
		if err != nil {
			if !problem.Is(err, problem.InvalidParameter) {
				t.Errorf("%q: %v", value, err)
			}
			return
		}
		again := "*"
		if e.Kind == shard.ExpectVersion {
			again = strconv.Quote(strconv.FormatInt(e.Version, 10))
		}
		if again != value {
			t.Errorf("%q was taken for %s", value, again)
		}
	})
}

func FuzzQuery(f *testing.F) {
	for _, seed := range []string{
		"balance[gte]=100&order=-balance&limit=50", "owner[in]=a%5C,b,c", "cursor=%00", "after=AQ&wait=2s", "since[lt]=2026-01-01T00:00:00Z",
		"rate[eq]=1e400", "term[eq]=-9e99s", "seal[eq]====", "[eq]=1", "balance[=1", "a=1&a=2", ";", "%", "order=,",
	} {
		f.Add(seed)
	}
	fakes := newFakes(f)
	table, err := fakeProjections{fakes}.Table("balances")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		c := &call{r: &http.Request{URL: &url.URL{RawQuery: raw}}}
		p, err := c.parameters(isFilter, "order", "limit", "cursor", "after", "wait")
		var q Query
		if err == nil {
			q, err = p.query(table)
		}
		if err != nil {
			var refused *problem.Problem
			if !errors.As(err, &refused) || refused.Reason != problem.InvalidParameter || refused.Detail == "" {
				t.Errorf("%q: %v", raw, err)
			}
			return
		}
		if q.Limit < 1 || q.Limit > maxLimit {
			t.Errorf("%q: limit %d", raw, q.Limit)
		}
		for _, filter := range q.Filters {
			if len(filter.Values) == 0 || filter.Op != In && len(filter.Values) != 1 {
				t.Errorf("%q: %+v", raw, filter)
			}
		}
	})
}
