package api

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

const depositPath = "/v1/aggregates/account/alice/Deposit"

// catch keeps the command that arrives.
func (r *rig) catch() *shard.Command {
	caught, answer := new(shard.Command), r.handle
	r.handle = func(ctx context.Context, aggregate string, c shard.Command) (shard.Answer, error) {
		*caught = c
		return answer(ctx, aggregate, c)
	}
	return caught
}

func TestACommandArrivesAsItWasSent(t *testing.T) {
	r := serveFakes(t, nil)
	caught := r.catch()
	r.ask(t, "POST", depositPath, `{"amount": 1}`, "Idempotency-Key: k-1", `If-Match: "3"`)
	want := shard.Command{
		Entity: "alice", Name: "Deposit", Body: []byte(`{"amount": 1}`), ID: "k-1", Keyed: true,
		Expect: shard.Expectation{Kind: shard.ExpectVersion, Version: 3},
	}
	if diff := cmp.Diff(want, *caught); diff != "" {
		t.Errorf("command (-want +got):\n%s", diff)
	}
}

func TestACommandWithoutAKeyGetsAnIDOfItsOwn(t *testing.T) {
	r := serveFakes(t, nil)
	caught := r.catch()
	seen := map[string]bool{}
	for range 3 {
		r.ask(t, "POST", depositPath, `{}`)
		if caught.Keyed || len(caught.ID) < 20 || seen[caught.ID] {
			t.Errorf("keyed %t, id %q", caught.Keyed, caught.ID)
		}
		seen[caught.ID] = true
	}
}

func TestAReplayIsMarked(t *testing.T) {
	r := serveFakes(t, nil)
	answer := r.handle
	r.handle = func(ctx context.Context, aggregate string, c shard.Command) (shard.Answer, error) {
		a, err := answer(ctx, aggregate, c)
		a.Replay = true
		return a, err
	}
	if got := r.ask(t, "POST", depositPath, `{}`, "Idempotency-Key: k").header.Get("Idempotent-Replay"); got != "true" {
		t.Errorf("Idempotent-Replay: %q", got)
	}
}

func TestACommandWithoutEventsAnswersAnEmptyList(t *testing.T) {
	r := serveFakes(t, nil)
	r.handle = func(context.Context, string, shard.Command) (shard.Answer, error) {
		return shard.Answer{Entity: "alice", Version: 0, Shard: shardOne, Seq: 0}, nil
	}
	if got, want := r.ask(t, "POST", depositPath, `{}`).body, `{"entity":"alice","version":0,"position":"AQ","events":[]}`+"\n"; got != want {
		t.Errorf("got %s want %s", got, want)
	}
}

func TestKeysMustBeVisibleASCII(t *testing.T) {
	r := serveFakes(t, nil)
	tests := []struct {
		name    string
		headers []string
		code    int
	}{
		{"one character is enough", []string{"Idempotency-Key: k"}, 200},
		{"all visible characters", []string{`Idempotency-Key: !"#$%&'()*+,-./09:;<=>?@AZ[\]^_` + "`az{|}~"}, 200},
		{"128 characters", []string{"Idempotency-Key: " + strings.Repeat("k", 128)}, 200},
		{"129 characters are too many", []string{"Idempotency-Key: " + strings.Repeat("k", 129)}, 400},
		{"none is too few", []string{"Idempotency-Key: "}, 400},
		{"a space is not visible", []string{"Idempotency-Key: a b"}, 400},
		{"other alphabets are not ASCII", []string{"Idempotency-Key: clé"}, 400},
		{"two keys are one too many", []string{"Idempotency-Key: a", "Idempotency-Key: a"}, 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			expect(t, r.ask(t, "POST", depositPath, `{}`, tt.headers...), tt.code, problem.InvalidParameter, "Idempotency-Key")
		})
	}
}

// expect checks the status and, for a problem, reason and field.
func expect(t *testing.T, a answer, code int, reason problem.Reason, field string) {
	t.Helper()
	if a.code != code {
		t.Errorf("status %d, want %d: %s", a.code, code, a.body)
		return
	}
	if code < 300 {
		return
	}
	if d := a.problem(t); d.Reason != reason || d.Field != field {
		t.Errorf("reason %s on %q, want %s on %q", d.Reason, d.Field, reason, field)
	}
}

func TestIfMatchHasThreeForms(t *testing.T) {
	r := serveFakes(t, nil)
	caught := r.catch()
	tests := []struct {
		name    string
		headers []string
		code    int
		want    shard.Expectation
	}{
		{"nothing expects nothing", nil, 200, shard.Expectation{}},
		{"a version", []string{`If-Match: "42"`}, 200, shard.Expectation{Kind: shard.ExpectVersion, Version: 42}},
		{"no events", []string{`If-Match: "0"`}, 200, shard.Expectation{Kind: shard.ExpectVersion}},
		{"some events", []string{`If-Match: *`}, 200, shard.Expectation{Kind: shard.ExpectSome}},
		{"the largest version", []string{`If-Match: "9223372036854775807"`}, 200, shard.Expectation{Kind: shard.ExpectVersion, Version: 1<<63 - 1}},
		{"without quotes it is no version", []string{`If-Match: 3`}, 400, shard.Expectation{}},
		{"empty", []string{`If-Match: `}, 400, shard.Expectation{}},
		{"an empty tag", []string{`If-Match: ""`}, 400, shard.Expectation{}},
		{"one quote", []string{`If-Match: "`}, 400, shard.Expectation{}},
		{"a star in quotes", []string{`If-Match: "*"`}, 400, shard.Expectation{}},
		{"a weak tag", []string{`If-Match: W/"3"`}, 400, shard.Expectation{}},
		{"two tags", []string{`If-Match: "3", "4"`}, 400, shard.Expectation{}},
		{"two headers", []string{`If-Match: "3"`, `If-Match: "3"`}, 400, shard.Expectation{}},
		{"below zero", []string{`If-Match: "-1"`}, 400, shard.Expectation{}},
		{"a sign", []string{`If-Match: "+1"`}, 400, shard.Expectation{}},
		{"a leading zero", []string{`If-Match: "03"`}, 400, shard.Expectation{}},
		{"beyond 64 bits", []string{`If-Match: "9223372036854775808"`}, 400, shard.Expectation{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			*caught = shard.Command{}
			expect(t, r.ask(t, "POST", depositPath, `{}`, tt.headers...), tt.code, problem.InvalidParameter, "If-Match")
			if caught.Expect != tt.want {
				t.Errorf("expectation %+v, want %+v", caught.Expect, tt.want)
			}
		})
	}
}

func TestBodiesAreJSONOfAtMostOneMebibyte(t *testing.T) {
	r := serveFakes(t, nil)
	caught := r.catch()
	whole := `{"note":"` + strings.Repeat("x", MaxBody-len(`{"note":""}`)) + `"}`
	tests := []struct {
		name, body, mediaType string
		code                  int
		reason                problem.Reason
	}{
		{"plain", `{}`, "application/json", 200, ""},
		{"with a charset", `{}`, "application/json; charset=utf-8", 200, ""},
		{"in other letters", `{}`, "Application/JSON", 200, ""},
		{"exactly 1 MiB", whole, "application/json", 200, ""},
		{"one byte more", whole + " ", "application/json", 413, problem.TooLarge},
		{"a form", `amount=1`, "application/x-www-form-urlencoded", 415, problem.UnsupportedMediaType},
		{"JSON of another kind", `{}`, "application/merge-patch+json", 415, problem.UnsupportedMediaType},
		{"no type", `{}`, "-", 415, problem.UnsupportedMediaType},
		{"no type that can be read", `{}`, "application/json; charset", 415, problem.UnsupportedMediaType},
		{"what is in it is the behaviour's to say", `nonsense`, "application/json", 200, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			*caught = shard.Command{}
			expect(t, r.ask(t, "POST", depositPath, tt.body, "Content-Type: "+tt.mediaType), tt.code, tt.reason, "")
			if tt.code == http.StatusOK && string(caught.Body) != tt.body {
				t.Errorf("%d bytes arrived of %d", len(caught.Body), len(tt.body))
			}
		})
	}
}

func TestABodyOfUnknownLengthIsReadUpToTheLimit(t *testing.T) {
	r := serveFakes(t, nil)
	r.catch()
	body := &endless{}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+depositPath, body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := r.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d", response.StatusCode)
	}
}

// endless is a body without an end.
type endless struct{}

func (*endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestChecksComeInTheOrderOfTheContract(t *testing.T) {
	r := serveFakes(t, nil)
	caught := r.catch()
	// Each request is wrong in all that follows, too.
	tests := []struct {
		name, path, body string
		headers          []string
		code             int
		reason           problem.Reason
		field            string
	}{
		{"the entity first", "/v1/aggregates/account/%00/Deposit?x=1", "nonsense", []string{"Idempotency-Key: ", "Content-Type: text/plain", "If-Match: 3"}, 400, problem.InvalidEntity, "entity"},
		{"then parameters", depositPath + "?x=1", "nonsense", []string{"Idempotency-Key: ", "Content-Type: text/plain", "If-Match: 3"}, 400, problem.InvalidParameter, "x"},
		{"then the key", depositPath, "nonsense", []string{"Idempotency-Key: ", "Content-Type: text/plain", "If-Match: 3"}, 400, problem.InvalidParameter, "Idempotency-Key"},
		{"then the body's type", depositPath, "nonsense", []string{"Content-Type: text/plain", "If-Match: 3"}, 415, problem.UnsupportedMediaType, ""},
		{"then the body's size", depositPath, strings.Repeat(" ", MaxBody+1), []string{"If-Match: 3"}, 413, problem.TooLarge, ""},
		{"then If-Match", depositPath, "nonsense", []string{"If-Match: 3"}, 400, problem.InvalidParameter, "If-Match"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			expect(t, r.ask(t, "POST", tt.path, tt.body, tt.headers...), tt.code, tt.reason, tt.field)
			if caught.Name != "" {
				t.Error("the command arrived all the same")
			}
		})
	}
}

func TestACommandIsBoundedInTime(t *testing.T) {
	r := serveFakes(t, func(c *Config) { c.CommandTimeout = 20 * time.Millisecond; c.ReadTimeout = 20 * time.Millisecond })
	r.handle = func(ctx context.Context, _ string, _ shard.Command) (shard.Answer, error) {
		<-ctx.Done()
		return shard.Answer{}, ctx.Err()
	}
	r.read = func(ctx context.Context, _, _ string) (shard.View, error) {
		<-ctx.Done()
		return shard.View{}, ctx.Err()
	}
	expect(t, r.ask(t, "POST", depositPath, `{}`), 504, problem.OutcomeUnknown, "")
	expect(t, r.ask(t, "GET", "/v1/aggregates/account/alice", ""), 503, problem.NotAttempted, "")
}
