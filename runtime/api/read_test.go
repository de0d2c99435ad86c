package api

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

func TestEntityIDsAreTakenFromThePathAsTheyAre(t *testing.T) {
	r := serveFakes(t, nil)
	var got string
	r.read = func(_ context.Context, entity, _ string) (shard.View, error) {
		got = entity
		return shard.View{Entity: entity, Version: 1, Time: noon, State: []byte(`{"owner":"","status":"","balance":0,"limits":{}}`)}, nil
	}
	tests := []struct {
		name, segment, want string // want "" is InvalidEntity
	}{
		{"plain", "alice", "alice"},
		{"a slash travels as %2F", "a%2Fb", "a/b"},
		{"a slash in small letters", "a%2fb", "a/b"},
		{"slashes only", "%2F%2F", "//"},
		{"a percent sign", "100%25", "100%"},
		{"an escape that is escaped stays", "a%252Fb", "a%2Fb"},
		{"a plus is a plus", "a+b", "a+b"},
		{"a space", "a%20b", "a b"},
		{"a question mark and a hash", "a%3Fb%23c", "a?b#c"},
		{"a semicolon and a colon", "a;b:c", "a;b:c"},
		{"other alphabets", "%D0%B0%E4%B8%AD", "а中"},
		{"dots with more", "...", "..."},
		{"dots with slashes are no path", "..%2F..", "../.."},
		{"256 bytes", strings.Repeat("a", 256), strings.Repeat("a", 256)},
		{"257 bytes", strings.Repeat("a", 257), ""},
		{"256 bytes and a bit of another letter", strings.Repeat("a", 255) + "%C3%A9", ""},
		{"empty", "", ""},
		{"a dot", ".", ""},
		{"an escaped dot", "%2E", ""},
		{"two dots", "..", ""},
		{"two escaped dots", "%2E%2E", ""},
		{"a NUL", "a%00b", ""},
		{"a line end", "a%0Ab", ""},
		{"a delete", "a%7Fb", ""},
		{"a control character beyond ASCII", "a%C2%85b", ""},
		{"not UTF-8", "a%FFb", ""},
		{"a surrogate is not UTF-8", "%ED%A0%80", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got = ""
			a := r.ask(t, "GET", "/v1/aggregates/account/"+tt.segment, "")
			if tt.want == "" {
				expect(t, a, 400, problem.InvalidEntity, "entity")
			} else if a.code != 200 {
				t.Errorf("%d %s", a.code, a.body)
			}
			if got != tt.want {
				t.Errorf("%q arrived, want %q", got, tt.want)
			}
			if tt.want == "" {
				expect(t, r.ask(t, "GET", "/v1/aggregates/account/"+tt.segment+"/events", ""), 400, problem.InvalidEntity, "entity")
				expect(t, r.ask(t, "POST", "/v1/aggregates/account/"+tt.segment+"/Open", "{}"), 400, problem.InvalidEntity, "entity")
			}
		})
	}
}

func TestOddPathsAreNeitherCleanedNorRedirected(t *testing.T) {
	r := serveFakes(t, nil)
	for _, path := range []string{
		"/", "/v1", "/v1/", "//v1/shards", "/v1//shards", "/v1/shards/", "/v1/./shards", "/v1/x/../shards", "/V1/shards",
		"/v1/aggregates", "/v1/aggregates/account", "/v1/aggregates/account/alice/Deposit/", "/v1/aggregates/account/a/b/c",
		"/v1/aggregates/nothing/alice", "/v1/aggregates//alice", "/v1/aggregates/acc%2Fount/alice", "/v1/events/nothing", "/v1/events/",
		"/v1/projections/nothing", "/v1/projections/nothing/key", "/v1%2Fshards", "/openapi.json/",
	} {
		a := r.ask(t, "GET", path, "")
		if a.code != 404 {
			t.Errorf("%s: %d %s", path, a.code, a.body)
			continue
		}
		if d := a.problem(t); d.Reason != problem.UnknownName {
			t.Errorf("%s: %s", path, d.Reason)
		}
	}
}

func TestReadsAreNowOrAsOfAVersionOrTime(t *testing.T) {
	r := serveFakes(t, nil)
	var how string
	read := r.read
	r.read = func(ctx context.Context, entity, h string) (shard.View, error) {
		how = h
		return read(ctx, entity, h)
	}
	tests := []struct {
		name, query, how string
		code             int
		reason           problem.Reason
		field            string
	}{
		{"strong by default", "", "strong", 200, "", ""},
		{"strong", "?consistency=strong", "strong", 200, "", ""},
		{"local", "?consistency=local", "local", 200, "", ""},
		{"another consistency", "?consistency=eventual", "", 400, problem.InvalidParameter, "consistency"},
		{"no consistency", "?consistency=", "", 400, problem.InvalidParameter, "consistency"},
		{"a version", "?version=2", "version", 200, "", ""},
		{"the head", "?version=3", "version", 200, "", ""},
		{"a version beyond the head", "?version=4", "version", 404, problem.NoSuchEntity, ""},
		{"before the first event", "?version=0", "version", 404, problem.NoSuchEntity, ""},
		{"a version below zero", "?version=-1", "", 400, problem.InvalidParameter, "version"},
		{"a version that is none", "?version=x", "", 400, problem.InvalidParameter, "version"},
		{"an empty version", "?version=", "", 400, problem.InvalidParameter, "version"},
		{"a time", "?at=2026-01-01T12:00:00.5Z", "at 2026-01-01T12:00:00.5Z", 200, "", ""},
		{"a time elsewhere", "?at=2026-01-01T12:00:00%2B02:00", "at 2026-01-01T10:00:00Z", 200, "", ""},
		{"a plus that became a space", "?at=2026-01-01T12:00:00+02:00", "", 400, problem.InvalidParameter, "at"},
		{"a day is no time", "?at=2026-01-01", "", 400, problem.InvalidParameter, "at"},
		{"an hour of one digit", "?at=2026-01-01T1:00:00Z", "", 400, problem.InvalidParameter, "at"},
		{"a comma before the fraction", "?at=2026-01-01T01:00:00,5Z", "", 400, problem.InvalidParameter, "at"},
		{"a version and a time", "?version=1&at=2026-01-01T12:00:00Z", "", 400, problem.InvalidParameter, "at"},
		{"a version and a consistency", "?version=1&consistency=strong", "", 400, problem.InvalidParameter, "consistency"},
		{"an unknown parameter", "?revision=1", "", 400, problem.InvalidParameter, "revision"},
		{"a parameter twice", "?version=1&version=1", "", 400, problem.InvalidParameter, "version"},
		{"a parameter of another call", "?limit=1", "", 400, problem.InvalidParameter, "limit"},
		{"a query string that is none", "?version=%zz", "", 400, problem.InvalidParameter, ""},
		{"semicolons do not separate", "?version=1;at=x", "", 400, problem.InvalidParameter, ""},
		{"a value that is not UTF-8", "?at=%FF", "", 400, problem.InvalidParameter, "at"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			how = ""
			expect(t, r.ask(t, "GET", "/v1/aggregates/account/alice"+tt.query, ""), tt.code, tt.reason, tt.field)
			if how != tt.how {
				t.Errorf("read %q, want %q", how, tt.how)
			}
		})
	}
}

func TestAnEntityWithoutEventsIsNotThere(t *testing.T) {
	r := serveFakes(t, nil)
	r.read = func(_ context.Context, entity, _ string) (shard.View, error) {
		return shard.View{Entity: entity, State: []byte(`{}`)}, nil
	}
	for _, query := range []string{"", "?consistency=local", "?version=1", "?at=2026-01-01T12:00:00Z"} {
		a := r.ask(t, "GET", "/v1/aggregates/account/bob"+query, "")
		expect(t, a, 404, problem.NoSuchEntity, "")
		if a.header.Get("ETag") != "" {
			t.Errorf("%s: it has an ETag", query)
		}
	}
}

func TestPagesHaveLimits(t *testing.T) {
	r := serveFakes(t, nil)
	var limit int
	r.history = func(_ context.Context, _ string, _ int64, l int) ([]eventstore.Event, bool, error) {
		limit = l
		return nil, false, nil
	}
	r.page = func(_ context.Context, after eventstore.Position, l int) ([]eventstore.Event, eventstore.Position, error) {
		limit = l
		return nil, after, nil
	}
	r.query = func(_ context.Context, q Query) (Rows, error) {
		limit = q.Limit
		return Rows{}, nil
	}
	for _, path := range []string{"/v1/aggregates/account/alice/events", "/v1/events/account", "/v1/projections/balances"} {
		for query, want := range map[string]int{"": 100, "?limit=1": 1, "?limit=1000": 1000} {
			limit = 0
			expect(t, r.ask(t, "GET", path+query, ""), 200, "", "")
			if limit != want {
				t.Errorf("%s%s: limit %d, want %d", path, query, limit, want)
			}
		}
		for _, query := range []string{"0", "1001", "-1", "1.5", "", "all", "+5", "010"} {
			expect(t, r.ask(t, "GET", path+"?limit="+url.QueryEscape(query), ""), 400, problem.InvalidParameter, "limit")
		}
	}
}

func TestPositionsMustBeOnesThatTheAPIGave(t *testing.T) {
	r := serveFakes(t, nil)
	for _, path := range []string{"/v1/events/account", "/v1/projections/balances", "/v1/projections/balances/alice"} {
		for _, after := range []string{"", "x", "3", text(t, at(3)) + "A", strings.Repeat("A", 2049), "End"} {
			expect(t, r.ask(t, "GET", path+"?after="+after, ""), 400, problem.InvalidParameter, "after")
		}
	}
	expect(t, r.ask(t, "GET", "/v1/projections/balances?after=end", ""), 400, problem.InvalidParameter, "after")
}

func TestAnEntitysEventsAreReadAfterAVersion(t *testing.T) {
	r := serveFakes(t, nil)
	for _, after := range []string{"-1", "x", "1.0", ""} {
		expect(t, r.ask(t, "GET", "/v1/aggregates/account/alice/events?after="+after, ""), 400, problem.InvalidParameter, "after")
	}
	if got, want := r.ask(t, "GET", "/v1/aggregates/account/alice/events?after=9", "").body, `{"events":[]}`+"\n"; got != want {
		t.Errorf("beyond the head: %s want %s", got, want)
	}
}

func TestWhatIsStoredInAnotherFormLooksTheSame(t *testing.T) {
	r := serveFakes(t, nil)
	e := deposited(1)
	e.Data = []byte(`{"b": 1e2, "a": "<&>", "n": -0, "big": "9007199254740993"}`)
	e.Meta.Time = noon.In(time.FixedZone("elsewhere", 3600))
	r.history = func(context.Context, string, int64, int) ([]eventstore.Event, bool, error) {
		return []eventstore.Event{e}, false, nil
	}
	r.spec = nil // the event is of no declared form
	want := `{"events":[{"type":"Deposited","version":1,"time":"2026-01-01T12:00:00.25Z","data":{"a":"<&>","b":100,"big":"9007199254740993","n":0}}]}` + "\n"
	if diff := cmp.Diff(want, r.ask(t, "GET", "/v1/aggregates/account/alice/events", "").body); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
}

func TestTheShardsOfAStoreThatFailsAreATemporaryProblem(t *testing.T) {
	r := serveFakes(t, nil)
	r.shards = func(context.Context) ([]Shard, error) { return nil, errors.Join(eventstore.ErrNotAttempted) }
	expect(t, r.ask(t, "GET", "/v1/shards", ""), 503, problem.NotAttempted, "")
	expect(t, r.ask(t, "GET", "/v1/shards?aggregate=account", ""), 400, problem.InvalidParameter, "aggregate")
	expect(t, r.ask(t, "GET", "/v1/definitions?x=1", ""), 400, problem.InvalidParameter, "x")
	expect(t, r.ask(t, "GET", "/openapi.json?x=1", ""), 400, problem.InvalidParameter, "x")
}
