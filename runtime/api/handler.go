package api

import (
	"context"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/leftfold/leftfold/runtime/problem"
)

// retryAfter is what callers are told who were refused without another hint.
const retryAfter = time.Second

// Handler serves the HTTP API. See NewHandler.
type Handler struct {
	Config
	routes []route
	// streams is a semaphore over the open event streams, pages one over the calls that
	// read events.
	streams, pages chan struct{}
	// calls are those under way, streams apart; bodies is what their bodies take,
	// answers what their answers do.
	calls, bodies, answers atomic.Int64

	// draining ends when Drain is called.
	draining context.Context
	drain    context.CancelFunc
}

// NewHandler makes the handler of the API's port.
func NewHandler(c Config) *Handler {
	c = c.withDefaults()
	h := &Handler{Config: c, streams: make(chan struct{}, c.Streams), pages: make(chan struct{}, c.Pages)}
	h.draining, h.drain = context.WithCancel(context.Background())
	h.routes = h.table()
	return h
}

// Drain makes every new request be refused with NotAttempted, and ends the event
// streams. Requests under way go on; http.Server.Shutdown waits for them. It may
// be called more than once.
func (h *Handler) Drain() { h.drain() }

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	defer h.recover(w, r)
	if h.draining.Err() != nil {
		w.Header().Set("Connection", "close")
		p := problem.New(problem.NotAttempted, "this runtime is stopping; nothing was attempted")
		p.RetryAfter = retryAfter
		h.refuse(w, p)
		return
	}
	if r.Context().Value(tooManyKey{}) != nil {
		w.Header().Set("Connection", "close")
		p := problem.New(problem.NotAttempted, "%d connections are open, as many as may be", h.Connections)
		p.RetryAfter = retryAfter
		h.refuse(w, h.over(problem.LimitConnections, p))
		return
	}
	serve, variables, p := h.match(w, r)
	if p != nil {
		h.refuse(w, p)
		return
	}
	c := &call{Handler: h, w: w, r: r, variables: variables}
	defer c.end()
	tell(h.Observer.Calls, 1)
	if h.calls.Add(1) > int64(h.Calls) {
		c.fail(h.over(problem.LimitCalls, problem.New(problem.Overloaded, "%d calls are under way, as many as may be", h.Calls)))
		return
	}
	if err := serve(c); err != nil {
		c.fail(err)
	}
}

// recover turns a handler's panic into an answer, and a line in the log with
// what is needed to find it.
func (h *Handler) recover(w http.ResponseWriter, r *http.Request) {
	cause := recover()
	if cause == nil {
		return
	}
	if cause == http.ErrAbortHandler { //nolint:errorlint // recover gives the sentinel itself
		panic(cause)
	}
	h.Logger.Error("a request made the runtime panic; it was answered 500, others go on",
		"method", r.Method, "path", r.URL.EscapedPath(), "panic", cause, "stack", string(debug.Stack()))
	h.refuse(w, problem.From(nil))
}

// call is one request on its way through a handler.
type call struct {
	*Handler
	w http.ResponseWriter
	r *http.Request
	// variables are the unescaped parts of the path that vary, in order.
	variables []string
	// held is what is booked of the body, kept what is of the answer, following that
	// the call is a stream now and counts as one.
	held      int64
	kept      int64
	following bool
	// command tells that something may have been written by the time that the
	// call fails.
	command bool
}

// end gives back what the call has taken.
func (c *call) end() {
	c.letGo()
	c.bodies.Add(-c.held)
	tell(c.Observer.BodyBytes, -c.held)
	if !c.following {
		c.leave()
	}
}

// leave makes the call none that is under way.
func (c *call) leave() {
	c.calls.Add(-1)
	tell(c.Observer.Calls, -1)
}

// fail answers with the problem in err. What nobody foresaw is logged.
func (c *call) fail(err error) {
	p, foreseen := classify(err, c.command)
	switch {
	case c.r.Context().Err() != nil:
		// The caller has left: nobody reads the answer, and nothing is wrong.
	case !foreseen:
		c.Logger.LogAttrs(c.r.Context(), slog.LevelError, "a request failed inside the runtime; it was answered 500",
			slog.String("method", c.r.Method), slog.String("path", c.r.URL.EscapedPath()), slog.Any("error", err))
	}
	c.refuse(c.w, p)
}
