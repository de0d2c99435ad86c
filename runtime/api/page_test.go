package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
)

// direct is a handler without a server, for callers whose every step a test sees.
type direct struct {
	*fakes
	handler *Handler
	told    *heard
}

func newDirect(t *testing.T, change func(*Config)) *direct {
	f := newFakes(t)
	c := f.config()
	d := &direct{fakes: f, told: hear(&c)}
	change(&c)
	d.handler = NewHandler(c)
	return d
}

// ask sends a request; its answer is read as it is written.
func (d *direct) ask(method, path, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, newRequest(method, path, body))
	return w
}

func newRequest(method, path, body string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

func (d *direct) want(t *testing.T, w *httptest.ResponseRecorder, code int, says string) {
	t.Helper()
	if w.Code != code || !strings.Contains(w.Body.String(), says) {
		t.Errorf("%d %s, want %d with %s", w.Code, w.Body, code, says)
	}
}

// slow is a caller that does not read its answer until it is let go.
type slow struct {
	*httptest.ResponseRecorder
	letGo chan struct{}
}

func (s slow) Write(p []byte) (int, error) {
	<-s.letGo
	return s.ResponseRecorder.Write(p)
}

// slowly sends a request whose answer waits to be read; end has it read.
func (d *direct) slowly(method, path, body string) (end func() *httptest.ResponseRecorder) {
	w := slow{httptest.NewRecorder(), make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.handler.ServeHTTP(w, newRequest(method, path, body))
	}()
	return func() *httptest.ResponseRecorder {
		close(w.letGo)
		<-done
		return w.ResponseRecorder
	}
}

func TestAnswersTakeNoMoreThanTheyMay(t *testing.T) {
	const history, state = "/v1/aggregates/account/alice/events", "/v1/aggregates/account/alice"
	event := eventBytes + 2*int64(len(deposited(1).Data))
	for name, tt := range map[string]struct {
		path  string
		bytes int64
	}{
		"a page of an aggregate's events": {"/v1/events/account", 3 * event},
		"a page of an entity's events":    {history, 3 * event},
		"an entity's state":               {state, 2 * int64(len(`{"balance":250,"limits":{},"owner":"A","status":"open"}`))},
		"a row":                           {"/v1/projections/balances/alice", 2 * int64(len(`"alice"{"owner":"A","balance":250}`))},
		"a page of rows":                  {"/v1/projections/balances", 2 * int64(len(`"alice"{"owner":"A","balance":250}`))},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDirect(t, func(c *Config) { c.AnswerBytes = 2*tt.bytes - 1 })
				end := d.slowly("GET", tt.path, "")
				synctest.Wait()
				if n := d.told.level("answerBytes"); n != tt.bytes {
					t.Errorf("told of %d bytes, want %d", n, tt.bytes)
				}
				d.want(t, d.ask("GET", tt.path, ""), 429, "Overloaded")
				d.told.wantRefusals(t, problem.LimitAnswers, 1)
				// What a command did must be told, whatever there is room for.
				d.want(t, d.ask("POST", depositPath, `{"amount":1}`), 200, "Deposited")
				if w := end(); w.Code != 200 {
					t.Errorf("the first: %d %s", w.Code, w.Body)
				}
				d.want(t, d.ask("GET", tt.path, ""), 200, "")
				d.told.wantRest(t, "answerBytes", "calls")
				if n := d.handler.answers.Load(); n != 0 {
					t.Errorf("%d bytes are still booked", n)
				}
			})
		})
	}
	t.Run("a command's answer counts", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDirect(t, func(c *Config) { c.AnswerBytes = event })
			end := d.slowly("POST", depositPath, `{"amount":1}`)
			synctest.Wait()
			d.want(t, d.ask("GET", state, ""), 429, "Overloaded")
			d.want(t, end(), 200, "Deposited")
			d.want(t, d.ask("GET", state, ""), 200, "balance")
			d.told.wantRest(t, "answerBytes")
		})
	})
}

func TestAStreamWithoutRoomForItsPageEndsAndMayBeResumed(t *testing.T) {
	var told *heard
	r := serveFakes(t, func(c *Config) { told = hear(c); c.AnswerBytes = 100 })
	r.spec = nil
	g := r.grow(1)
	expect(t, r.ask(t, "GET", "/v1/events/account", "", "Accept: text/event-stream"), 429, problem.Overloaded, "")
	told.wantRefusals(t, problem.LimitAnswers, 1)
	s := r.listen(t, "?after=end")
	s.expect(t, mark(t, 1))
	g.changed <- struct{}{}
	if !s.ended() {
		t.Error("the stream did not end in good order")
	}
	told.wantRefusals(t, problem.LimitAnswers, 2)
	told.wantRest(t, "answerBytes", "streams")
}

func TestAStreamKeepsNothingBetweenPages(t *testing.T) {
	var told *heard
	r := serveFakes(t, func(c *Config) { told = hear(c) })
	r.spec = nil
	g := r.grow(0)
	s := r.listen(t, "")
	s.expect(t, mark(t, 0))
	for seq := int64(1); seq <= 3; seq++ {
		g.changed <- struct{}{}
		s.expect(t, last(t, seq))
	}
	told.wantRest(t, "answerBytes")
	if n := told.level("streams"); n != 1 {
		t.Errorf("%d streams, one is open", n)
	}
}

func TestPagesOfEventsAreReadInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirect(t, func(c *Config) { c.Pages = 1 })
		reading, gate := make(chan struct{}, 10), make(chan struct{})
		history := d.history
		d.history = func(ctx context.Context, entity string, after int64, limit int) ([]eventstore.Event, bool, error) {
			reading <- struct{}{}
			<-gate
			return history(ctx, entity, after, limit)
		}
		const path = "/v1/aggregates/account/alice/events"
		answers := make(chan *httptest.ResponseRecorder, 2)
		for range 2 {
			go func() { answers <- d.ask("GET", path, "") }()
		}
		synctest.Wait()
		if len(reading) != 1 {
			t.Errorf("%d pages are read at once, want 1", len(reading))
		}
		gate <- struct{}{}
		d.want(t, <-answers, 200, "Deposited")
		synctest.Wait() // the other has its turn now
		began := time.Now()
		d.want(t, d.ask("GET", "/v1/events/account", ""), 429, "Overloaded")
		if took := time.Since(began); took != DefaultReadTimeout {
			t.Errorf("a page that had no turn was refused after %s, want %s", took, DefaultReadTimeout)
		}
		for _, past := range []string{"version=1", "at=2026-01-01T12:00:00Z"} {
			d.want(t, d.ask("GET", "/v1/aggregates/account/alice?"+past, ""), 429, "Overloaded")
		}
		d.want(t, d.ask("GET", "/v1/aggregates/account/alice", ""), 200, "balance") // it reads no page
		d.told.wantRefusals(t, problem.LimitPages, 3)
		// Whoever reads its answer slowly keeps nobody from reading.
		close(gate)
		d.want(t, <-answers, 200, "Deposited")
		end := d.slowly("GET", path, "")
		synctest.Wait()
		d.want(t, d.ask("GET", path, ""), 200, "Deposited")
		d.want(t, end(), 200, "Deposited")
	})
}

// TestWhatAnswersTakeIsNotUnderrated holds the estimate to what is written.
func TestWhatAnswersTakeIsNotUnderrated(t *testing.T) {
	e := deposited(1 << 60)
	e.Entity, e.CommandID = strings.Repeat("e", 256), strings.Repeat("k", 128)
	e.Data = json.RawMessage(`{"text":"` + strings.Repeat("x", 1000) + `"}`)
	shown, err := loggedEventOf(&e)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(shown)
	if err != nil {
		t.Fatal(err)
	}
	if took, most := int64(len(text)+len(shown.Data)), answerBytes([]eventstore.Event{e}); took > most {
		t.Errorf("an event takes %d bytes, booked are %d", took, most)
	}
}
