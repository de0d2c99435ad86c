//go:build e2e

package e2e

import (
	"context"
	"strings"
	"testing"
	"time"
)

// TestHelmWaitsForReadyObjectsAndGivesUpOnBrokenOnes installs a workload's chart
// with helm install --wait: the conditions tell Helm when to go on and when not
// to wait any longer.
func TestHelmWaitsForReadyObjectsAndGivesUpOnBrokenOnes(t *testing.T) {
	const chart, timeout = "hack/e2e/testdata/counter", 3 * time.Minute
	install := func(t *testing.T, namespace string, args ...string) (time.Duration, error) {
		ctx, cancel := context.WithTimeout(t.Context(), timeout+time.Minute)
		defer cancel()
		began := time.Now()
		_, err := theStage.Helm(ctx, append([]string{"install", "counter", chart, "-n", namespace, "--wait", "--timeout", timeout.String()}, args...)...)
		return time.Since(began), err
	}
	t.Run("sound objects are waited for until they are Ready", func(t *testing.T) {
		namespace := newNamespace(t)
		if _, err := install(t, namespace); err != nil {
			t.Fatal(err)
		}
		for _, object := range []string{"eventstore/counter", "runtime/counter", "aggregate/counter"} {
			// No time to become Ready after Helm has ended.
			kubectl(t, "wait", "-n", namespace, "--for=condition=Ready", object, "--timeout=1s")
		}
		if _, err := theStage.Helm(t.Context(), "uninstall", "counter", "-n", namespace, "--wait"); err != nil {
			t.Error(err)
		}
	})
	t.Run("a broken expression ends the wait long before the timeout", func(t *testing.T) {
		namespace := newNamespace(t)
		took, err := install(t, namespace, "--set", "check=self + 1")
		if err == nil || !strings.Contains(err.Error(), "counter") {
			t.Fatalf("helm install of a broken object: %v, want an error that names it", err)
		}
		if took > timeout/2 {
			t.Errorf("helm install gave up after %s", took.Round(time.Second))
		}
	})
}
