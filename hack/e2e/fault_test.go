//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/leftfold/leftfold/hack/internal/ledger"
	"github.com/leftfold/leftfold/hack/internal/stage"
)

// settleTime is how long load goes on after everything is Ready again, so that
// what comes late is seen.
const settleTime = 2 * time.Second

// TestUnderLoadNoCommandFailsIsLostOrDoubled does one damage after the other to
// one bank under load. Commands that entered by a pod that lives must not fail;
// those that entered by a pod whose process is killed may lose their connection.
func TestUnderLoadNoCommandFailsIsLostOrDoubled(t *testing.T) {
	bank := newBank(t)
	breakable(t, bank)
	for _, fault := range []struct {
		name string
		// doors of pods that the load uses besides the Service: those that live
		// through the fault. nil: none.
		doors func(pods []stage.Pod, victim stage.Pod) []string
		// dirty: a process is killed, so connections to it break.
		dirty bool
		do    func(t *testing.T, bank *stage.Bank, victim stage.Pod) time.Time
	}{
		{"a runtime process is killed", everyPod, true, killProcess},
		{"a pod is deleted", allBut, false, deletePod},
		{"a rolling update replaces all pods", nil, false, rollOut},
		{"the runtime is scaled from 3 to 5 and to 2", nil, false, rescale},
		{"a node is drained", allBut, false, drainNode},
		{"shards are made to panic", everyPod, false, panicShards},
		{"the operator's leader is killed", everyPod, false, killLeader},
		{"the operator is down for a minute and a process is killed", everyPod, true, withoutOperator},
	} {
		t.Run(fault.name, func(t *testing.T) {
			pods, err := bank.Pods(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			victim := busiest(t, bank, pods)
			var doors []string
			if fault.doors != nil {
				doors = fault.doors(pods, victim)
			}
			l := begin(t, bank, doors...)
			pause(t, time.Second)
			since := fault.do(t, bank, victim)
			if err := bank.AwaitReady(t.Context(), "90s"); err != nil {
				t.Fatal(err)
			}
			pause(t, settleTime)
			gaps := l.recovered(t, since)
			totals := l.end(t, func(f ledger.Failure) bool {
				return fault.dirty && f.Err != nil
			})
			report(t, gaps, totals)
		})
	}
}

func everyPod(pods []stage.Pod, _ stage.Pod) []string {
	var doors []string
	for _, p := range pods {
		doors = append(doors, p.URL())
	}
	return doors
}

func allBut(pods []stage.Pod, victim stage.Pod) []string {
	var doors []string
	for _, p := range pods {
		if p.Name != victim.Name && p.Node != victim.Node {
			doors = append(doors, p.URL())
		}
	}
	return doors
}

// busiest is the pod with the most shards.
func busiest(t *testing.T, bank *stage.Bank, pods []stage.Pod) stage.Pod {
	t.Helper()
	owners, err := bank.Owners(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, pod := range owners {
		count[pod]++
	}
	best := pods[0]
	for _, p := range pods {
		if count[p.Name] > count[best.Name] {
			best = p
		}
	}
	if count[best.Name] == 0 {
		t.Fatalf("no pod of %v owns a shard: %v", pods, owners)
	}
	return best
}

// pause lets the load run on.
func pause(t *testing.T, d time.Duration) {
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

func killProcess(t *testing.T, bank *stage.Bank, victim stage.Pod) time.Time {
	at, err := bank.Kill(t.Context(), victim)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func deletePod(t *testing.T, bank *stage.Bank, victim stage.Pod) time.Time {
	at := time.Now()
	in(t, bank, "delete", "pod", victim.Name, "--wait=true", "--timeout=60s")
	return at
}

func rollOut(t *testing.T, bank *stage.Bank, _ stage.Pod) time.Time {
	at := time.Now()
	in(t, bank, "patch", "runtime", "bank", "--type=merge", "-p", fmt.Sprintf(`{"spec":{"pod":{"annotations":{"e2e/roll":"%d"}}}}`, at.UnixNano()))
	in(t, bank, "wait", "--for=condition=Reconciling", "runtime/bank", "--timeout=30s")
	in(t, bank, "rollout", "status", "deployment/bank", "--timeout=120s")
	onlyThese(t, bank, 3)
	return at
}

func rescale(t *testing.T, bank *stage.Bank, _ stage.Pod) time.Time {
	at := time.Now()
	for _, n := range []int{5, 2} {
		in(t, bank, "scale", "runtime", "bank", fmt.Sprintf("--replicas=%d", n))
		onlyThese(t, bank, n)
	}
	in(t, bank, "scale", "runtime", "bank", "--replicas=3")
	onlyThese(t, bank, 3)
	return at
}

func drainNode(t *testing.T, bank *stage.Bank, victim stage.Pod) time.Time {
	afterwards(t, "uncordon", victim.Node)
	at := time.Now()
	kubectl(t, "drain", victim.Node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=120s",
		"--pod-selector=leftfold.io/runtime=bank")
	kubectl(t, "uncordon", victim.Node)
	onlyThese(t, bank, 3)
	return at
}

// breakable has the bank run on the build that makes a part of itself fail when it
// is asked to; it is the same in all else.
func breakable(t *testing.T, bank *stage.Bank) {
	t.Helper()
	image, err := theStage.FaultyImage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	in(t, bank, "patch", "runtime", "bank", "--type=merge", "-p", fmt.Sprintf(`{"spec":{"image":%q}}`, image))
	in(t, bank, "wait", "--for=condition=Reconciling", "runtime/bank", "--timeout=30s")
	in(t, bank, "rollout", "status", "deployment/bank", "--timeout=120s")
	onlyThese(t, bank, 3)
}

// panicShards makes some of a pod's shards panic one after the other, and waits
// until the operator has restarted each: same pod, a higher epoch.
func panicShards(t *testing.T, bank *stage.Bank, victim stage.Pod) time.Time {
	at := time.Now()
	owners, err := bank.Owners(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	broken := 0
	for name, owner := range owners {
		if owner != victim.Name {
			continue
		}
		if broken++; broken > (len(owners)+5)/6 {
			break
		}
		number := name[strings.LastIndexByte(name, '-')+1:]
		restarts := func() string {
			return in(t, bank, "get", "shard", name, "-o", "jsonpath={.status.restarts} {.status.lastFailover.reason}")
		}
		before := restarts()
		response, err := http.Post(fmt.Sprintf("http://%s:8081/faults/panic?aggregate=account&shard=%s", victim.IP, number), "", nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusNoContent {
			t.Fatalf("shard %s was not made to panic: %s", name, response.Status)
		}
		eventually(t, 10*time.Second, func() error {
			if now := restarts(); now == before || !strings.HasSuffix(now, " ShardFailed") {
				return fmt.Errorf("restarts of %s are %q, before %q", name, now, before)
			}
			return nil
		})
	}
	if broken == 0 {
		t.Fatalf("%s owns no shard", victim.Name)
	}
	return at
}

func killLeader(t *testing.T, bank *stage.Bank, _ stage.Pod) time.Time {
	holder, err := bank.Holder(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	leader, _, _ := strings.Cut(holder, "_")
	at, err := bank.KillOperator(t.Context(), leader)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, func() error {
		now, err := bank.Holder(t.Context())
		if err == nil && (now == holder || now == "") {
			err = fmt.Errorf("%q holds the lease", now)
		}
		return err
	})
	return at
}

func withoutOperator(t *testing.T, bank *stage.Bank, victim stage.Pod) time.Time {
	const deployment = "deployment/leftfold-operator"
	system := "-n=" + stage.Namespace
	kubectl(t, system, "scale", deployment, "--replicas=0")
	afterwards(t, system, "scale", deployment, "--replicas=2")
	kubectl(t, system, "wait", "--for=delete", "pod", "-l", "app.kubernetes.io/component=operator", "--timeout=60s")
	pause(t, 30*time.Second)
	at := killProcess(t, bank, victim)
	pause(t, 30*time.Second)
	kubectl(t, system, "scale", deployment, "--replicas=2")
	kubectl(t, system, "rollout", "status", deployment, "--timeout=60s")
	return at
}

// onlyThese waits until n pods are there, all ready, all of one revision, and own
// all shards.
func onlyThese(t *testing.T, bank *stage.Bank, n int) {
	t.Helper()
	eventually(t, 2*time.Minute, func() error {
		pods, err := bank.Pods(t.Context())
		if err != nil {
			return err
		}
		names := map[string]bool{}
		for _, p := range pods {
			if !p.Ready || p.Deleted || p.Revision != pods[0].Revision {
				return fmt.Errorf("pod %s: ready %t, deleted %t, revision %s of %s", p.Name, p.Ready, p.Deleted, p.Revision, pods[0].Revision)
			}
			names[p.Name] = true
		}
		if len(names) != n {
			return fmt.Errorf("%d pods, want %d", len(names), n)
		}
		owners, err := bank.Owners(t.Context())
		if err != nil {
			return err
		}
		for shard, pod := range owners {
			if !names[pod] {
				return fmt.Errorf("shard %s is owned by %q, not one of %v", shard, pod, names)
			}
		}
		return nil
	})
}

// in runs kubectl in the bank's namespace.
func in(t *testing.T, bank *stage.Bank, args ...string) string {
	t.Helper()
	out, err := bank.Kubectl(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}
