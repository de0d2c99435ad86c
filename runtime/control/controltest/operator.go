package controltest

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
	"github.com/leftfold/leftfold/api/rpc/leftfold/v1/leftfoldv1connect"
	"github.com/leftfold/leftfold/runtime/control"
)

const (
	// patience bounds every wait for something that must come.
	patience = 20 * time.Second
	// pingEvery is the interval of a Runtime's default settings.
	pingEvery = 200 * time.Millisecond
)

// Operator is a leader with one stream to one pod.
type Operator struct {
	t      testing.TB
	client *http.Client
	conn   *connect.BidiStreamForClientSimple[leftfoldv1.ControlRequest, leftfoldv1.ControlReply]
	cancel context.CancelFunc
	work   sync.WaitGroup
	sends  sync.Mutex
	// reading is held while the operator does not read.
	reading sync.Mutex
	over    chan struct{} // closed when the stream has ended

	mu      sync.Mutex
	changed chan struct{}
	seen    Seen
}

// Seen is what a pod has reported on a stream.
type Seen struct {
	Welcome     *leftfoldv1.Welcome
	Pongs       []*leftfoldv1.Pong
	Shards      map[control.Shard]*leftfoldv1.ShardReport
	History     []*leftfoldv1.ShardReport
	Definitions map[string]*leftfoldv1.DefinitionReport // by Kind/name
	Survey      *leftfoldv1.Survey
	Surveys     int
	// LargestPart of a survey, in bytes.
	LargestPart int
	part        *leftfoldv1.Survey // of the survey that is coming
	Loads       *leftfoldv1.Loads
	Draining    bool
	// Err is how the stream ended; nil while it has not.
	Err error
}

// Transport makes HTTP/2 connections with a client's certificate.
func Transport(config *tls.Config) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	return &http.Transport{TLSClientConfig: config, Protocols: protocols}
}

// Dial opens a stream and says Hello. It does not ping: see Ping and Live. The
// stream ends with the test at the latest.
func Dial(t testing.TB, address string, config *tls.Config, term int64, podUID string) *Operator {
	t.Helper()
	o := Open(t, address, config)
	o.Hello(term, podUID)
	return o
}

// Open opens a stream and says nothing yet.
func Open(t testing.TB, address string, config *tls.Config) *Operator {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	o := &Operator{
		t: t, client: &http.Client{Transport: Transport(config)}, cancel: cancel, changed: make(chan struct{}), over: make(chan struct{}),
		seen: Seen{Shards: map[control.Shard]*leftfoldv1.ShardReport{}, Definitions: map[string]*leftfoldv1.DefinitionReport{}},
	}
	t.Cleanup(o.Close)
	var err error
	o.conn, err = leftfoldv1connect.NewControlServiceClient(o.client, "https://"+address).Control(ctx)
	if err != nil {
		t.Fatalf("open a stream: %v", err)
	}
	o.work.Go(o.receive)
	return o
}

// Hello says who the operator is, and who it takes the pod for.
func (o *Operator) Hello(term int64, podUID string) {
	o.Send(&leftfoldv1.ControlRequest{Kind: &leftfoldv1.ControlRequest_Hello{Hello: &leftfoldv1.Hello{
		Term: term, PodUid: podUID, Interval: durationpb.New(pingEvery), Timeout: durationpb.New(time.Second),
	}}})
}

// Hesitate makes the operator read nothing until resume is called.
func (o *Operator) Hesitate() (resume func()) {
	o.reading.Lock()
	return o.reading.Unlock
}

// Close ends the stream without a word, as the end of the process would.
func (o *Operator) Close() {
	o.cancel()
	// The end of the context alone does not end a stream whose request goes on.
	_ = o.conn.CloseRequest()
	_ = o.conn.CloseResponse()
	o.work.Wait()
	o.client.CloseIdleConnections()
}

// Send says something to the pod. Errors show in Seen.Err.
func (o *Operator) Send(r *leftfoldv1.ControlRequest) {
	o.sends.Lock()
	defer o.sends.Unlock()
	_ = o.conn.Send(r)
}

// Live pings until the stream ends.
func (o *Operator) Live() {
	o.work.Go(func() {
		ticker := time.NewTicker(pingEvery)
		defer ticker.Stop()
		for number := int64(1); ; number++ {
			o.Ping(number)
			select {
			case <-ticker.C:
			case <-o.over:
				return
			}
		}
	})
}

// Ping sends one.
func (o *Operator) Ping(number int64) {
	o.Send(&leftfoldv1.ControlRequest{Kind: &leftfoldv1.ControlRequest_Ping{Ping: &leftfoldv1.Ping{Number: number}}})
}

// Grant gives a shard to the pod.
func (o *Operator) Grant(aggregate string, number int32, expected int64) {
	o.Send(&leftfoldv1.ControlRequest{Kind: &leftfoldv1.ControlRequest_Grant{Grant: &leftfoldv1.Grant{
		Shard: &leftfoldv1.Shard{Aggregate: aggregate, Number: number}, ExpectedEpoch: expected,
	}}})
}

// Release takes a shard from the pod.
func (o *Operator) Release(aggregate string, number int32, epoch int64) {
	o.Send(&leftfoldv1.ControlRequest{Kind: &leftfoldv1.ControlRequest_Release{Release: &leftfoldv1.Release{
		Shard: &leftfoldv1.Shard{Aggregate: aggregate, Number: number}, Epoch: epoch,
	}}})
}

// Owners tells who owns shards.
func (o *Operator) Owners(owners ...*leftfoldv1.Owner) {
	o.Send(&leftfoldv1.ControlRequest{Kind: &leftfoldv1.ControlRequest_Owners{Owners: &leftfoldv1.Owners{Owners: owners}}})
}

// Survey asks for one, and gives it.
func (o *Operator) Survey() *leftfoldv1.Survey {
	o.t.Helper()
	before := o.Seen().Surveys
	o.Send(&leftfoldv1.ControlRequest{Kind: &leftfoldv1.ControlRequest_Survey{Survey: &leftfoldv1.SurveyRequest{}}})
	return o.Until("a survey", func(s *Seen) bool { return s.Surveys > before }).Survey
}

// Drain tells the pod to go.
func (o *Operator) Drain() {
	o.Send(&leftfoldv1.ControlRequest{Kind: &leftfoldv1.ControlRequest_Drain{Drain: &leftfoldv1.Drain{}}})
}

func (o *Operator) receive() {
	for {
		o.reading.Lock()
		o.reading.Unlock() //nolint:staticcheck // it only waits until reading is allowed
		reply, err := o.conn.Receive()
		o.mu.Lock()
		if err != nil {
			o.seen.Err = err
		} else {
			o.seen.note(reply)
		}
		close(o.changed)
		o.changed = make(chan struct{})
		o.mu.Unlock()
		if err != nil {
			close(o.over)
			return
		}
	}
}

func (s *Seen) note(reply *leftfoldv1.ControlReply) {
	switch m := reply.GetKind().(type) {
	case *leftfoldv1.ControlReply_Welcome:
		s.Welcome = m.Welcome
	case *leftfoldv1.ControlReply_Pong:
		s.Pongs = append(s.Pongs, m.Pong)
	case *leftfoldv1.ControlReply_Shard:
		s.Shards[control.ShardOf(m.Shard.GetShard())] = m.Shard
		s.History = append(s.History, m.Shard)
	case *leftfoldv1.ControlReply_Definition:
		s.Definitions[m.Definition.GetKind()+"/"+m.Definition.GetName()] = m.Definition
	case *leftfoldv1.ControlReply_Survey:
		s.noteSurvey(m.Survey)
	case *leftfoldv1.ControlReply_Loads:
		s.Loads = m.Loads
	case *leftfoldv1.ControlReply_Draining:
		s.Draining = true
	}
}

// noteSurvey puts the parts of a survey together.
func (s *Seen) noteSurvey(part *leftfoldv1.Survey) {
	s.LargestPart = max(s.LargestPart, proto.Size(part))
	if s.part != nil {
		proto.Merge(s.part, part)
		s.part.More, part = part.GetMore(), s.part
	}
	if s.part = part; part.GetMore() {
		return
	}
	s.Survey, s.part = part, nil
	s.Surveys++
}

// Seen is what the pod has reported so far.
func (o *Operator) Seen() Seen {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.copy()
}

func (o *Operator) copy() Seen {
	s := o.seen
	s.Pongs, s.History = slices.Clone(s.Pongs), slices.Clone(s.History)
	s.Shards = make(map[control.Shard]*leftfoldv1.ShardReport, len(o.seen.Shards))
	for name, r := range o.seen.Shards {
		s.Shards[name] = r
	}
	s.Definitions = make(map[string]*leftfoldv1.DefinitionReport, len(o.seen.Definitions))
	for name, r := range o.seen.Definitions {
		s.Definitions[name] = r
	}
	return s
}

// Until waits until what the pod has reported is as it should be.
func (o *Operator) Until(what string, good func(*Seen) bool) Seen {
	o.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		o.mu.Lock()
		seen, changed := o.copy(), o.changed
		o.mu.Unlock()
		if good(&seen) {
			return seen
		}
		if seen.Err != nil {
			o.t.Fatalf("waiting for %s: the stream ended: %v", what, seen.Err)
		}
		select {
		case <-changed:
		case <-timeout.C:
			o.t.Fatalf("waiting for %s: it did not come; the pod has reported:%s", what, seen.text())
		}
	}
}

// Ended waits for the end of the stream, and gives its error.
func (o *Operator) Ended() error {
	o.t.Helper()
	return o.Until("the end of the stream", func(s *Seen) bool { return s.Err != nil }).Err
}

// Shard waits until a shard is in a state, and gives the report.
func (o *Operator) Shard(aggregate string, number int32, state leftfoldv1.ShardState) *leftfoldv1.ShardReport {
	o.t.Helper()
	name := control.Shard{Aggregate: aggregate, Number: number}
	seen := o.Until(fmt.Sprintf("%s/%d to be %s", aggregate, number, state), func(s *Seen) bool {
		return s.Shards[name].GetState() == state
	})
	return seen.Shards[name]
}

func (s *Seen) text() string {
	text := ""
	for _, r := range s.History {
		text += "\n  " + r.String()
	}
	return text
}
