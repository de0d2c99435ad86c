package control_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/api/identity"
	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
	"github.com/leftfold/leftfold/runtime/control"
	"github.com/leftfold/leftfold/runtime/control/controltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	podUID  = "uid-1"
	podName = "bank.default.runtime.leftfold"
)

// asked is a pod that only remembers what it was asked.
type asked struct {
	ready atomic.Bool

	mu     sync.Mutex
	words  []string
	come   chan string // one for each
	loads  []*leftfoldv1.Load
	survey func(context.Context) *leftfoldv1.Survey
}

func (a *asked) note(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.words = append(a.words, fmt.Sprintf(format, args...))
	a.come <- a.words[len(a.words)-1]
}

func (a *asked) Ready() bool { return a.ready.Load() }

func (a *asked) Grant(s control.Shard, expected int64) {
	a.note("grant %s/%d %d", s.Aggregate, s.Number, expected)
}

func (a *asked) Release(s control.Shard, epoch int64) {
	a.note("release %s/%d %d", s.Aggregate, s.Number, epoch)
}

func (a *asked) Owners(owners []*leftfoldv1.Owner) {
	for _, o := range owners {
		a.note("owner %s/%d %d %s %s", o.GetShard().GetAggregate(), o.GetShard().GetNumber(), o.GetEpoch(), o.GetIncarnation(), o.GetAddress())
	}
}

func (a *asked) Drain() { a.note("drain") }

func (a *asked) Loads() []*leftfoldv1.Load {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.loads
}

func (a *asked) Survey(ctx context.Context) *leftfoldv1.Survey {
	a.mu.Lock()
	survey := a.survey
	a.mu.Unlock()
	if survey == nil {
		return &leftfoldv1.Survey{}
	}
	return survey(ctx)
}

// rig is a Service behind a real listener with mutual TLS.
type rig struct {
	t         *testing.T
	service   *control.Service
	pod       *asked
	authority *controltest.Authority
	address   string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, pod: &asked{come: make(chan string, 1000)}, authority: controltest.NewAuthority(t)}
	r.service = control.New(control.Identity{
		PodUID: podUID, Incarnation: "i-1", Address: "10.0.0.1:8082", Version: "test",
	}, r.pod, slog.New(slog.DiscardHandler))
	path, handler := r.service.Handler()
	mux := http.NewServeMux()
	mux.Handle(path, identity.Only(handler, identity.OperatorName))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.address = listener.Addr().String()
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	server := &http.Server{
		Handler: mux, TLSConfig: identity.ServerConfig(r.authority.Identity(podName)), Protocols: protocols,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.ServeTLS(listener, "", "") })
	t.Cleanup(func() {
		r.service.Close()
		_ = server.Close()
		serving.Wait()
	})
	return r
}

// dial opens a stream as the operator.
func (r *rig) dial(term int64) *controltest.Operator {
	r.t.Helper()
	return r.dialAs(identity.OperatorName, term, podUID)
}

func (r *rig) dialAs(name string, term int64, uid string) *controltest.Operator {
	r.t.Helper()
	return controltest.Dial(r.t, r.address, identity.ClientConfig(r.authority.Identity(name), podName), term, uid)
}

func (r *rig) wantAsked(want string) {
	r.t.Helper()
	if got := <-r.pod.come; got != want {
		r.t.Errorf("the pod was asked %q, want %q", got, want)
	}
}

func report(number int32, state leftfoldv1.ShardState, epoch int64) *leftfoldv1.ShardReport {
	return &leftfoldv1.ShardReport{Shard: control.Shard{Aggregate: "account", Number: number}.Message(), State: state, Epoch: epoch}
}

const (
	claiming = leftfoldv1.ShardState_SHARD_STATE_CLAIMING
	serving  = leftfoldv1.ShardState_SHARD_STATE_SERVING
	released = leftfoldv1.ShardState_SHARD_STATE_RELEASED
	refused  = leftfoldv1.ShardState_SHARD_STATE_REFUSED
	failed   = leftfoldv1.ShardState_SHARD_STATE_FAILED
)
