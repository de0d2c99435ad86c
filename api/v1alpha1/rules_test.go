package v1alpha1_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// rule is one thing that the API server checks when an object is applied: a
// change of a manifest that it accepts, one that it refuses, and what it says.
type rule struct {
	// name is the rule, as a sentence.
	name     string
	manifest string
	accepted []change
	refused  []change
	// says are parts of the message: the field, and what is wrong with it.
	says []string
}

// refusals collects what the API server said, for the test that asks whether
// every rule of the schemas was made to speak.
var refusals struct {
	sync.Mutex
	said []string
}

func checkRules(t *testing.T, rules []rule) {
	t.Helper()
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			if err := create(t, parse(t, rule.manifest, rule.accepted...)); err != nil {
				t.Errorf("the object that keeps the rule was refused: %v", err)
			}
			wantRefusal(t, create(t, parse(t, rule.manifest, rule.refused...)), rule.says)
		})
	}
}

// checkUpdateRules is checkRules for rules on what may change: manifest is
// stored, then changed in both ways.
func checkUpdateRules(t *testing.T, rules []rule) {
	t.Helper()
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			stored := parse(t, rule.manifest)
			store(t, stored)
			if err := update(t, stored, rule.accepted); err != nil {
				t.Errorf("the change that keeps the rule was refused: %v", err)
			}
			wantRefusal(t, update(t, stored, rule.refused), rule.says)
		})
	}
}

// create asks the API server to take the object, without keeping it.
func create(t *testing.T, object *unstructured.Unstructured) error {
	t.Helper()
	return cluster.Create(t.Context(), object, client.DryRunAll, client.FieldValidation("Strict"))
}

// update asks the API server to take a changed object, without keeping it.
func update(t *testing.T, stored *unstructured.Unstructured, changes []change) error {
	t.Helper()
	changed := stored.DeepCopy()
	for _, change := range changes {
		if err := change(changed.Object); err != nil {
			t.Fatalf("the manifest cannot be changed: %v", err)
		}
	}
	return cluster.Update(t.Context(), changed, client.DryRunAll, client.FieldValidation("Strict"))
}

// store creates an object for the time of the test.
func store(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	if err := cluster.Create(t.Context(), object); err != nil {
		t.Fatalf("create %s %s: %v", object.GetKind(), object.GetName(), err)
	}
	deleteAfter(t, object)
}

func deleteAfter(t *testing.T, object client.Object) {
	t.Cleanup(func() {
		// The test's own context is over by now.
		if err := cluster.Delete(context.WithoutCancel(t.Context()), object); err != nil {
			t.Errorf("delete %s: %v", object.GetName(), err)
		}
	})
}

func wantRefusal(t *testing.T, err error, says []string) {
	t.Helper()
	if err == nil {
		t.Fatalf("the object that breaks the rule was accepted; want a refusal that says %q", says)
	}
	refusals.Lock()
	refusals.said = append(refusals.said, err.Error())
	refusals.Unlock()
	if len(says) == 0 {
		t.Fatal("the case does not say which message it wants")
	}
	for _, part := range says {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("refused without saying %q:\n%v", part, err)
		}
	}
}
