package shard

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/leftfold/leftfold/api/identity"
	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/controllers/placement"
)

// This file is pods in a process of their own, for the benchmark: what the operator
// needs is not to be measured with what they need. The test's binary starts itself
// once more, and TestMain turns to servePods.

// podsVariable has so many pods served instead of tests being run.
const podsVariable = "LEFTFOLD_BENCHMARK_PODS"

// podsCommand is what the pods' process is asked, a line of JSON each; it answers
// with a number.
type podsCommand struct {
	// Kill ends pods, and waits until others own their shards: their number.
	Kill []int
	// Revive starts another process in each.
	Revive []int
}

// podsAnnounced is its first line.
type podsAnnounced struct {
	Port                        int
	Pods                        []corev1.Pod
	Certificate, Key, Authority []byte // of the operator
}

// otherPods are the pods as the benchmark has them.
type otherPods struct {
	b        *testing.B
	world    *fleetWorld // its Kubernetes has the pods
	operator identity.Source
	in       *json.Encoder
	out      *json.Decoder
}

// startPods starts pods that serve 10,000 shards, 100 of each of 100 aggregates.
func startPods(b *testing.B, count int) *otherPods {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", podsVariable, count))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = stdin.Close()
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	})
	p := &otherPods{b: b, world: newFleetWorld(b, nil), in: json.NewEncoder(stdin), out: json.NewDecoder(bufio.NewReader(stdout))}
	var announced podsAnnounced
	if err := p.out.Decode(&announced); err != nil {
		b.Fatal(err)
	}
	holder := identity.NewHolder()
	if err := holder.Set(announced.Certificate, announced.Key, announced.Authority); err != nil {
		b.Fatal(err)
	}
	p.operator, p.world.port = holder, announced.Port
	for i := range announced.Pods {
		announced.Pods[i].ResourceVersion = ""
		if err := p.world.client.Create(context.Background(), &announced.Pods[i]); err != nil {
			b.Fatal(err)
		}
	}
	patient(b, p.world)
	return p
}

// patient sets heartbeats for a machine that is 200 pods and their operator.
func patient(t testing.TB, w *fleetWorld) {
	t.Helper()
	var object v1alpha1.Runtime
	if err := w.client.Get(context.Background(), bankRuntime, &object); err != nil {
		t.Fatal(err)
	}
	object.Spec.Failover = v1alpha1.Failover{HeartbeatIntervalMilliseconds: 1000, HeartbeatTimeoutMilliseconds: 20_000}
	if err := w.client.Update(context.Background(), &object); err != nil {
		t.Fatal(err)
	}
}

func (p *otherPods) ask(c podsCommand) (answer int) {
	p.b.Helper()
	if err := p.in.Encode(c); err != nil {
		p.b.Fatal(err)
	}
	if err := p.out.Decode(&answer); err != nil {
		p.b.Fatal(err)
	}
	return answer
}

// processTB is for a process that is no test: what fails ends it.
type processTB struct{ testing.TB }

func (processTB) Helper()           {}
func (processTB) Cleanup(func())    {} // it ends with the process
func (processTB) Error(args ...any) { fmt.Fprintln(os.Stderr, args...) }
func (processTB) Fatal(args ...any) { panic(fmt.Sprint(args...)) }
func (processTB) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}

// servePods is the pods' process; it ends when its input does.
func servePods(count int, in io.Reader, out io.Writer) error {
	aggregates := map[string]int{}
	for i := range 100 {
		aggregates[fmt.Sprintf("aggregate-%02d", i)] = 100
	}
	w := newFleetWorld(processTB{}, aggregates)
	w.store.staleFor = 300 * time.Millisecond // 200 pods read 10,000 rows each
	pods := w.add(count)
	share(w, pods)
	certificate, key, err := w.authority.Issue(identity.OperatorName, time.Now(), time.Hour)
	if err != nil {
		return err
	}
	announced := podsAnnounced{Port: w.port, Certificate: certificate, Key: key, Authority: w.authority.CertificatePEM()}
	var list corev1.PodList
	if err := w.client.List(context.Background(), &list); err != nil {
		return err
	}
	announced.Pods = list.Items
	answers := json.NewEncoder(out)
	if err := answers.Encode(announced); err != nil {
		return err
	}
	commands, round := json.NewDecoder(in), 0
	for {
		var c podsCommand
		if err := commands.Decode(&c); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		answer := 0
		var names []string
		for _, i := range c.Kill {
			names = append(names, pods[i].process.incarnation)
			answer += w.store.owners()[pods[i].process.incarnation]
		}
		for _, i := range c.Kill {
			pods[i].kill()
		}
		w.wait(time.Minute, "taken over", func() bool {
			owners := w.store.owners()
			return !slices.ContainsFunc(names, func(name string) bool { return owners[name] > 0 })
		})
		round++
		for _, i := range c.Revive {
			pods[i].revive(fmt.Sprintf("%s-%d", pods[i].name, round))
		}
		if err := answers.Encode(answer); err != nil {
			return err
		}
	}
}

// share gives each pod as many shards as the others, before there is an operator.
func share(w *fleetWorld, pods []*socketPod) {
	ids := make([]placement.ShardID, 0, len(w.store.rows))
	for id := range w.store.rows {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(x, y placement.ShardID) int {
		return cmp.Or(cmp.Compare(x.Aggregate, y.Aggregate), cmp.Compare(x.Number, y.Number))
	})
	for i, id := range ids {
		p := pods[i%len(pods)].process
		p.forgetful = true
		r, _ := w.store.claim(id, 0, p.incarnation, p.address)
		p.report(&leftfoldv1.ShardReport{Shard: wireOf(id), State: leftfoldv1.ShardState_SHARD_STATE_SERVING, Epoch: r.epoch})
	}
}
