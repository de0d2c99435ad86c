package control

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
)

const (
	// sendTimeout is how long a leader may take nothing before it is cut off: well
	// beyond any pause of a process that still lives.
	sendTimeout = 10 * time.Second
	// helloTimeout is how long a caller may take to say who it takes the pod for.
	helloTimeout = 5 * time.Second
	// endTimeout is what a stream that has to end gets to take what waits.
	endTimeout = time.Second
	// loadsEvery is how often loads are looked at. Placement by load moves shards
	// every few minutes at most.
	loadsEvery = time.Second
	// maxPart is how many shards a part of a survey names, about 40 KiB. Either end
	// keeps room for the largest message of a stream as long as the stream lasts,
	// and an operator has many streams.
	maxPart = 500
)

var (
	errReplaced = errors.New("another stream has taken this one's place")
	errEnding   = errors.New("the process ends")
	errNoHello  = errors.New("a stream begins with a Hello")
)

// Keys of what is at most once in an outbox; shards and definitions have their own.
type key string

const (
	welcomeKey  key = "welcome"
	drainingKey key = "draining"
	surveyKey   key = "survey"
	loadsKey    key = "loads"
)

var drainingReply = &leftfoldv1.ControlReply{Kind: &leftfoldv1.ControlReply_Draining{Draining: &leftfoldv1.Draining{}}}

// stream is one control stream. Its handler's goroutine receives, another sends,
// and a third looks at loads and makes surveys, which may take their time.
type stream struct {
	service   *Service
	conn      *connect.BidiStream[leftfoldv1.ControlRequest, leftfoldv1.ControlReply]
	deadlines *http.ResponseController
	out       *outbox
	survey    chan struct{} // holds one: a survey is asked for

	ending sync.Once
	// cause is why the pod ended the stream; set before ended is closed.
	cause error
	ended chan struct{}
}

func newStream(s *Service, conn *connect.BidiStream[leftfoldv1.ControlRequest, leftfoldv1.ControlReply], deadlines *http.ResponseController) *stream {
	return &stream{
		service: s, conn: conn, deadlines: deadlines, out: newOutbox(),
		survey: make(chan struct{}, 1), ended: make(chan struct{}),
	}
}

// end makes the stream end with an error for the leader; the first call counts.
func (st *stream) end(cause error) {
	st.ending.Do(func() {
		st.cause = cause
		close(st.ended)
		// Receive ends by this alone. It fails only where the stream is gone.
		_ = st.deadlines.SetReadDeadline(time.Now())
	})
}

func (st *stream) serve(ctx context.Context) error {
	_ = st.deadlines.SetReadDeadline(time.Now().Add(helloTimeout))
	first, err := st.conn.Receive()
	if err != nil {
		return err
	}
	if first.GetHello() == nil {
		return connect.NewError(connect.CodeInvalidArgument, errNoHello)
	}
	_ = st.deadlines.SetReadDeadline(time.Time{})
	if err := st.service.admit(st, first.GetHello()); err != nil {
		return err
	}
	defer st.service.leave(st)
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	sent := make(chan struct{})
	work.Go(func() { defer close(sent); st.send(ctx) })
	work.Go(func() { st.observe(ctx) })
	st.askSurvey()
	err = st.receive()
	select {
	case <-st.ended:
		err = st.cause
	default:
	}
	cancel()
	select {
	case <-sent:
	case <-time.After(endTimeout):
		_ = st.deadlines.SetWriteDeadline(time.Now())
	}
	work.Wait()
	return err
}

// receive hands on what the leader asks for, until the stream ends.
func (st *stream) receive() error {
	for {
		request, err := st.conn.Receive()
		if err != nil {
			return err
		}
		if !st.service.isCurrent(st) {
			return connect.NewError(connect.CodeAborted, errReplaced)
		}
		st.service.hear()
		st.handle(request)
	}
}

func (st *stream) handle(request *leftfoldv1.ControlRequest) {
	pod := st.service.pod
	switch m := request.GetKind().(type) {
	case *leftfoldv1.ControlRequest_Ping:
		st.out.putPong(&leftfoldv1.ControlReply{Kind: &leftfoldv1.ControlReply_Pong{Pong: &leftfoldv1.Pong{
			Number: m.Ping.GetNumber(), Ready: pod.Ready(),
		}}})
	case *leftfoldv1.ControlRequest_Grant:
		pod.Grant(ShardOf(m.Grant.GetShard()), m.Grant.GetExpectedEpoch())
	case *leftfoldv1.ControlRequest_Release:
		pod.Release(ShardOf(m.Release.GetShard()), m.Release.GetEpoch())
	case *leftfoldv1.ControlRequest_Owners:
		pod.Owners(m.Owners.GetOwners())
	case *leftfoldv1.ControlRequest_Survey:
		st.askSurvey()
	case *leftfoldv1.ControlRequest_Drain:
		pod.Drain()
	default:
		// A newer operator may ask for what this release does not know.
		st.service.log.Warn("the operator asks for something unknown to this release")
	}
}

// send brings replies to the leader, until the stream ends.
func (st *stream) send(ctx context.Context) {
	for {
		reply := st.out.take()
		if reply == nil {
			select {
			case <-st.out.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		if err := st.sendParts(reply); err != nil {
			st.service.log.Warn("the operator takes no reports; its stream ends", slog.Any("error", err))
			st.end(err)
			return
		}
	}
}

// sendParts sends a reply, and one that is large in parts.
func (st *stream) sendParts(reply *leftfoldv1.ControlReply) error {
	if survey := reply.GetSurvey(); survey != nil {
		for len(survey.GetShards()) > maxPart {
			part := &leftfoldv1.Survey{Members: survey.Members, Shards: survey.Shards[:maxPart], More: true}
			if err := st.sendOne(surveyReply(part)); err != nil {
				return err
			}
			survey.Members, survey.Shards = nil, survey.Shards[maxPart:]
		}
	}
	return st.sendOne(reply)
}

func (st *stream) sendOne(reply *leftfoldv1.ControlReply) error {
	// A deadline that passes between two sends would end the stream, too.
	_ = st.deadlines.SetWriteDeadline(time.Now().Add(sendTimeout))
	err := st.conn.Send(reply)
	_ = st.deadlines.SetWriteDeadline(time.Time{})
	return err
}

func surveyReply(survey *leftfoldv1.Survey) *leftfoldv1.ControlReply {
	return &leftfoldv1.ControlReply{Kind: &leftfoldv1.ControlReply_Survey{Survey: survey}}
}

func (st *stream) askSurvey() {
	select {
	case st.survey <- struct{}{}:
	default:
	}
}

// observe tells loads as they change, and makes surveys.
func (st *stream) observe(ctx context.Context) {
	ticker := time.NewTicker(loadsEvery)
	defer ticker.Stop()
	told := &leftfoldv1.Loads{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-st.survey:
			survey := st.service.pod.Survey(ctx)
			st.out.put(surveyKey, surveyReply(survey))
		case <-ticker.C:
			if loads := (&leftfoldv1.Loads{Loads: st.service.pod.Loads()}); !proto.Equal(loads, told) {
				told = loads
				st.out.put(loadsKey, &leftfoldv1.ControlReply{Kind: &leftfoldv1.ControlReply_Loads{Loads: loads}})
			}
		}
	}
}

// deadlinesKey is where withDeadlines leaves the means to end a read or write
// that hangs.
type deadlinesKey struct{}

func withDeadlines(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), deadlinesKey{}, http.NewResponseController(w))))
	})
}

func deadlinesOf(ctx context.Context) *http.ResponseController {
	deadlines, _ := ctx.Value(deadlinesKey{}).(*http.ResponseController)
	return deadlines
}
