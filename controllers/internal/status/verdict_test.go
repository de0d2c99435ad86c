package status

import (
	"strings"
	"testing"
	"time"

	kstatus "github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func TestAVerdictIsWhatKstatusReads(t *testing.T) {
	for _, c := range []struct {
		name    string
		verdict Verdict
		// kinds of the conditions, with their status.
		kinds map[string]metav1.ConditionStatus
		want  kstatus.Status
	}{
		{"ready is current", Ready("all is well"), map[string]metav1.ConditionStatus{"Ready": "True"}, kstatus.CurrentStatus},
		{
			"progressing is on its way", Progressing(v1alpha1.ReasonProgressing, "soon"),
			map[string]metav1.ConditionStatus{"Ready": "False", "Reconciling": "True"}, kstatus.InProgressStatus,
		},
		{
			"stalled has failed", Stalled(v1alpha1.ReasonInvalidType, "spec.state[0].type: there is no such type"),
			map[string]metav1.ConditionStatus{"Ready": "False", "Stalled": "True"}, kstatus.FailedStatus,
		},
		{"not ready is no failure", NotReady(v1alpha1.ReasonPaused, "somebody paused it"), map[string]metav1.ConditionStatus{"Ready": "False"}, kstatus.InProgressStatus},
	} {
		// Whatever it was before.
		for _, before := range [][]metav1.Condition{
			nil,
			Ready("").Conditions(nil, 1, noon),
			Progressing("Before", "").Conditions(nil, 1, noon),
			Stalled("Before", "").Conditions(nil, 1, noon),
		} {
			t.Run(c.name, func(t *testing.T) {
				conditions := c.verdict.Conditions(before, 2, noon)
				kinds := map[string]metav1.ConditionStatus{}
				for _, condition := range conditions {
					kinds[condition.Type] = condition.Status
					if condition.Reason != c.verdict.Reason || condition.Message != c.verdict.Message || condition.ObservedGeneration != 2 {
						t.Errorf("%s is %+v", condition.Type, condition)
					}
				}
				if diff := cmp.Diff(c.kinds, kinds); diff != "" {
					t.Errorf("conditions (-want +got):\n%s", diff)
				}
				if got := kstatusOf(t, conditions); got != c.want {
					t.Errorf("kstatus is %s, want %s", got, c.want)
				}
			})
		}
	}
}

func kstatusOf(t *testing.T, conditions []metav1.Condition) kstatus.Status {
	t.Helper()
	object := &v1alpha1.Runtime{
		ObjectMeta: metav1.ObjectMeta{Name: "bank", Generation: 2},
		Status:     v1alpha1.RuntimeStatus{ObservedGeneration: 2, Conditions: conditions},
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		t.Fatal(err)
	}
	result, err := kstatus.Compute(&unstructured.Unstructured{Object: content})
	if err != nil {
		t.Fatal(err)
	}
	return result.Status
}

func TestATimeOfTransitionStaysWithItsStatus(t *testing.T) {
	later := noon.Add(time.Hour)
	before := Progressing("First", "one").Conditions(nil, 1, noon)
	same := Progressing("Second", "two").Conditions(before, 2, later)
	for _, condition := range same {
		if !condition.LastTransitionTime.Time.Equal(noon) {
			t.Errorf("%s changed at %s, though its status did not", condition.Type, condition.LastTransitionTime)
		}
	}
	other := Ready("").Conditions(same, 2, later)
	if got := meta.FindStatusCondition(other, "Ready").LastTransitionTime.Time; !got.Equal(later) {
		t.Errorf("Ready changed at %s, want %s", got, later)
	}
}

func TestConditionsOfOthersStay(t *testing.T) {
	foreign := metav1.Condition{Type: "Audited", Status: metav1.ConditionTrue, Reason: "Yearly"}
	got := Ready("").Conditions([]metav1.Condition{foreign}, 1, noon)
	if diff := cmp.Diff(&foreign, meta.FindStatusCondition(got, "Audited")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhatItIsGivenStaysAsItIs(t *testing.T) {
	before := Stalled("Before", "words").Conditions(nil, 1, noon)
	copied := append([]metav1.Condition(nil), before...)
	Ready("").Conditions(before, 2, noon.Add(time.Hour))
	if diff := cmp.Diff(copied, before); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestALongMessageIsCutBetweenCharacters(t *testing.T) {
	got := meta.FindStatusCondition(Stalled("Long", strings.Repeat("é", maxMessage)).Conditions(nil, 1, noon), "Ready").Message
	if len(got) > maxMessage || !strings.HasSuffix(got, "é...") {
		t.Errorf("it has %d bytes and ends with %q", len(got), got[len(got)-8:])
	}
}

func TestAnEventTellsOfAnotherCondition(t *testing.T) {
	ready, waits, wrong := Ready("3 of 3"), Progressing("Waits", "for one"), Stalled("Wrong", "spec.x: is wrong")
	for _, c := range []struct {
		name        string
		before, now Verdict
		want        string
	}{
		{"when it becomes ready", waits, ready, "Normal Ready 3 of 3"},
		{"when it stalls, as a warning", ready, wrong, "Warning Wrong spec.x: is wrong"},
		{"when it waits for something else", Progressing("Other", ""), waits, "Normal Waits for one"},
		{"when something else is wrong for the same reason", Stalled("Wrong", "spec.y: is wrong"), wrong, "Warning Wrong spec.x: is wrong"},
		{"not when nothing changed", wrong, wrong, ""},
		{"not when only a count changed", Progressing("Waits", "for two"), waits, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			recorder := events.NewFakeRecorder(10)
			Announce(recorder, &v1alpha1.Runtime{}, c.before.Conditions(nil, 1, noon), c.now.Conditions(nil, 1, noon))
			got := ""
			select {
			case got = <-recorder.Events:
			default:
			}
			if got != c.want {
				t.Errorf("told %q, want %q", got, c.want)
			}
		})
	}
}
