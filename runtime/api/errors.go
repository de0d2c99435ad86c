package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
)

// statuses is the one place where a reason becomes an HTTP status. A rejection
// in the author's words is a 409 whatever its reason is called.
var statuses = map[problem.Reason]int{
	problem.MalformedBody:    http.StatusBadRequest,
	problem.MissingField:     http.StatusBadRequest,
	problem.UnknownField:     http.StatusBadRequest,
	problem.WrongType:        http.StatusBadRequest,
	problem.CheckFailed:      http.StatusBadRequest,
	problem.InvalidEntity:    http.StatusBadRequest,
	problem.InvalidParameter: http.StatusBadRequest,

	problem.UnknownName:  http.StatusNotFound,
	problem.NoSuchEntity: http.StatusNotFound,

	problem.MethodNotAllowed:     http.StatusMethodNotAllowed,
	problem.UnsupportedMediaType: http.StatusUnsupportedMediaType,

	problem.Quarantined:     http.StatusConflict,
	problem.VersionMismatch: http.StatusPreconditionFailed,
	problem.TooLarge:        http.StatusRequestEntityTooLarge,
	problem.StateTooLarge:   http.StatusRequestEntityTooLarge,
	problem.KeyReused:       http.StatusUnprocessableEntity,
	problem.Overloaded:      http.StatusTooManyRequests,

	problem.BehaviorFailed: http.StatusInternalServerError,
	problem.Internal:       http.StatusInternalServerError,
	problem.NotAttempted:   http.StatusServiceUnavailable,
	problem.OutcomeUnknown: http.StatusGatewayTimeout,
	problem.NotCaughtUp:    http.StatusGatewayTimeout,
}

// status gives a problem's HTTP status.
func status(p *problem.Problem) int {
	if p.Rejected {
		return http.StatusConflict
	}
	if s, ok := statuses[p.Reason]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// classify finds the problem in an error. foreseen is false for an error that
// has none, and is none of the ends that every call can come to. command tells
// that the call may have written something.
func classify(err error, command bool) (p *problem.Problem, foreseen bool) {
	var found *problem.Problem
	switch {
	case errors.As(err, &found):
		return found, true
	case errors.Is(err, eventstore.ErrUnknownName):
		return problem.New(problem.UnknownName, "there is no such name here"), true
	case errors.Is(err, eventstore.ErrNotAttempted):
		return problem.New(problem.NotAttempted, "the event store cannot be reached; nothing was attempted"), true
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, eventstore.ErrOutcomeUnknown):
		if command {
			return problem.New(problem.OutcomeUnknown, "the command's time ended before its outcome was known; send it again with the same key"), true
		}
		return problem.New(problem.NotAttempted, "the answer took too long"), true
	}
	return problem.From(err), false
}

// document is a problem as RFC 9457 writes it.
type document struct {
	Type    string         `json:"type"`
	Title   string         `json:"title"`
	Status  int            `json:"status"`
	Detail  string         `json:"detail"`
	Reason  problem.Reason `json:"reason"`
	Field   string         `json:"field,omitempty"`
	Version *int64         `json:"version,omitempty"`
}

// refuse answers with a problem document and the headers that belong to it.
func (h *Handler) refuse(w http.ResponseWriter, p *problem.Problem) {
	code := status(p)
	d := document{Type: "about:blank", Title: http.StatusText(code), Status: code, Detail: p.Detail, Reason: p.Reason, Field: p.Field}
	if code == http.StatusPreconditionFailed {
		d.Version = &p.Version
	}
	if p.Replay {
		w.Header().Set(replayHeader, "true")
	}
	wait := p.RetryAfter
	if wait <= 0 && (code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable) {
		wait = retryAfter
	}
	if wait > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(wholeSeconds(wait), 10))
	}
	h.write(w, code, "application/problem+json", d)
}

// wholeSeconds rounds up, for a caller that comes too early comes in vain.
func wholeSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }
