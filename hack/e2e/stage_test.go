//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leftfold/leftfold/hack/internal/stage"
)

// theStage is raised once for all tests.
var theStage *stage.Stage

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root, err := filepath.Abs("../..")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if theStage, err = stage.Raise(ctx, stage.Options{Root: root, Log: os.Stderr}); err != nil {
		fmt.Fprintln(os.Stderr, "raise the stage:", err)
		return 1
	}
	code := m.Run()
	if err := theStage.Close(context.WithoutCancel(ctx)); err != nil {
		fmt.Fprintln(os.Stderr, "take the stage down:", err)
		return 1
	}
	return code
}

// kubectl runs kubectl and fails the test when it fails.
func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := theStage.Kubectl(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// afterwards runs kubectl when the test has ended.
func afterwards(t *testing.T, args ...string) {
	t.Helper()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := theStage.Kubectl(ctx, args...); err != nil {
			t.Error(err)
		}
	})
}

// namespaceOf names a test's namespace after it.
func namespaceOf(t *testing.T) string {
	name := strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()))
	return strings.Trim(name[:min(len(name), 50)], "-")
}

// newNamespace makes a namespace for the test, and removes it afterwards, which
// must come to an end.
func newNamespace(t *testing.T) string {
	t.Helper()
	name := namespaceOf(t)
	kubectl(t, "create", "namespace", name)
	t.Cleanup(func() { removeNamespace(t, name) })
	return name
}

func removeNamespace(t *testing.T, name string) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if _, err := theStage.Kubectl(ctx, "delete", "namespace", name, "--ignore-not-found", "--timeout=90s"); err != nil {
		left, _ := theStage.Kubectl(ctx, "get", "leftfold,pods,secrets,pvc", "-n", name, "-o", "wide") // for the reader
		t.Errorf("the namespace does not end: %v\n%s", err, left)
	}
}

// newBank is the bank sample, ready, in a namespace of the test's own.
func newBank(t *testing.T) *stage.Bank {
	t.Helper()
	namespace := namespaceOf(t)
	t.Cleanup(func() { removeNamespace(t, namespace) })
	bank, err := theStage.ApplyBank(t.Context(), namespace)
	if err != nil {
		t.Fatal(err)
	}
	if err := bank.AwaitReady(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	return bank
}

// eventually waits until check gives no error.
func eventually(t *testing.T, within time.Duration, check func() error) {
	t.Helper()
	if err := stage.Await(t.Context(), within, func(context.Context) error { return check() }); err != nil {
		t.Fatal(err)
	}
}
