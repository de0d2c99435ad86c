package shard

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/leftfold/leftfold/api/identity"
	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
	"github.com/leftfold/leftfold/api/rpc/leftfold/v1/leftfoldv1connect"
	"github.com/leftfold/leftfold/api/v1alpha1"
)

var bankRuntime = types.NamespacedName{Namespace: "shop", Name: "bank"}

// fleetWorld is a Fleet with pods behind real sockets, under mutual TLS, and a
// Kubernetes in memory.
type fleetWorld struct {
	t         testing.TB
	store     *store
	client    client.Client
	authority *identity.Authority
	fleet     *Fleet
	metrics   *prometheus.Registry // of the last Fleet
	stop      func()
	// writes counts what was written of Shards' status.
	writes atomic.Int64

	network, port, next int
	pods                []*socketPod
}

// socketPod is a pod with a process behind a real socket.
type socketPod struct {
	world   *fleetWorld
	name    string
	address string
	process *process
	server  *http.Server
	ended   chan struct{}
	// slow: between two parts of a survey it waits for a ping, and so gives the leader
	// the time to act on what it has.
	slow  bool
	pings chan struct{}
}

var networks atomic.Int32

func newFleetWorld(t testing.TB, aggregates map[string]int, objects ...client.Object) *fleetWorld {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, appsv1.AddToScheme, coordinationv1.AddToScheme, v1alpha1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	objects = append(objects, &v1alpha1.Runtime{
		ObjectMeta: metav1.ObjectMeta{Namespace: bankRuntime.Namespace, Name: bankRuntime.Name},
		Spec: v1alpha1.RuntimeSpec{
			StoreRef: v1alpha1.LocalReference{Name: "bank"},
			Failover: v1alpha1.Failover{HeartbeatIntervalMilliseconds: 50, HeartbeatTimeoutMilliseconds: 1000},
		},
	})
	authority, err := identity.NewAuthority("test", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	w := &fleetWorld{
		t: t, store: newStore(aggregates), authority: authority, network: int(networks.Add(1)),
	}
	w.client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(&v1alpha1.Shard{}).
		WithInterceptorFuncs(interceptor.Funcs{SubResourcePatch: w.patch}).Build()
	t.Cleanup(func() {
		if w.stop != nil {
			w.stop()
		}
		for _, p := range w.pods {
			p.close()
		}
	})
	return w
}

func (w *fleetWorld) patch(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, options ...client.SubResourcePatchOption) error {
	w.writes.Add(1)
	return c.SubResource(sub).Patch(ctx, o, p, options...)
}

// holder makes an identity of a name.
func (w *fleetWorld) holder(authority *identity.Authority, name string) identity.Source {
	w.t.Helper()
	certificate, key, err := authority.Issue(name, time.Now(), time.Hour)
	if err != nil {
		w.t.Fatal(err)
	}
	holder := identity.NewHolder()
	if err := holder.Set(certificate, key, authority.CertificatePEM()); err != nil {
		w.t.Fatal(err)
	}
	return holder
}

// lead starts a Fleet, in the place of the one before.
func (w *fleetWorld) lead(change ...func(*Config)) {
	w.t.Helper()
	if w.stop != nil {
		w.stop()
	}
	w.metrics = prometheus.NewRegistry()
	config := Config{
		Client: w.client, Identity: w.holder(w.authority, identity.OperatorName),
		Metrics: w.metrics, Log: logr.Discard(), Port: w.port,
	}
	for _, c := range change {
		c(&config)
	}
	w.fleet = NewFleet(config)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.fleet.Start(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	})
	w.see()
}

// see has the Fleet look at the Runtime.
func (w *fleetWorld) see() {
	w.t.Helper()
	if _, err := w.fleet.Reconcile(context.Background(), reconcile.Request{NamespacedName: bankRuntime}); err != nil {
		w.t.Fatal(err)
	}
}

// add makes pods, each with an address of its own and the same port.
func (w *fleetWorld) add(count int) []*socketPod {
	w.t.Helper()
	source := w.holder(w.authority, identity.RuntimeName(bankRuntime.Namespace, bankRuntime.Name))
	for range count {
		w.next++
		p := &socketPod{world: w, name: fmt.Sprintf("bank-%d", w.next)}
		ip := fmt.Sprintf("127.%d.%d.%d", 10+w.network, w.next/250, 1+w.next%250)
		listener, err := net.Listen("tcp", net.JoinHostPort(ip, fmt.Sprint(w.port)))
		if err != nil {
			w.t.Fatal(err)
		}
		if w.port == 0 {
			w.port = listener.Addr().(*net.TCPAddr).Port
		}
		p.address = listener.Addr().String()
		p.process = newProcess(w.store, "uid-"+p.name, p.name+"-a", p.address)
		p.serve(listener, source)
		object := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: bankRuntime.Namespace, Name: p.name, UID: types.UID("uid-" + p.name),
				Labels: v1alpha1.RuntimeLabels(bankRuntime.Name),
			},
			Spec: corev1.PodSpec{NodeName: "node-" + p.name},
			Status: corev1.PodStatus{
				PodIP: ip, Phase: corev1.PodRunning,
				Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
			},
		}
		if err := w.client.Create(context.Background(), object); err != nil {
			w.t.Fatal(err)
		}
		w.pods = append(w.pods, p)
	}
	return w.pods[len(w.pods)-count:]
}

func (p *socketPod) serve(listener net.Listener, source identity.Source) {
	mux := http.NewServeMux()
	path, handler := leftfoldv1connect.NewControlServiceHandler(p)
	mux.Handle(path, identity.Only(handler, identity.OperatorName))
	server := &http.Server{
		Handler: mux, TLSConfig: identity.ServerConfig(source), ReadHeaderTimeout: time.Second,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // refused handshakes are meant
	}
	ended := make(chan struct{})
	p.server, p.ended = server, ended
	go func() {
		defer close(ended)
		if err := server.Serve(tls.NewListener(listener, server.TLSConfig)); !errors.Is(err, http.ErrServerClosed) {
			p.world.t.Error(err)
		}
	}()
}

// close is a kill -9 as the network sees it.
func (p *socketPod) close() {
	_ = p.server.Close()
	<-p.ended
}

func (p *socketPod) kill() {
	p.world.store.beat(p.process.incarnation, false)
	p.close()
}

// revive starts another process in the pod.
func (p *socketPod) revive(incarnation string) {
	p.world.t.Helper()
	listener, err := net.Listen("tcp", p.address)
	if err != nil {
		p.world.t.Fatal(err)
	}
	p.process = newProcess(p.world.store, p.process.uid, incarnation, p.address)
	p.serve(listener, p.world.holder(p.world.authority, identity.RuntimeName(bankRuntime.Namespace, bankRuntime.Name)))
}

// Control serves a stream.
func (p *socketPod) Control(ctx context.Context, stream *connect.BidiStream[leftfoldv1.ControlRequest, leftfoldv1.ControlReply]) error {
	hello, err := stream.Receive()
	if err != nil {
		return err
	}
	process := p.process
	replies := make(chan *leftfoldv1.ControlReply, 100_000)
	if err := process.admit(hello.GetHello(), func(r *leftfoldv1.ControlReply) { replies <- r }); err != nil {
		var seen termSeen
		if !errors.As(err, &seen) {
			return connect.NewError(connect.CodeNotFound, err)
		}
		refusal := connect.NewError(connect.CodeFailedPrecondition, err)
		if detail, err := connect.NewErrorDetail(&leftfoldv1.TermSeen{Term: int64(seen)}); err == nil {
			refusal.AddDetail(detail)
		}
		return refusal
	}
	defer process.leave(process.current())
	ctx, cancel := context.WithCancel(ctx)
	var sending sync.WaitGroup
	defer sending.Wait()
	defer cancel()
	sending.Go(func() {
		for {
			select {
			case r := <-replies:
				if p.send(ctx, stream, r) != nil {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	})
	for {
		request, err := stream.Receive()
		if err != nil {
			return err
		}
		if request.GetPing() != nil {
			select {
			case p.pings <- struct{}{}:
			default:
			}
		}
		process.receive(request)
	}
}

// send sends a reply, a survey in parts.
func (p *socketPod) send(ctx context.Context, stream *connect.BidiStream[leftfoldv1.ControlRequest, leftfoldv1.ControlReply], r *leftfoldv1.ControlReply) error {
	survey := r.GetSurvey()
	if survey == nil {
		return stream.Send(r)
	}
	members, rest := survey.GetMembers(), survey.GetShards() // others may be told the same survey
	for ; len(rest) > partSize; members, rest = nil, rest[partSize:] {
		if err := stream.Send(surveyReply(&leftfoldv1.Survey{Members: members, Shards: rest[:partSize], More: true})); err != nil {
			return err
		}
		if p.slow {
			select {
			case <-p.pings:
			case <-ctx.Done():
			}
		}
	}
	return stream.Send(surveyReply(&leftfoldv1.Survey{
		Members: members, Shards: rest, Projections: survey.GetProjections(), Error: survey.GetError(),
	}))
}

// partSize is how many shards a part of a survey names, as in pods.
const partSize = 500

func surveyReply(s *leftfoldv1.Survey) *leftfoldv1.ControlReply {
	return &leftfoldv1.ControlReply{Kind: &leftfoldv1.ControlReply_Survey{Survey: s}}
}

// wait polls until something holds, and fails when it does not in time.
func (w *fleetWorld) wait(within time.Duration, what string, holds func() bool) time.Duration {
	w.t.Helper()
	began := time.Now()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for !holds() {
		if time.Since(began) > within {
			w.t.Fatalf("within %v: not %s; owners are %v", within, what, w.store.owners())
		}
		<-ticker.C
	}
	return time.Since(began)
}

// settled: all shards are owned by these pods, as evenly as can be.
func (w *fleetWorld) settled(pods ...*socketPod) func() bool {
	return func() bool {
		owners := w.store.owners()
		if len(owners) != len(pods) {
			return false
		}
		least, most := len(w.store.rows), 0
		for _, p := range pods {
			least, most = min(least, owners[p.process.incarnation]), max(most, owners[p.process.incarnation])
		}
		return least > 0 && most-least <= 1
	}
}

func (w *fleetWorld) view() View {
	v, _ := w.fleet.View(bankRuntime)
	return v
}

func TestAKilledPodIsNoticedByItsClosedPort(t *testing.T) {
	w := newFleetWorld(t, map[string]int{"account": 16})
	pods := w.add(3)
	w.lead()
	w.wait(10*time.Second, "spread", w.settled(pods...))
	pods[0].kill()
	took := w.wait(5*time.Second, "taken over", func() bool { return w.store.owners()["bank-1-a"] == 0 })
	t.Logf("from the kill to the last claim: %v", took)
	if took > 700*time.Millisecond {
		t.Errorf("that took as long as silence would: %v", took)
	}
	w.wait(5*time.Second, "recorded", func() bool {
		recorded := 0
		for _, s := range w.view().Shards {
			if s.LastFailover != nil && s.LastFailover.Reason == v1alpha1.FailoverProcessDied {
				recorded++
			}
		}
		return recorded >= 5
	})
}

func TestAPodWhoseProcessIsReplacedIsUsedAgain(t *testing.T) {
	w := newFleetWorld(t, map[string]int{"account": 16})
	pods := w.add(2)
	w.lead()
	w.wait(10*time.Second, "spread", w.settled(pods...))
	pods[0].kill()
	w.wait(5*time.Second, "taken over", func() bool { return w.store.owners()["bank-1-a"] == 0 })
	pods[0].revive("bank-1-b")
	w.wait(10*time.Second, "spread again", w.settled(pods...))
}

func TestALeaderActsWhenItHasTheLastPartOfASurvey(t *testing.T) {
	w := newFleetWorld(t, map[string]int{"account": 2*partSize + 1})
	pod := w.add(1)[0]
	pod.slow, pod.pings = true, make(chan struct{})
	w.lead()
	var view View
	w.wait(10*time.Second, "known", func() bool { view = w.view(); return view.Surveyed })
	if got := len(view.Shards); got != 2*partSize+1 {
		t.Errorf("the leader takes %d shards for all that there are", got)
	}
}

func TestAFrozenPodIsGivenUpAndComesBack(t *testing.T) {
	w := newFleetWorld(t, map[string]int{"account": 16})
	pods := w.add(3)
	w.lead()
	w.wait(10*time.Second, "spread", w.settled(pods...))
	pods[0].process.with(func() { pods[0].process.frozen = true })
	took := w.wait(10*time.Second, "taken over", func() bool { return w.store.owners()["bank-1-a"] == 0 })
	if took < 900*time.Millisecond {
		t.Errorf("it was given up after %v", took)
	}
	pods[0].process.with(func() { pods[0].process.frozen = false })
	w.wait(10*time.Second, "spread again", w.settled(pods...))
}

func TestTheNextLeaderRisesAboveTheTermsThatPodsHaveSeen(t *testing.T) {
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "leftfold", Name: "operator"},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: new("here")},
	}
	w := newFleetWorld(t, map[string]int{"account": 16}, lease)
	pods := w.add(3)
	fromTheFuture := time.Now().Add(time.Hour).UnixMicro()
	for _, p := range pods {
		p.process.with(func() { p.process.term = fromTheFuture })
	}
	w.lead(func(c *Config) { c.Lease = client.ObjectKeyFromObject(lease) })
	w.wait(10*time.Second, "spread", w.settled(pods...))
	if got := w.fleet.term.now(); got != fromTheFuture+1 {
		t.Errorf("the term is %d, the pods had seen %d", got, fromTheFuture)
	}
	before := w.store.epochs()
	w.lead(func(c *Config) { c.Lease = client.ObjectKeyFromObject(lease) })
	w.wait(10*time.Second, "known again", func() bool {
		v := w.view()
		return v.Surveyed && len(v.Members) == 3 && v.Members[2].Ready && len(v.Shards) == 16
	})
	if w.store.epochs() != before {
		t.Error("a change of leaders moved shards")
	}
}

func TestALeaderWithoutItsLeaseStaysBelow(t *testing.T) {
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "leftfold", Name: "operator"},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: new("here")},
	}
	w := newFleetWorld(t, map[string]int{"account": 4}, lease)
	pods := w.add(1)
	w.lead(func(c *Config) { c.Lease = client.ObjectKeyFromObject(lease) })
	w.wait(10*time.Second, "owned", w.settled(pods...))
	if err := w.client.Get(context.Background(), client.ObjectKeyFromObject(lease), lease); err != nil {
		t.Fatal(err)
	}
	lease.Spec.HolderIdentity = new("there")
	if err := w.client.Update(context.Background(), lease); err != nil {
		t.Fatal(err)
	}
	if w.fleet.term.outvoted(context.Background(), time.Now().Add(time.Hour).UnixMicro()) {
		t.Error("it rose above a leader that holds the Lease")
	}
}

func TestAProcessWithoutACertificateOfTheRuntimesGetsNothing(t *testing.T) {
	w := newFleetWorld(t, map[string]int{"account": 4})
	good := w.add(1)[0]
	stranger, err := identity.NewAuthority("stranger", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	names := []struct {
		authority *identity.Authority
		name      string
	}{
		{w.authority, identity.RuntimeName("shop", "other")},
		{w.authority, identity.OperatorName},
		{stranger, identity.RuntimeName("shop", "bank")},
	}
	for i, n := range names {
		p := w.add(1)[0]
		p.close()
		listener, err := net.Listen("tcp", p.address)
		if err != nil {
			t.Fatal(err)
		}
		p.serve(listener, w.holder(n.authority, n.name))
		p.process.with(func() { p.process.incarnation = fmt.Sprintf("impostor-%d", i) })
	}
	w.lead()
	w.wait(10*time.Second, "owned by the pod with a certificate alone", w.settled(good))
	for _, p := range w.pods[1:] {
		p.process.with(func() {
			if p.process.term != 0 || p.process.grants > 0 || len(p.process.told) > 0 {
				t.Errorf("%s heard of the operator", p.process.incarnation)
			}
		})
	}
}

func TestWhatTheRuntimeWishesOfFailoverIsTakenUpWithoutAMove(t *testing.T) {
	w := newFleetWorld(t, map[string]int{"account": 8})
	pods := w.add(2)
	w.lead()
	w.wait(10*time.Second, "spread", w.settled(pods...))
	before := w.store.epochs()
	var object v1alpha1.Runtime
	if err := w.client.Get(context.Background(), bankRuntime, &object); err != nil {
		t.Fatal(err)
	}
	object.Spec.Failover.HeartbeatTimeoutMilliseconds = 3000
	if err := w.client.Update(context.Background(), &object); err != nil {
		t.Fatal(err)
	}
	w.see()
	w.wait(10*time.Second, "learnt", func() bool { return w.view().Surveyed && w.fleet.crews[bankRuntime].settings.Timeout == 3*time.Second })
	if w.store.epochs() != before {
		t.Error("shards moved")
	}
}

func TestADeletedPodIsEmptiedAtOnceOnlyWhereNoneIsToComeOrItHasNoTime(t *testing.T) {
	for name, test := range map[string]struct {
		replicas int32
		grace    time.Duration
		waits    bool
	}{
		"another is to come": {2, usualGrace, true},
		"none is to come":    {1, usualGrace, false},
		"it has no time":     {2, time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newFleetWorld(t, map[string]int{"account": 8})
			pods := w.add(2)
			pods[0].pings = make(chan struct{})
			var going atomic.Bool
			w.lead(func(c *Config) { // the client in memory does not delete at a later time
				c.Client = interceptor.NewClient(w.client.(client.WithWatch), interceptor.Funcs{
					List: func(ctx context.Context, in client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
						err := in.List(ctx, list, options...)
						if pods, ok := list.(*corev1.PodList); ok && going.Load() {
							for i := range pods.Items {
								if pods.Items[i].Name == "bank-1" {
									pods.Items[i].DeletionTimestamp = &metav1.Time{Time: time.Now().Add(test.grace)}
								}
							}
						}
						return err
					},
				})
			})
			w.wait(10*time.Second, "spread", w.settled(pods...))
			var object v1alpha1.Runtime
			if err := w.client.Get(context.Background(), bankRuntime, &object); err != nil {
				t.Fatal(err)
			}
			object.Spec.Replicas = &test.replicas
			if err := w.client.Update(context.Background(), &object); err != nil {
				t.Fatal(err)
			}
			going.Store(true)
			w.see()
			if !test.waits {
				w.wait(leavingFor-time.Second, "emptied", w.settled(pods[1]))
				return
			}
			w.wait(10*time.Second, "draining", func() (asked bool) {
				pods[0].process.with(func() { asked = pods[0].process.drainAsked })
				return asked
			})
			for range 5 {
				<-pods[0].pings
			}
			if n := w.store.owners()["bank-1-a"]; n < 4 {
				t.Errorf("it has %d of 4 shards before there is another pod", n)
			}
			w.wait(10*time.Second, "emptied", w.settled(pods[1]))
		})
	}
}

func TestARuntimeThatIsDeletedIsLeftAlone(t *testing.T) {
	w := newFleetWorld(t, map[string]int{"account": 4})
	pods := w.add(1)
	w.lead()
	w.wait(10*time.Second, "owned", w.settled(pods...))
	if err := w.client.Delete(context.Background(), &v1alpha1.Runtime{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "bank"}}); err != nil {
		t.Fatal(err)
	}
	w.see()
	if _, ok := w.fleet.View(bankRuntime); ok {
		t.Error("there is still a view of it")
	}
	w.wait(5*time.Second, "left", func() bool {
		left := false
		pods[0].process.with(func() { left = pods[0].process.tell == nil })
		return left
	})
}
