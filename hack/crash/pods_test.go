package crash

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/leftfold/leftfold/api/identity"
	"github.com/leftfold/leftfold/api/postgres/pgtest"
	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
	"github.com/leftfold/leftfold/hack/internal/ledger"
	"github.com/leftfold/leftfold/runtime/control"
	"github.com/leftfold/leftfold/runtime/control/controltest"
	"github.com/leftfold/leftfold/runtime/definition"
	"github.com/leftfold/leftfold/runtime/server"
)

// The tests of this file run processes as pods do, leftfold runtime, two on one
// database, without a cluster: there is no API server, so they serve the
// definitions that the store accepted last, and who owns what is said by a small
// operator of the test, or by nobody.

const (
	namespace, runtimeName = "default", "bank"
	bankShards             = 16
	serving                = leftfoldv1.ShardState_SHARD_STATE_SERVING
	refused                = leftfoldv1.ShardState_SHARD_STATE_REFUSED
)

// pair is two pods of one Runtime.
type pair struct {
	w      *world
	issuer *identity.Authority
	pods   [2]*pod
}

type pod struct {
	*ledger.Process
	url, rpc, uid string
	operator      *controltest.Operator
}

// newPair starts two pods on a database that knows the bank.
func newPair(w *world) *pair {
	t := w.t
	t.Helper()
	issuer, err := identity.NewAuthority("test", time.Now(), 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	p := &pair{w: w, issuer: issuer}
	url := pgtest.Start(t).URL()
	p.declare(url)
	for i := range p.pods {
		p.pods[i] = p.start(fmt.Sprintf("bank-%d", i), url)
	}
	w.gone = func() []<-chan struct{} { return []<-chan struct{}{p.pods[0].Gone(), p.pods[1].Gone()} }
	return p
}

// declare has a pod of this very process bring the bank into force, as one that
// reads it from an API server would, and end again.
func (p *pair) declare(url string) {
	t := p.w.t
	t.Helper()
	set, problems, err := definition.Load([]string{bank})
	if err != nil || definition.HasErrors(problems) {
		t.Fatal(err, problems)
	}
	declared := func(o metav1.Object) {
		o.SetUID(types.UID("uid-of-" + o.GetName()))
		o.SetGeneration(1)
		o.SetCreationTimestamp(metav1.NewTime(time.Unix(1_700_000_000, 0)))
	}
	for _, a := range set.Aggregates {
		declared(a.Object)
	}
	for _, q := range set.Projections {
		declared(q.Object)
	}
	m, err := server.StartManaged(t.Context(), server.ManagedConfig{
		Namespace: namespace, Runtime: runtimeName, PodUID: "declares", Identity: p.identity(identity.RuntimeName(namespace, runtimeName)),
		Listen: "127.0.0.1:0", Ops: "127.0.0.1:0", RPC: "127.0.0.1:0", Store: url, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Apply(t.Context(), set); err != nil {
		t.Error(err)
	}
	if err := m.Stop(); err != nil {
		t.Error(err)
	}
}

func (p *pair) identity(name string) identity.Source {
	p.w.t.Helper()
	holder := identity.NewHolder()
	certificate, key, err := p.issuer.Issue(name, time.Now(), 24*time.Hour)
	if err == nil {
		err = holder.Set(certificate, key, p.issuer.CertificatePEM())
	}
	if err != nil {
		p.w.t.Fatal(err)
	}
	return holder
}

// start starts a pod's process and waits until it is ready.
func (p *pair) start(name, store string) *pod {
	t := p.w.t
	t.Helper()
	folder := t.TempDir()
	certificate, key, err := p.issuer.Issue(identity.RuntimeName(namespace, runtimeName), time.Now(), 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	const nowhere = `{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}],
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}], users: [{name: u, user: {}}]}`
	for file, text := range map[string][]byte{
		identity.CertificateFile: certificate, identity.KeyFile: key, identity.AuthoritiesFile: p.issuer.CertificatePEM(), "kubeconfig": []byte(nowhere),
	} {
		if err := os.WriteFile(filepath.Join(folder, file), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	listen, rpc, ops := free(t), free(t), free(t)
	q := &pod{url: "http://" + listen, rpc: rpc, uid: "uid-of-" + name}
	q.Process, err = ledger.Launch(newTail(t, name), p.w.binary, "runtime", "--namespace", namespace, "--runtime", runtimeName,
		"--pod", name, "--pod-uid", q.uid, "--pod-ip", "127.0.0.1", "--store", store, "--identity", folder,
		"--kubeconfig", filepath.Join(folder, "kubeconfig"), "--listen", listen, "--rpc-listen", rpc, "--ops-listen", ops)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Kill)
	deadline := time.Now().Add(patience)
	for !answers("http://" + ops + "/readyz") {
		if time.Now().After(deadline) {
			t.Fatalf("%s does not become ready", name)
		}
		wait(20 * time.Millisecond)
	}
	return q
}

func answers(url string) bool {
	response, err := http.Get(url)
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// operate connects the test's operator to both pods, and gives the first all
// shards.
func (p *pair) operate() {
	for _, q := range p.pods {
		config := identity.ClientConfig(p.identity(identity.OperatorName), identity.RuntimeName(namespace, runtimeName))
		q.operator = controltest.Dial(p.w.t, q.rpc, config, 1, q.uid)
		q.operator.Until("the welcome and a survey", func(s *controltest.Seen) bool { return s.Welcome != nil && s.Surveys > 0 })
		q.operator.Live()
	}
	p.give(0)
	p.w.enter(p.pods[0].url, p.pods[1].url)
}

// give grants all shards to a pod, whoever has them, and waits until it serves
// them.
func (p *pair) give(to int) {
	var all sync.WaitGroup
	o := p.pods[to].operator
	epochs := map[int32]int64{}
	for _, s := range o.Survey().GetShards() {
		epochs[s.GetShard().GetNumber()] = s.GetEpoch()
	}
	for number := range int32(bankShards) {
		all.Go(func() { p.grant(o, number, epochs[number]) })
	}
	all.Wait()
}

// grant grants a shard, and again from the epoch that the store told when it has
// moved on.
func (p *pair) grant(o *controltest.Operator, number int32, epoch int64) {
	name := control.Shard{Aggregate: "account", Number: number}
	for served := false; !served; {
		o.Grant(name.Aggregate, number, epoch)
		o.Until(fmt.Sprintf("shard %d after epoch %d", number, epoch), func(s *controltest.Seen) bool {
			r := s.Shards[name]
			served = r.GetState() == serving && r.GetEpoch() > epoch
			if r.GetState() == refused && r.GetEpoch() > epoch {
				epoch = r.GetEpoch()
				return true
			}
			return served
		})
	}
}

func TestTwoProcessesTakeShardsFromEachOther(t *testing.T) {
	campaign(t, func(t *testing.T, w *world) {
		p := newPair(w)
		p.operate()
		owner := 0
		w.fault = func(int) time.Time {
			for range 2 + w.random.IntN(4) {
				if w.random.IntN(2) == 0 { // both are told to take them
					other := p.pods[owner].operator
					for _, s := range other.Survey().GetShards() {
						other.Grant("account", s.GetShard().GetNumber(), s.GetEpoch())
					}
				}
				owner = 1 - owner
				p.give(owner)
				wait(w.upTo(300 * time.Millisecond))
			}
			return time.Now()
		}
	})
}

func TestAProcessIsFrozenWhileAnotherTakesItsShards(t *testing.T) {
	campaign(t, func(t *testing.T, w *world) {
		p := newPair(w)
		p.operate()
		owner := 0
		w.fault = func(int) time.Time {
			frozen, next := p.pods[owner], 1-owner
			p.freeze(frozen, p.pods[next], func() {
				wait(w.upTo(time.Second))
				p.give(next)
				wait(w.upTo(2 * time.Second))
			})
			owner = next
			return time.Now()
		}
	})
}

func TestAProcessIsFrozenAndNobodyTellsTheOther(t *testing.T) {
	campaign(t, func(t *testing.T, w *world) {
		p := newPair(w)
		w.enter(p.pods[0].url, p.pods[1].url)
		p.alone()
		w.fault = func(round int) time.Time {
			frozen, other := p.pods[round%2], p.pods[1-round%2]
			p.freeze(frozen, other, func() {
				begun, deadline := time.Now(), time.After(patience)
				for w.witness.Pulse.Resumed(begun) == nil {
					select {
					case <-deadline:
						t.Fatal("the other does not take over")
					case <-time.After(20 * time.Millisecond):
					}
				}
				t.Logf("the other serves all shards %s after the process was frozen", time.Since(begun).Round(time.Millisecond))
				wait(w.upTo(time.Second))
			})
			return time.Now()
		}
	})
}

// alone waits until the pods have shared the shards among themselves.
func (p *pair) alone() {
	t := p.w.t
	t.Helper()
	for deadline := time.Now().Add(patience); ; wait(100 * time.Millisecond) {
		served := 0
		for _, q := range p.pods {
			served += q.served()
		}
		if served == bankShards {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the pods serve %d of %d shards", served, bankShards)
		}
	}
}

// served is how many shards a pod says it serves.
func (q *pod) served() int {
	var list struct{ Shards []struct{ State string } }
	response, err := http.Get(q.url + "/v1/shards")
	if err != nil {
		return 0
	}
	defer func() { _ = response.Body.Close() }()
	if err := json.NewDecoder(response.Body).Decode(&list); err != nil {
		return 0
	}
	n := 0
	for _, s := range list.Shards {
		if s.State == "serving" {
			n++
		}
	}
	return n
}

// beats is longer than a pulse that has entered by a pod's door takes to be answered.
const beats = 300 * time.Millisecond

// freeze stops a process, lets something happen, and has it go on. The pulse, which
// tells what is served meanwhile, enters by the other; the load by both.
func (p *pair) freeze(frozen, other *pod, meanwhile func()) {
	t := p.w.t
	p.w.witness.Pulse.Enter(other.url)
	wait(beats)
	if err := frozen.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := frozen.Signal(syscall.SIGCONT); err != nil {
			t.Error(err)
		}
	}()
	meanwhile()
}
