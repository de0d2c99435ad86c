package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/leftfold/leftfold/api/language"
	"github.com/leftfold/leftfold/runtime/behavior/cel"
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

// given hands a request with a header and a body to a handler; its answer is 200,
// or a problem of the caller's that says what is wrong.
func given(t *testing.T, h *Handler, method, target, header, value string, body []byte) *httptest.ResponseRecorder {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), method, target, bytes.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	if header != "" {
		request.Header[header] = []string{value}
	}
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, request)
	if recorder.Code == http.StatusOK {
		return recorder
	}
	var p struct {
		Status                int
		Reason, Detail, Field string
	}
	if err := json.Unmarshal(recorder.Body.Bytes(), &p); err != nil || recorder.Code < 400 || recorder.Code >= 500 ||
		p.Status != recorder.Code || p.Reason == "" || p.Detail == "" {
		t.Fatalf("%s %s, %s %q, body %q: answered %d %s", method, target, header, value, body, recorder.Code, recorder.Body)
	}
	if p.Reason == "InvalidParameter" && !strings.EqualFold(p.Field, header) {
		t.Errorf("%s %q: the answer names %q", header, value, p.Field)
	}
	return recorder
}

// FuzzIdempotencyKey: 1 to 128 visible ASCII characters are a key as they are, and
// nothing else is one.
func FuzzIdempotencyKey(f *testing.F) {
	for _, seed := range []string{"k", "", " ", "a b", "\x7f", "é", "\x00", strings.Repeat("k", 128), strings.Repeat("k", 129), "a,b", `"k"`} {
		f.Add(seed)
	}
	fakes := newFakes(f)
	var got shard.Command
	answer := fakes.handle
	fakes.handle = func(ctx context.Context, aggregate string, c shard.Command) (shard.Answer, error) {
		got = c
		return answer(ctx, aggregate, c)
	}
	h := NewHandler(fakes.config())
	f.Fuzz(func(t *testing.T, value string) {
		got = shard.Command{}
		code := given(t, h, "POST", "/v1/aggregates/account/alice/Deposit", keyHeader, value, []byte(`{"amount":1}`)).Code
		valid := len(value) >= 1 && len(value) <= maxKey && strings.Trim(value, visible) == ""
		if valid != (code == http.StatusOK) || valid && (!got.Keyed || got.ID != value) || !valid && got.Name != "" {
			t.Errorf("%q: answered %d, and the command had key %q", value, code, got.ID)
		}
	})
}

const visible = `!"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\]^_` + "`abcdefghijklmnopqrstuvwxyz{|}~"

// FuzzLastEventID: a stream begins at the position that its caller saw last, or is
// refused.
func FuzzLastEventID(f *testing.F) {
	for n := range int64(4) {
		position := at(n)
		text, err := position.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, seed := range []string{"x", "", " ", "end", "AQ", "AQEBAQEAAQABAQA", strings.Repeat("A", 3000), "\xff"} {
		f.Add(seed)
	}
	h := NewHandler(newFakes(f).config())
	f.Fuzz(func(t *testing.T, value string) {
		c := &call{Handler: h, r: &http.Request{URL: &url.URL{}, Header: http.Header{"Last-Event-Id": {value}}}}
		from, err := c.start(parameters{}, "account", true)
		switch {
		case err != nil:
			if p := problem.From(err); p.Reason != problem.InvalidParameter || p.Field != "Last-Event-ID" {
				t.Errorf("%q: %+v", value, p)
			}
		case value != "":
			if again, err := from.Encode(); err != nil || again != value {
				t.Errorf("%q begins at %q, %v", value, again, err)
			}
		}
	})
}

// FuzzCommandBody: a body of any bytes reaches the behaviour as it came, or is
// refused as the caller's mistake; what a real behaviour finds wrong names a field
// where it is about one.
func FuzzCommandBody(f *testing.F) {
	for _, seed := range []string{
		`{"amount":1}`, `{"amount":"9007199254740993"}`, `{"amount":1.5}`, `{"amount":1e400}`, `{"amount":null}`, `{"amount":-1}`, `{"amount":1,"amount":2}`,
		`{"fee":1}`, `{}`, ``, `[]`, `{"amount":`, "{\"amount\":1}\x00", `{"limits":{"a":{"single":1}}}`, `{"owner":"\u0000"}`, `{"owner":"\ud800"}`, `{"owner":"A"}`,
	} {
		f.Add([]byte(seed), byte(0))
		f.Add([]byte(seed), byte(1))
		f.Add([]byte(seed), byte(2))
	}
	fakes := newFakes(f)
	compiled, problems := language.Compile("account", fakes.definitions.Aggregates[0].Spec)
	if compiled == nil {
		f.Fatal(problems)
	}
	account := cel.New(compiled)
	answer := fakes.handle
	fakes.handle = func(ctx context.Context, aggregate string, c shard.Command) (shard.Answer, error) {
		if _, err := account.Parse(c.Name, c.Body); err != nil {
			return shard.Answer{}, err
		}
		return answer(ctx, aggregate, c)
	}
	h := NewHandler(fakes.config())
	commands := []string{"Deposit", "Open", "SetLimits"}
	f.Fuzz(func(t *testing.T, body []byte, which byte) {
		given(t, h, "POST", "/v1/aggregates/account/alice/"+commands[int(which)%len(commands)], "", "", body)
	})
}
