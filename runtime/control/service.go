package control

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
	"github.com/leftfold/leftfold/api/rpc/leftfold/v1/leftfoldv1connect"
)

// Service serves control streams. Its methods are safe for concurrent use.
type Service struct {
	self Identity
	pod  Pod
	log  *slog.Logger
	// heard is when the leader was last heard; nil before the first Hello.
	heard atomic.Pointer[time.Time]

	mu      sync.Mutex
	term    int64
	current *stream
	closed  bool
	// What a leader that comes is told: the last report of each shard that is
	// here or has failed here, and of each definition.
	shards      map[Shard]*leftfoldv1.ShardReport
	definitions map[definitionKey]*leftfoldv1.DefinitionReport
	draining    bool
	streams     sync.WaitGroup
}

type definitionKey struct{ kind, name string }

// New makes a Service for a pod. Reports may come before the first stream.
func New(self Identity, pod Pod, log *slog.Logger) *Service {
	if log == nil {
		log = slog.Default()
	}
	return &Service{
		self: self, pod: pod, log: log,
		shards:      map[Shard]*leftfoldv1.ShardReport{},
		definitions: map[definitionKey]*leftfoldv1.DefinitionReport{},
	}
}

// Handler gives the path of the service and its handler, for a server of HTTP/2.
// Who may call it is for the server to check.
func (s *Service) Handler() (path string, h http.Handler) {
	path, h = leftfoldv1connect.NewControlServiceHandler(s)
	return path, withDeadlines(h)
}

// Heard tells when the operator was last heard; zero when it never was.
func (s *Service) Heard() time.Time {
	if at := s.heard.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

// ReportShard tells what has become of a shard. r is not changed afterwards.
func (s *Service) ReportShard(r *leftfoldv1.ShardReport) {
	shard := ShardOf(r.GetShard())
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.GetState() {
	case leftfoldv1.ShardState_SHARD_STATE_RELEASED, leftfoldv1.ShardState_SHARD_STATE_REFUSED:
		delete(s.shards, shard) // it is not here, and who comes need not know that it was
	default:
		s.shards[shard] = r
	}
	s.tell(shard, &leftfoldv1.ControlReply{Kind: &leftfoldv1.ControlReply_Shard{Shard: r}})
}

// ReportDefinition tells what has become of a definition. One that is the same as
// the last of its object is told once. r is not changed afterwards.
func (s *Service) ReportDefinition(r *leftfoldv1.DefinitionReport) {
	key := definitionKey{r.GetKind(), r.GetName()}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.definitions[key]; known != nil && proto.Equal(known, r) {
		return
	}
	if r.GetGone() {
		delete(s.definitions, key)
	} else {
		s.definitions[key] = r
	}
	s.tell(key, &leftfoldv1.ControlReply{Kind: &leftfoldv1.ControlReply_Definition{Definition: r}})
}

// ReportDraining tells that the process is to end. Calling it again does nothing.
func (s *Service) ReportDraining() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.draining {
		s.draining = true
		s.tell(drainingKey, drainingReply)
	}
}

// tell hands a reply to the current stream, if there is one.
func (s *Service) tell(key any, reply *leftfoldv1.ControlReply) {
	if s.current != nil {
		s.current.out.put(key, reply)
	}
}

// Close ends all streams and waits for them. Calling it again does nothing.
func (s *Service) Close() {
	s.mu.Lock()
	s.closed = true
	if s.current != nil {
		s.current.end(connect.NewError(connect.CodeUnavailable, errEnding))
	}
	s.mu.Unlock()
	s.streams.Wait()
}

// admit makes a stream the current one and hands it all that there is to tell.
func (s *Service) admit(st *stream, hello *leftfoldv1.Hello) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return connect.NewError(connect.CodeUnavailable, errEnding)
	case hello.GetPodUid() != s.self.PodUID:
		return connect.NewError(connect.CodeNotFound, fmt.Errorf("this is pod %q, not %q", s.self.PodUID, hello.GetPodUid()))
	case hello.GetTerm() < s.term:
		return termTooLow(hello.GetTerm(), s.term)
	}
	if s.current != nil {
		s.current.end(connect.NewError(connect.CodeAborted, errReplaced))
	}
	s.log.Info("an operator's leader is here", slog.Int64("term", hello.GetTerm()))
	s.term, s.current = hello.GetTerm(), st
	s.hear()
	st.out.put(welcomeKey, &leftfoldv1.ControlReply{Kind: &leftfoldv1.ControlReply_Welcome{Welcome: &leftfoldv1.Welcome{
		PodUid: s.self.PodUID, Incarnation: s.self.Incarnation, Address: s.self.Address, Version: s.self.Version,
	}}})
	if s.draining {
		st.out.put(drainingKey, drainingReply)
	}
	for shard, r := range s.shards {
		st.out.put(shard, &leftfoldv1.ControlReply{Kind: &leftfoldv1.ControlReply_Shard{Shard: r}})
	}
	for key, r := range s.definitions {
		st.out.put(key, &leftfoldv1.ControlReply{Kind: &leftfoldv1.ControlReply_Definition{Definition: r}})
	}
	return nil
}

// leave takes a stream out that has ended.
func (s *Service) leave(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == st {
		s.current = nil
		s.log.Warn("the operator's stream has ended; shards go on without it")
	}
}

// isCurrent tells whether what comes in on the stream counts.
func (s *Service) isCurrent(st *stream) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current == st
}

func (s *Service) hear() {
	now := time.Now()
	s.heard.Store(&now)
}

func termTooLow(offered, seen int64) error {
	err := connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("term %d is over: a leader of term %d was here", offered, seen))
	if detail, cause := connect.NewErrorDetail(&leftfoldv1.TermSeen{Term: seen}); cause == nil {
		err.AddDetail(detail)
	}
	return err
}

// Control implements the service.
func (s *Service) Control(ctx context.Context, conn *connect.BidiStream[leftfoldv1.ControlRequest, leftfoldv1.ControlReply]) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return connect.NewError(connect.CodeUnavailable, errEnding)
	}
	s.streams.Add(1)
	s.mu.Unlock()
	defer s.streams.Done()
	return newStream(s, conn, deadlinesOf(ctx)).serve(ctx)
}
