//go:build e2e

package e2e

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leftfold/leftfold/hack/internal/stage"
)

// watched are the kinds that the operator writes, or could. Leases are renewed,
// as they must be; nodes are the kubelets' own.
const watched = "leftfold,deployments,replicasets,pods,services,secrets,serviceaccounts,rolebindings,poddisruptionbudgets,persistentvolumeclaims,configmaps,events"

// versions gives the resourceVersion of every object of some namespaces.
func versions(t *testing.T, namespaces ...string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, namespace := range namespaces {
		var list struct {
			Items []struct {
				Kind     string
				Metadata struct{ Name, ResourceVersion string }
			}
		}
		if err := json.Unmarshal([]byte(kubectl(t, "get", watched, "-n", namespace, "-o", "json")), &list); err != nil {
			t.Fatal(err)
		}
		for _, o := range list.Items {
			found[fmt.Sprintf("%s/%s/%s", namespace, o.Kind, o.Metadata.Name)] = o.Metadata.ResourceVersion
		}
	}
	return found
}

// quiet waits until nothing has changed for some seconds.
func quiet(t *testing.T, namespaces ...string) map[string]string {
	t.Helper()
	last := versions(t, namespaces...)
	since := time.Now()
	for deadline := time.Now().Add(90 * time.Second); time.Since(since) < 12*time.Second; {
		pause(t, time.Second)
		now := versions(t, namespaces...)
		if !maps.Equal(now, last) {
			last, since = now, time.Now()
		}
		if time.Now().After(deadline) {
			t.Fatal("objects change again and again")
		}
	}
	return last
}

// TestAppliedTwiceNothingChanges applies the same manifests, and the same chart,
// again: no object gets another resourceVersion.
func TestAppliedTwiceNothingChanges(t *testing.T) {
	bank := newBank(t)
	before := quiet(t, bank.Namespace)
	in(t, bank, "apply", "-k", "config/samples/bank")
	in(t, bank, "apply", "--server-side", "--force-conflicts", "-k", "config/samples/bank")
	// Server-side apply enters its manager into our kinds once; the second time
	// must change nothing.
	after := quiet(t, bank.Namespace)
	in(t, bank, "apply", "--server-side", "--force-conflicts", "-k", "config/samples/bank")
	again := quiet(t, bank.Namespace)
	if diff := cmp.Diff(after, again); diff != "" {
		t.Errorf("the second server-side apply changed objects:\n%s", diff)
	}
	for name := range after {
		kind := strings.Split(name, "/")[1]
		if slices.Contains([]string{"EventStore", "Runtime", "Aggregate", "Projection"}, kind) {
			delete(before, name)
			delete(after, name)
		}
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("applying again changed what the operator makes:\n%s", diff)
	}
}

var idle = flag.Duration("idle", 5*time.Minute, "how long a bank is left alone, in the test that it makes no writes then")

// TestIdleMinutesMakeNoWrites leaves a bank alone, and the operator with it.
func TestIdleMinutesMakeNoWrites(t *testing.T) {
	bank := newBank(t)
	useBank(t, bank.Namespace)
	before := quiet(t, bank.Namespace, stage.Namespace)
	pause(t, *idle)
	if diff := cmp.Diff(before, versions(t, bank.Namespace, stage.Namespace)); diff != "" {
		t.Errorf("%s without work changed objects:\n%s", *idle, diff)
	}
}
