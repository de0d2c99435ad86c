package status

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// Verdict is how an object fares: a reason and words for people, and which of the
// conditions they belong to. Make one with Ready, Progressing, Stalled or NotReady.
type Verdict struct {
	kind kind
	// Reason is one of the API's condition reasons.
	Reason string
	// Message is for people; of what is wrong it names the field and the fix.
	Message string
}

type kind int

const (
	ready kind = iota
	progressing
	stalled
	notReady
)

// Ready is for an object that does what its spec says. kstatus: Current.
func Ready(message string) Verdict {
	return Verdict{kind: ready, Reason: v1alpha1.ReasonReady, Message: message}
}

// Progressing is for one that will get there by itself, or with another object that
// somebody has yet to make. kstatus: InProgress.
func Progressing(reason, message string) Verdict {
	return Verdict{kind: progressing, Reason: reason, Message: message}
}

// Stalled is for one that stays as it is until somebody changes something. kstatus:
// Failed.
func Stalled(reason, message string) Verdict {
	return Verdict{kind: stalled, Reason: reason, Message: message}
}

// NotReady is for one that works, but not as it should, while neither is anything
// under way nor the object wrong. kstatus: InProgress.
func NotReady(reason, message string) Verdict {
	return Verdict{kind: notReady, Reason: reason, Message: message}
}

// IsReady tells whether the object does what its spec says.
func (v Verdict) IsReady() bool { return v.kind == ready }

// IsStalled tells whether somebody has to change something.
func (v Verdict) IsStalled() bool { return v.kind == stalled }

// maxMessage is what the API's schema of conditions allows.
const maxMessage = 32768

// Conditions gives the conditions of an object that fares so at its generation.
// Of the ones before, it keeps the time of those whose status is the same, and
// those of other types as they are. What it is given it leaves alone.
func (v Verdict) Conditions(before []metav1.Condition, generation int64, now time.Time) []metav1.Condition {
	conditions := append([]metav1.Condition(nil), before...)
	set := func(kind string, is bool) {
		condition := metav1.Condition{
			Type: kind, Status: metav1.ConditionFalse, Reason: v.Reason, Message: cut(v.Message, maxMessage),
			ObservedGeneration: generation, LastTransitionTime: metav1.NewTime(now),
		}
		if is {
			condition.Status = metav1.ConditionTrue
		}
		meta.SetStatusCondition(&conditions, condition)
	}
	set(v1alpha1.ConditionReady, v.kind == ready)
	for kind, applies := range map[string]bool{
		v1alpha1.ConditionReconciling: v.kind == progressing,
		v1alpha1.ConditionStalled:     v.kind == stalled,
	} {
		if applies {
			set(kind, true)
		} else {
			meta.RemoveStatusCondition(&conditions, kind)
		}
	}
	return conditions
}
