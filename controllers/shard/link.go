package shard

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"sync"
	"syscall"
	"time"

	"connectrpc.com/connect"
	"github.com/go-logr/logr"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/leftfold/leftfold/api/rpc"
	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
	"github.com/leftfold/leftfold/api/rpc/leftfold/v1/leftfoldv1connect"
)

const (
	// connectTimeout is what a pod's node gets to accept a connection: one packet is
	// sent again within it.
	connectTimeout = 1500 * time.Millisecond
	// dialTimeout is what a pod gets to answer a dial, by its Welcome, when many may
	// be dialled at once. A pod that is frozen accepts connections and says nothing.
	dialTimeout = 3 * time.Second
	// redialTimeout is what it gets when a connection to it has just broken: a
	// process that lives answers within a few milliseconds, and a dead one's shards
	// wait.
	redialTimeout = 150 * time.Millisecond
	// firstBackoff is before the second dial in a row that came to nothing; it
	// doubles up to maxBackoff.
	firstBackoff, maxBackoff = 20 * time.Millisecond, time.Second
	// maxDials is how many pods are dialled at a time or are about to tell what they
	// know, so that a start of many pods at once takes neither all time nor much
	// memory: each tells of all shards that the store has. Redials do not count.
	maxDials = 32
	// tellTimeout is how long a pod may take for that before others have their turn.
	tellTimeout = 2 * time.Second
)

// linkConfig is what a link needs of the Fleet.
type linkConfig struct {
	tls               *tls.Config
	interval, timeout time.Duration
	// tell hands an event to the pool. False: the pool has ended.
	tell func(event) bool
	// term is the leader's.
	term func() int64
	// outvoted tells of a higher term that a pod has seen; true: it was risen
	// above.
	outvoted func(ctx context.Context, seen int64) bool
	dials    chan struct{} // holds maxDials
	log      logr.Logger
}

// link is the line to a pod: a goroutine that dials, and serves the stream.
type link struct {
	linkConfig
	pod  pod
	stop context.CancelFunc
	kick chan struct{} // holds one: dial now

	mu  sync.Mutex
	out *outbox            // of the connection; nil: there is none
	cut context.CancelFunc // ends the connection
}

func newLink(ctx context.Context, to pod, config linkConfig) (l *link, run func()) {
	ctx, stop := context.WithCancel(ctx)
	l = &link{linkConfig: config, pod: to, stop: stop, kick: make(chan struct{}, 1)}
	return l, func() { defer stop(); l.run(ctx) }
}

func (l *link) close() { l.stop() }

func (l *link) redial() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

func (l *link) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut != nil {
		l.cut()
	}
}

func (l *link) send(r *leftfoldv1.ControlRequest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.out != nil && !l.out.put(r) {
		l.log.Info("a pod takes no messages; the connection is cut", "pod", l.pod.name)
		l.cut()
	}
}

// run dials until the line is closed. A connection that broke is dialled anew at
// once, which is what liveness asks for then.
func (l *link) run(ctx context.Context) {
	backoff, hurry := time.Duration(0), false
	for ctx.Err() == nil {
		end, wasOpen := l.connect(ctx, hurry)
		if ctx.Err() != nil || !l.tell(event{kind: end, uid: l.pod.uid}) {
			return
		}
		if hurry = end == broken; hurry {
			backoff = 0
			continue
		}
		if wasOpen || backoff == 0 {
			backoff = firstBackoff
		} else {
			backoff = min(2*backoff, maxBackoff)
		}
		select {
		case <-ctx.Done():
		case <-l.kick:
			hurry = true
		case <-time.After(backoff):
		}
	}
}

// connect makes a connection, serves the stream and tells how it ended.
func (l *link) connect(ctx context.Context, hurry bool) (end eventKind, wasOpen bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	patience, told := redialTimeout, func() {}
	if !hurry {
		patience = dialTimeout
		select {
		case l.dials <- struct{}{}:
			told = sync.OnceFunc(func() { <-l.dials })
			defer told()
		case <-ctx.Done():
			return lost, false
		}
	}
	timer := time.AfterFunc(patience, cancel)
	defer timer.Stop()
	s, welcome, err := l.open(ctx)
	if err != nil {
		if s != nil {
			s.close()
		}
		return l.failed(ctx, err), false
	}
	defer s.close()
	if !timer.Stop() {
		return unanswered, false
	}
	defer time.AfterFunc(tellTimeout, told).Stop()
	return l.serve(ctx, cancel, s, welcome, told), true
}

// session is a connection with a stream on it.
type session struct {
	conn   *http.ClientConn
	leash  func() bool
	stream *connect.BidiStreamForClientSimple[leftfoldv1.ControlRequest, leftfoldv1.ControlReply]
}

func (s *session) close() {
	s.leash()
	_ = s.conn.Close()
	if s.stream != nil {
		_ = s.stream.CloseRequest()
		_ = s.stream.CloseResponse()
	}
}

// open dials, says Hello and waits for the Welcome.
func (l *link) open(ctx context.Context) (*session, *leftfoldv1.ControlReply, error) {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	transport := &http.Transport{TLSClientConfig: l.tls, Protocols: protocols, DialContext: rpc.Dialer(connectTimeout).DialContext}
	conn, err := transport.NewClientConn(ctx, "https", l.pod.dial)
	if err != nil {
		return nil, nil, err
	}
	// A stream that waits for what to send does not notice the end of its context.
	s := &session{conn: conn, leash: context.AfterFunc(ctx, func() { _ = conn.Close() })}
	client := leftfoldv1connect.NewControlServiceClient(&http.Client{Transport: conn}, "https://"+l.pod.dial,
		connect.WithAcceptCompression("gzip", nil, nil)) // small messages, one hop
	if s.stream, err = client.Control(ctx); err != nil {
		return s, nil, err
	}
	err = s.stream.Send(&leftfoldv1.ControlRequest{Kind: &leftfoldv1.ControlRequest_Hello{Hello: &leftfoldv1.Hello{
		Term: l.term(), PodUid: string(l.pod.uid),
		Interval: durationpb.New(l.interval), Timeout: durationpb.New(l.timeout),
	}}})
	if err != nil && !isEnd(err) {
		return s, nil, err
	}
	reply, err := s.stream.Receive()
	if err != nil {
		return s, nil, err
	}
	if reply.GetWelcome().GetPodUid() != string(l.pod.uid) {
		return s, nil, errNotThePod
	}
	return s, reply, nil
}

var errNotThePod = errors.New("the process that answers is another pod's")

// serve has messages sent and hands replies on, until the stream ends. It calls told
// when the pod has told all it knows.
func (l *link) serve(ctx context.Context, cut context.CancelFunc, s *session, welcome *leftfoldv1.ControlReply, told func()) eventKind {
	out := newOutbox()
	l.mu.Lock()
	l.out, l.cut = out, cut
	l.mu.Unlock()
	var sending sync.WaitGroup
	defer func() {
		l.mu.Lock()
		l.out, l.cut = nil, nil
		l.mu.Unlock()
		cut()
		sending.Wait()
	}()
	if !l.tell(event{kind: opened, uid: l.pod.uid, reply: welcome}) {
		return lost
	}
	sending.Go(func() { l.feed(ctx, s, out) })
	for {
		reply, err := s.stream.Receive()
		if err != nil {
			if kind := l.failed(ctx, err); kind == refused {
				return broken
			}
			return lost
		}
		survey := reply.GetSurvey()
		if survey == nil {
			if !l.tell(event{kind: heard, uid: l.pod.uid, reply: reply}) {
				return lost
			}
			continue
		}
		// The rest waits, in the form of the wire, until this part is made use of: a
		// survey as a whole takes megabytes, and every pod has one.
		taken := make(chan struct{})
		if !l.tell(event{kind: heard, uid: l.pod.uid, reply: reply, taken: taken}) {
			return lost
		}
		select {
		case <-taken:
		case <-ctx.Done():
		}
		if !survey.GetMore() {
			told()
		}
	}
}

// feed sends what waits, and pings. What cannot be sent shows when receiving.
func (l *link) feed(ctx context.Context, s *session, out *outbox) {
	ticker := time.NewTicker(l.interval)
	defer ticker.Stop()
	for number := int64(1); ; number++ {
		err := s.stream.Send(&leftfoldv1.ControlRequest{Kind: &leftfoldv1.ControlRequest_Ping{Ping: &leftfoldv1.Ping{Number: number}}})
		for tick := false; !tick && err == nil; {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				tick = true
			case <-out.wake:
				for _, r := range out.take() {
					if err = s.stream.Send(r); err != nil {
						break
					}
				}
			}
		}
		if err != nil {
			return
		}
	}
}

// failed tells what an error proves: refused, that no process is there any more, or
// that it ended the connection; unanswered, nothing.
func (l *link) failed(ctx context.Context, err error) eventKind {
	var answer *connect.Error
	switch {
	case ctx.Err() != nil:
		return unanswered
	case errors.As(err, &answer) && connect.IsWireError(err):
		return l.answered(ctx, answer)
	case isTimeout(err), errors.Is(err, errNotThePod):
		return unanswered
	case answer != nil, isRefusal(err), isEnd(err):
		return refused
	default:
		// A handshake that failed, above all: somebody is there, but not one of ours.
		l.log.V(1).Info("a pod does not answer", "pod", l.pod.name, "error", err.Error())
		return unanswered
	}
}

// answered tells what an answer of the pod's proves.
func (l *link) answered(ctx context.Context, answer *connect.Error) eventKind {
	l.log.V(1).Info("a pod ended the stream", "pod", l.pod.name, "code", answer.Code().String(), "error", answer.Message())
	switch answer.Code() {
	case connect.CodeUnavailable, connect.CodeCanceled:
		return refused // its process ends
	case connect.CodeFailedPrecondition:
		for _, detail := range answer.Details() {
			if value, err := detail.Value(); err == nil {
				if seen, ok := value.(*leftfoldv1.TermSeen); ok && l.outvoted(ctx, seen.GetTerm()) {
					l.redial()
				}
			}
		}
	}
	return unanswered
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout() ||
		errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH)
}

func isRefusal(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func isEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }
