package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

const loggedDeposit = `{"entity":"alice","shard":3,"seq":%d,"type":"Deposited","version":%d,"time":"2026-01-01T12:00:00.25Z","data":{"amount":250},` +
	`"typeVersion":1,"commandId":"k-1","requestHash":"0100000000000000000000000000000000000000000000000000000000000000","generation":2,"epoch":7,` +
	`"principal":"","recordedTime":"2026-01-01T12:00:00.251Z","aggregateId":1,"hash":"0200000000000000000000000000000000000000000000000000000000000000"}`

func logged(seq int64) string { return fmt.Sprintf(loggedDeposit, seq, seq) }

func plain(version int64) string {
	return fmt.Sprintf(`{"type":"Deposited","version":%d,"time":"2026-01-01T12:00:00.25Z","data":{"amount":250}}`, version)
}

func TestEveryCallAnswersAsTheContractSays(t *testing.T) {
	r := serveFakes(t, nil)
	three, one := text(t, at(3)), text(t, at(1))
	const row = `{"key":"alice","row":{"owner":"A","balance":250}`
	tests := []struct {
		name, method, path, body string
		code                     int
		want                     string
		headers                  map[string]string
	}{
		{"a command answers with its events and its position", "POST", "/v1/aggregates/account/alice/Deposit", `{"amount":250}`, 200,
			`{"entity":"alice","version":3,"position":"` + three + `","events":[` + plain(3) + `]}`, map[string]string{"Idempotent-Replay": ""}},
		{"an entity is read with its version as ETag", "GET", "/v1/aggregates/account/alice", "", 200,
			`{"entity":"alice","version":3,"time":"2026-01-01T12:00:00.25Z","state":{"balance":250,"limits":{},"owner":"A","status":"open"}}`, map[string]string{"ETag": `"3"`}},
		{"an entity's events come in pages, with next", "GET", "/v1/aggregates/account/alice/events?after=0&limit=2", "", 200,
			`{"events":[` + plain(1) + `,` + plain(2) + `],"next":2}`, nil},
		{"there is no next at the end", "GET", "/v1/aggregates/account/alice/events?after=2", "", 200,
			`{"events":[` + plain(3) + `]}`, nil},
		{"an aggregate's events have every column of the log", "GET", "/v1/events/account?limit=1", "", 200,
			`{"events":[` + logged(1) + `],"position":"` + one + `"}`, nil},
		{"an aggregate's events go on after a position", "GET", "/v1/events/account?after=" + one, "", 200,
			`{"events":[` + logged(2) + `,` + logged(3) + `],"position":"` + three + `"}`, nil},
		{"an aggregate's events from the end are none", "GET", "/v1/events/account?after=end", "", 200,
			`{"events":[],"position":"` + three + `"}`, nil},
		{"a row is read by its key", "GET", "/v1/projections/balances/alice", "", 200, row + `,"position":"` + three + `"}`, nil},
		{"rows are queried", "GET", "/v1/projections/balances?balance[gte]=100&order=-balance&limit=50&cursor=c", "", 200,
			`{"rows":[` + row + `}],"next":"more","position":"` + three + `"}`, nil},
		{"a projection is rebuilt", "POST", "/v1/projections/balances:rebuild", "", 202, `{"projection":"balances","action":"rebuild"}`, nil},
		{"shards are listed", "GET", "/v1/shards", "", 200,
			`{"shards":[{"aggregate":"account","shard":3,"slots":{"first":12288,"last":16383},"epoch":7,"owner":"i-1","address":"127.0.0.1:8080","head":3,` +
				`"headHash":"0200000000000000000000000000000000000000000000000000000000000000","state":"serving"}]}`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := r.ask(t, tt.method, tt.path, tt.body)
			if a.code != tt.code {
				t.Errorf("status %d, want %d", a.code, tt.code)
			}
			if diff := cmp.Diff(tt.want+"\n", a.body); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
			want := map[string]string{"Cache-Control": "no-store", "Content-Type": "application/json"}
			for name, value := range tt.headers {
				want[name] = value
			}
			for name, value := range want {
				if got := a.header.Get(name); got != value {
					t.Errorf("%s: %q, want %q", name, got, value)
				}
			}
		})
	}
}

func TestDefinitionsAreServedAsTheyWereWritten(t *testing.T) {
	r := serveFakes(t, nil)
	var served struct {
		Aggregates []struct {
			Name       string
			Generation int64
			Spec       struct {
				Commands []struct {
					Name   string
					Fields []struct{ Name, Type string }
				}
			}
		}
		Projections []struct{ Name string }
	}
	if err := json.Unmarshal([]byte(r.ask(t, "GET", "/v1/definitions", "").body), &served); err != nil {
		t.Fatal(err)
	}
	if len(served.Aggregates) != 1 || served.Aggregates[0].Name != "account" || served.Aggregates[0].Generation != 1 || len(served.Aggregates[0].Spec.Commands) == 0 {
		t.Errorf("aggregates: %+v", served.Aggregates)
	}
	if len(served.Projections) != 1 || served.Projections[0].Name != "balances" {
		t.Errorf("projections: %+v", served.Projections)
	}
}

func TestEveryReasonHasItsStatus(t *testing.T) {
	r := serveFakes(t, nil)
	tests := []struct {
		problem problem.Problem
		code    int
		headers map[string]string
	}{
		{problem.Problem{Reason: problem.MalformedBody}, 400, nil},
		{problem.Problem{Reason: problem.MissingField, Field: "amount"}, 400, nil},
		{problem.Problem{Reason: problem.UnknownField, Field: "amuont"}, 400, nil},
		{problem.Problem{Reason: problem.WrongType, Field: "limits[\"atm\"].single"}, 400, nil},
		{problem.Problem{Reason: problem.CheckFailed, Field: "amount"}, 400, nil},
		{problem.Problem{Reason: problem.InvalidEntity}, 400, nil},
		{problem.Problem{Reason: problem.InvalidParameter, Field: "at"}, 400, nil},
		{problem.Problem{Reason: problem.UnknownName}, 404, nil},
		{problem.Problem{Reason: problem.NoSuchEntity}, 404, nil},
		{problem.Problem{Reason: "InsufficientFunds", Rejected: true}, 409, nil},
		{problem.Problem{Reason: "InsufficientFunds", Rejected: true, Replay: true}, 409, map[string]string{"Idempotent-Replay": "true"}},
		{problem.Problem{Reason: problem.TooLarge, Rejected: true}, 409, nil},
		{problem.Problem{Reason: problem.VersionMismatch, Rejected: true}, 409, nil},
		{problem.Problem{Reason: problem.Quarantined}, 409, nil},
		{problem.Problem{Reason: problem.VersionMismatch, Version: 4}, 412, nil},
		{problem.Problem{Reason: problem.VersionMismatch, Version: 0, Replay: true}, 412, map[string]string{"Idempotent-Replay": "true"}},
		{problem.Problem{Reason: problem.TooLarge}, 413, nil},
		{problem.Problem{Reason: problem.StateTooLarge}, 413, nil},
		{problem.Problem{Reason: problem.KeyReused}, 422, nil},
		{problem.Problem{Reason: problem.Overloaded}, 429, map[string]string{"Retry-After": "1"}},
		{problem.Problem{Reason: problem.Overloaded, RetryAfter: 1200 * time.Millisecond}, 429, map[string]string{"Retry-After": "2"}},
		{problem.Problem{Reason: problem.BehaviorFailed}, 500, nil},
		{problem.Problem{Reason: problem.NotAttempted}, 503, map[string]string{"Retry-After": "1"}},
		{problem.Problem{Reason: problem.NotAttempted, RetryAfter: 200 * time.Millisecond}, 503, map[string]string{"Retry-After": "1"}},
		{problem.Problem{Reason: problem.OutcomeUnknown}, 504, nil},
		{problem.Problem{Reason: problem.NotCaughtUp}, 504, nil},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s, rejected %t, is %d", tt.problem.Reason, tt.problem.Rejected, tt.code), func(t *testing.T) {
			given := tt.problem
			given.Detail = "words"
			r.handle = func(context.Context, string, shard.Command) (shard.Answer, error) {
				return shard.Answer{}, fmt.Errorf("wrapped: %w", &given)
			}
			a := r.ask(t, "POST", "/v1/aggregates/account/alice/Deposit", `{"amount":1}`)
			d := a.problem(t)
			want := document{Type: "about:blank", Title: http.StatusText(tt.code), Status: tt.code, Detail: "words", Reason: given.Reason, Field: given.Field}
			if given.Reason == problem.VersionMismatch && !given.Rejected {
				want.Version = &given.Version
			}
			if diff := cmp.Diff(want, d); diff != "" {
				t.Errorf("document (-want +got):\n%s", diff)
			}
			for _, name := range []string{"Idempotent-Replay", "Retry-After"} {
				if got := a.header.Get(name); got != tt.headers[name] {
					t.Errorf("%s: %q, want %q", name, got, tt.headers[name])
				}
			}
		})
	}
}

func TestEveryReasonIsInTheTable(t *testing.T) {
	// A reason that is added to package problem and not here would be a 500.
	for _, reason := range []problem.Reason{
		problem.MalformedBody, problem.MissingField, problem.UnknownField, problem.WrongType, problem.CheckFailed, problem.InvalidEntity,
		problem.InvalidParameter, problem.UnknownName, problem.NoSuchEntity, problem.MethodNotAllowed, problem.UnsupportedMediaType,
		problem.Quarantined, problem.VersionMismatch, problem.TooLarge, problem.StateTooLarge, problem.KeyReused, problem.Overloaded,
		problem.BehaviorFailed, problem.Internal, problem.NotAttempted, problem.OutcomeUnknown, problem.NotCaughtUp,
	} {
		if statuses[reason] == 0 {
			t.Errorf("%s has no status", reason)
		}
	}
}

func TestErrorsThatAreNoProblemsTellNoSecrets(t *testing.T) {
	r := serveFakes(t, nil)
	tests := []struct {
		name             string
		err              error
		command, reading problem.Reason
	}{
		{"the time ran out", context.DeadlineExceeded, problem.OutcomeUnknown, problem.NotAttempted},
		{"the store was not reached", fmt.Errorf("dial 10.0.0.1: %w", eventstore.ErrNotAttempted), problem.NotAttempted, problem.NotAttempted},
		{"the store did not answer", fmt.Errorf("10.0.0.1: %w", eventstore.ErrOutcomeUnknown), problem.OutcomeUnknown, problem.NotAttempted},
		{"the store has no such name", fmt.Errorf("10.0.0.1: %w", eventstore.ErrUnknownName), problem.UnknownName, problem.UnknownName},
		{"nobody foresaw it", errors.New("10.0.0.1: password"), problem.Internal, problem.Internal},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r.handle = func(context.Context, string, shard.Command) (shard.Answer, error) { return shard.Answer{}, tt.err }
			r.read = func(context.Context, string, string) (shard.View, error) { return shard.View{}, tt.err }
			for method, want := range map[string]problem.Reason{"POST": tt.command, "GET": tt.reading} {
				path := map[string]string{"POST": "/v1/aggregates/account/alice/Deposit", "GET": "/v1/aggregates/account/alice"}[method]
				a := r.ask(t, method, path, "")
				if d := a.problem(t); d.Reason != want {
					t.Errorf("%s: %s, want %s", method, d.Reason, want)
				}
				if strings.Contains(a.body, "10.0.0.1") {
					t.Errorf("%s: the answer tells what is inside: %s", method, a.body)
				}
			}
		})
	}
}

func TestAPanicIsAnsweredAndTheNextCallIsServed(t *testing.T) {
	r := serveFakes(t, nil)
	handle := r.handle
	r.handle = func(context.Context, string, shard.Command) (shard.Answer, error) { panic("a defect") }
	a := r.ask(t, "POST", "/v1/aggregates/account/alice/Deposit", `{}`)
	if d := a.problem(t); a.code != http.StatusInternalServerError || d.Reason != problem.Internal || strings.Contains(a.body, "a defect") {
		t.Errorf("%d %s", a.code, a.body)
	}
	r.handle = handle
	if a := r.ask(t, "POST", "/v1/aggregates/account/alice/Deposit", `{}`); a.code != http.StatusOK {
		t.Errorf("the call after it: %d %s", a.code, a.body)
	}
}

func TestHeadIsGetWithoutABody(t *testing.T) {
	r := serveFakes(t, nil)
	for _, path := range []string{
		"/v1/aggregates/account/alice", "/v1/aggregates/account/alice/events", "/v1/events/account", "/v1/projections/balances",
		"/v1/projections/balances/alice", "/v1/shards", "/v1/definitions", "/openapi.json", "/v1/nothing", "/v1/aggregates/nothing/alice",
	} {
		get, head := r.ask(t, "GET", path, ""), r.ask(t, "HEAD", path, "")
		get.header.Del("Date")
		head.header.Del("Date")
		if head.body != "" || head.code != get.code {
			t.Errorf("%s: HEAD answers %d %q, GET %d", path, head.code, head.body, get.code)
		}
		if diff := cmp.Diff(get.header, head.header); diff != "" {
			t.Errorf("%s: headers (-GET +HEAD):\n%s", path, diff)
		}
	}
}

func TestWrongMethodsAreToldWhichAreRight(t *testing.T) {
	r := serveFakes(t, nil)
	tests := []struct{ method, path, allow string }{
		{"GET", "/v1/aggregates/account/alice/Deposit", "POST"},
		{"PUT", "/v1/aggregates/account/alice/Deposit", "POST"},
		{"POST", "/v1/aggregates/account/alice/events", "GET, HEAD"},
		{"POST", "/v1/aggregates/account/alice", "GET, HEAD"},
		{"DELETE", "/v1/aggregates/account/alice", "GET, HEAD"},
		{"OPTIONS", "/v1/shards", "GET, HEAD"},
		{"POST", "/v1/events/account", "GET, HEAD"},
		{"POST", "/v1/projections/balances/alice", "GET, HEAD"},
		{"POST", "/v1/projections/balances", "GET, HEAD"},
		{"PUT", "/v1/projections/balances", "GET, HEAD"},
		{"GET", "/v1/projections/balances:pause", "POST"},
		{"PUT", "/v1/projections/balances%3Apause", "POST"},
		{"POST", "/v1/definitions", "GET, HEAD"},
		{"POST", "/openapi.json", "GET, HEAD"},
	}
	for _, tt := range tests {
		a := r.ask(t, tt.method, tt.path, "")
		if d := a.problem(t); a.code != http.StatusMethodNotAllowed || d.Reason != problem.MethodNotAllowed {
			t.Errorf("%s %s: %d %s", tt.method, tt.path, a.code, d.Reason)
		}
		if got := a.header.Get("Allow"); got != tt.allow {
			t.Errorf("%s %s: Allow %q, want %q", tt.method, tt.path, got, tt.allow)
		}
	}
}
