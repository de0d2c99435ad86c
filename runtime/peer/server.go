package peer

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"connectrpc.com/connect"

	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
	"github.com/leftfold/leftfold/api/rpc/leftfold/v1/leftfoldv1connect"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

const (
	// maxRequest bounds a request: the body of a command (1 MiB), and names.
	maxRequest = 2 << 20
	// maxTime bounds a call from a caller who names no time.
	maxTime = time.Minute
	// DefaultServed is how many calls of others are served at once. Each is a
	// goroutine and its request.
	DefaultServed = 16384
	// retryAfter is what callers are told whom a limit has turned away.
	retryAfter = time.Second
)

// Local answers for the shards of this process, and for no others: routing.Local.
// Errors are *problem.Problem, *routing.NotOwnerError or shard.ErrNotOwner.
type Local interface {
	Handle(ctx context.Context, aggregate string, c shard.Command) (shard.Answer, error)
	Read(ctx context.Context, aggregate, entity string, strong bool) (shard.View, error)
}

// NewHandler gives the path of the service and its handler, for a server of
// HTTP/2. Who may call it is for the server to check (identity.Only). served
// bounds the calls at once; zero means DefaultServed.
func NewHandler(local Local, served int, observer Observer, log *slog.Logger) (path string, h http.Handler) {
	if served <= 0 {
		served = DefaultServed
	}
	if log == nil {
		log = slog.Default()
	}
	s := &server{local: local, log: log, observer: observer, serving: make(chan struct{}, served)}
	return leftfoldv1connect.NewEntityServiceHandler(s,
		connect.WithReadMaxBytes(maxRequest),
		// Pods are near each other: to compress costs more than it saves.
		connect.WithCompression("gzip", nil, nil))
}

type server struct {
	local    Local
	log      *slog.Logger
	observer Observer
	serving  chan struct{} // a semaphore
}

// Handle implements the service.
func (s *server) Handle(ctx context.Context, m *leftfoldv1.HandleRequest) (*leftfoldv1.HandleResponse, error) {
	ctx, done, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	answer, err := s.local.Handle(ctx, m.GetAggregate(), commandOf(m))
	if err != nil {
		return nil, fault(s.log, err)
	}
	return answerMessage(answer), nil
}

// Read implements the service.
func (s *server) Read(ctx context.Context, m *leftfoldv1.ReadRequest) (*leftfoldv1.ReadResponse, error) {
	ctx, done, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	view, err := s.local.Read(ctx, m.GetAggregate(), m.GetEntity(), m.GetStrong())
	if err != nil {
		return nil, fault(s.log, err)
	}
	return viewMessage(view), nil
}

// enter takes a place among the calls that are served, and sees to it that the
// call ends some time.
func (s *server) enter(ctx context.Context) (context.Context, func(), error) {
	select {
	case s.serving <- struct{}{}:
	default:
		s.observer.refused(problem.LimitServedCalls)
		return nil, nil, fault(s.log, overloaded(problem.LimitServedCalls, "too many calls from other pods are under way"))
	}
	change(s.observer.Served, 1)
	cancel := func() {}
	if _, ok := ctx.Deadline(); !ok {
		ctx, cancel = context.WithTimeout(ctx, maxTime)
	}
	return ctx, func() { cancel(); <-s.serving; change(s.observer.Served, -1) }, nil
}

func overloaded(by problem.Limit, what string) *problem.Problem {
	p := problem.New(problem.Overloaded, "%s", what)
	p.RetryAfter = retryAfter
	return p.Over(by)
}
