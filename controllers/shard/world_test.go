package shard

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
	"github.com/leftfold/leftfold/controllers/liveness"
	"github.com/leftfold/leftfold/controllers/placement"
)

// world is a pool with pods in memory, under virtual time.
type world struct {
	t     *testing.T
	store *store
	pool  *pool
	stop  context.CancelFunc
	done  chan struct{}

	// wanted is how many pods there should be; 0: no matter how many.
	wanted int
	// delay is what every message takes, either way.
	delay time.Duration

	mu      sync.Mutex
	pods    map[types.UID]*worldPod
	order   []*worldPod
	next    int
	view    View
	deleted []string
	changed []changes
	toldOf  []string // shards that were told of as changed, once all was known
	metrics *prometheus.Registry
}

// worldPod is a pod: what Kubernetes says of it, and the process in it, if any.
type worldPod struct {
	pod     pod
	process *process // nil: the port refuses
	cut     bool     // nothing comes through
	curt    bool     // it says who it is, and no more
	line    *memoryLine
	absent  bool // Kubernetes has it no more
}

// inWorld runs a test under virtual time. No goroutine may be left.
func inWorld(t *testing.T, aggregates map[string]int, test func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, store: newStore(aggregates), pods: map[types.UID]*worldPod{}, metrics: prometheus.NewRegistry()}
		w.lead(nil)
		test(w)
		w.stop()
		<-w.done
		for _, p := range w.order {
			p.line.end()
		}
		synctest.Wait()
	})
}

// lead starts a leader's pool.
func (w *world) lead(remembered map[placement.ShardID]memory) {
	ctx, stop := context.WithCancel(context.Background())
	w.stop, w.done = stop, make(chan struct{})
	w.pool = newPool(types.NamespacedName{Namespace: "shop", Name: "bank"}, poolConfig{
		settings: liveness.Settings{Interval: 200 * time.Millisecond, Timeout: time.Second},
		dial:     w.dial, log: logr.Discard(), metrics: newMetrics(w.metrics), remembered: remembered,
		deletePod: func(p pod, _ liveness.Reason) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.deleted = append(w.deleted, p.name)
		},
		publish: func(v *View, c changes) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.view, w.changed = *v, append(w.changed, c)
			if v.Surveyed {
				w.toldOf = append(w.toldOf, c.shards...)
			}
		},
	})
	done := w.done
	go func() { defer close(done); w.pool.run(ctx) }()
}

// newLeader: the operator's process is replaced, after a while without any.
func (w *world) newLeader(remembered map[placement.ShardID]memory, after time.Duration) {
	w.stop()
	<-w.done
	time.Sleep(after)
	for _, p := range w.order {
		p.line.end()
		if p.process != nil {
			p.process.leave(p.process.current())
		}
	}
	w.lead(remembered)
	w.see()
}

// pods adds pods of a revision and shows them to the leader.
func (w *world) add(count int, revision int64) []*worldPod {
	var added []*worldPod
	for range count {
		w.next++
		name := fmt.Sprintf("bank-%d", w.next)
		p := &worldPod{pod: pod{
			name: name, uid: types.UID("uid-" + name), node: fmt.Sprintf("node-%d", w.next),
			revision: revision, dial: fmt.Sprintf("10.0.0.%d:8082", w.next), ready: true,
		}}
		p.process = newProcess(w.store, string(p.pod.uid), name+"-a", p.pod.dial)
		w.mu.Lock()
		w.pods[p.pod.uid] = p
		w.order = append(w.order, p)
		w.mu.Unlock()
		added = append(added, p)
	}
	w.see()
	return added
}

// usualGrace is what pods have to end, if nobody says otherwise.
const usualGrace = 45 * time.Second

// goes deletes pods, which have so long to end.
func (w *world) goes(grace time.Duration, pods ...*worldPod) {
	w.change(func() {
		for _, p := range pods {
			p.pod.deleted, p.pod.endsAt = true, time.Now().Add(grace)
		}
	})
}

// conceive makes a pod that has no address yet. It gets one with bear, and its process
// begins with begin.
func (w *world) conceive(revision int64) *worldPod {
	w.next++
	name := fmt.Sprintf("bank-%d", w.next)
	p := &worldPod{pod: pod{name: name, uid: types.UID("uid-" + name), revision: revision}}
	w.mu.Lock()
	w.pods[p.pod.uid] = p
	w.order = append(w.order, p)
	w.mu.Unlock()
	w.see()
	return p
}

func (w *world) bear(p *worldPod) {
	w.change(func() { p.pod.node, p.pod.dial = "node-of-"+p.pod.name, p.pod.name+":8082" })
}

func (w *world) begin(p *worldPod) {
	w.revive(p, p.pod.name+"-a")
	w.change(func() { p.pod.ready = true })
}

// see shows the leader which pods there are.
func (w *world) see() {
	w.mu.Lock()
	var pods []pod
	for _, p := range w.order {
		if !p.absent {
			pods = append(pods, p.pod)
		}
	}
	w.mu.Unlock()
	w.pool.events <- event{kind: podsSeen, pods: pods, wanted: w.wanted}
	synctest.Wait()
}

// change something about pods and show it.
func (w *world) change(do func()) {
	w.mu.Lock()
	do()
	w.mu.Unlock()
	w.see()
}

// pass lets time go by.
func (w *world) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// kill is a kill -9: the kernel closes the process's connections.
func (w *world) kill(p *worldPod) {
	w.store.beat(p.process.incarnation, false)
	w.mu.Lock()
	p.process = nil
	line := p.line
	w.mu.Unlock()
	line.sever(broken)
	synctest.Wait()
}

// revive starts a process in a pod.
func (w *world) revive(p *worldPod, incarnation string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p.process = newProcess(w.store, string(p.pod.uid), incarnation, p.pod.dial)
}

// freeze stops a process, or lets it go on. It misses what it was asked meanwhile.
func (w *world) freeze(p *worldPod, frozen bool) {
	p.process.with(func() { p.process.frozen = frozen })
	w.store.beat(p.process.incarnation, !frozen)
	w.mu.Lock()
	defer w.mu.Unlock()
	p.cut = frozen
}

func (w *world) dial(to pod) line {
	ctx, stop := context.WithCancel(context.Background())
	l := &memoryLine{world: w, uid: to.uid, pool: w.pool, stop: stop, requests: make(chan *leftfoldv1.ControlRequest, 100_000),
		kick: make(chan struct{}, 1), severed: make(chan eventKind, 1), ended: make(chan struct{})}
	w.mu.Lock()
	w.pods[to.uid].line = l
	w.mu.Unlock()
	go l.run(ctx)
	return l
}

// memoryLine is a line without a network.
type memoryLine struct {
	world    *world
	uid      types.UID
	pool     *pool
	stop     context.CancelFunc
	requests chan *leftfoldv1.ControlRequest
	kick     chan struct{}
	severed  chan eventKind
	ended    chan struct{}
}

func (l *memoryLine) close() { l.stop() }

func (l *memoryLine) end() {
	if l != nil {
		l.stop()
		<-l.ended
	}
}

func (l *memoryLine) redial() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}
func (l *memoryLine) reset() { l.sever(lost) }

func (l *memoryLine) sever(how eventKind) {
	select {
	case l.severed <- how:
	default:
	}
}

func (l *memoryLine) send(r *leftfoldv1.ControlRequest) { l.requests <- r }

func (l *memoryLine) tell(ctx context.Context, e event) {
	e.uid = l.uid
	select {
	case l.pool.events <- e:
	case <-ctx.Done():
	}
}

func (l *memoryLine) run(ctx context.Context) {
	defer close(l.ended)
	for ctx.Err() == nil {
		l.world.mu.Lock()
		p := l.world.pods[l.uid]
		process, cut, curt := p.process, p.cut, p.curt
		l.world.mu.Unlock()
		switch {
		case cut:
			l.tell(ctx, event{kind: unanswered})
		case process == nil:
			l.tell(ctx, event{kind: refused})
		default:
			if l.serve(ctx, process, curt) == broken {
				continue // and dial again at once
			}
		}
		select {
		case <-ctx.Done():
		case <-l.kick:
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (l *memoryLine) serve(ctx context.Context, process *process, curt bool) eventKind {
	for len(l.requests) > 0 {
		<-l.requests // of a connection that was
	}
	select {
	case <-l.severed:
	default:
	}
	there, arrive := l.world.path()
	defer arrive()
	back, reach := l.world.path()
	defer reach()
	welcome := true
	err := process.admit(&leftfoldv1.Hello{PodUid: string(l.uid), Term: 1}, func(r *leftfoldv1.ControlReply) {
		kind := heard
		if welcome {
			welcome, kind = false, opened
		} else if curt {
			return
		}
		back(func() { l.tell(ctx, event{kind: kind, reply: r}) })
	})
	if err != nil {
		l.tell(ctx, event{kind: unanswered})
		return unanswered
	}
	defer process.leave(process.current())
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	ping := &leftfoldv1.ControlRequest{Kind: &leftfoldv1.ControlRequest_Ping{Ping: &leftfoldv1.Ping{}}}
	there(func() { process.receive(ping) })
	for {
		select {
		case <-ctx.Done():
			return lost
		case how := <-l.severed:
			l.tell(ctx, event{kind: how})
			return how
		case r := <-l.requests:
			there(func() { process.receive(r) })
		case <-ticker.C:
			there(func() { process.receive(ping) })
		}
	}
}

// path is one direction of a connection: what it is given happens in order, each
// after the world's delay. end breaks it; what is under way is lost.
func (w *world) path() (give func(func()), end func()) {
	if w.delay == 0 {
		return func(f func()) { f() }, func() {}
	}
	type message struct {
		due time.Time
		do  func()
	}
	under, cut := make(chan message, 100_000), make(chan struct{})
	go func() {
		for {
			select {
			case <-cut:
				return
			case m := <-under:
				select {
				case <-cut:
					return
				case <-time.After(time.Until(m.due)):
					m.do()
				}
			}
		}
	}()
	return func(f func()) { under <- message{time.Now().Add(w.delay), f} }, func() { close(cut) }
}

// deletedPods lists the pods whose deletion was asked for.
func (w *world) deletedPods() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.deleted)
}

// shown is the view as it is now.
func (w *world) shown() View {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.view
}

// wantOwned fails unless every shard is served, by these pods alone.
func (w *world) wantOwned(pods ...*worldPod) {
	w.t.Helper()
	w.pass(2 * viewEvery)
	allowed := map[string]bool{}
	for _, p := range pods {
		allowed[p.process.incarnation] = true
	}
	view := w.shown()
	if len(view.Shards) != len(w.store.rows) {
		w.t.Errorf("the view has %d shards, the store %d", len(view.Shards), len(w.store.rows))
	}
	for _, s := range view.Shards {
		r := w.store.row(placement.ShardID{Aggregate: s.Aggregate, Number: int(s.Number)})
		if s.State != Owned || s.Owner != r.owner || s.Epoch != r.epoch {
			w.t.Errorf("%s-%d is %s by %q under %d, the store has %q under %d", s.Aggregate, s.Number, s.State, s.Owner, s.Epoch, r.owner, r.epoch)
		}
		if !allowed[s.Owner] {
			w.t.Errorf("%s-%d is owned by %q", s.Aggregate, s.Number, s.Owner)
		}
	}
}
