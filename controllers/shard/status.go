package shard

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// maxMessage is how many characters a condition's message may have.
const maxMessage = 32768

// statusOf is what a Shard's status should be. Times of conditions that stay are
// kept.
func statusOf(object *v1alpha1.Shard, seen *Shard, now time.Time) v1alpha1.ShardStatus {
	status := *object.Status.DeepCopy()
	status.ObservedGeneration = object.Generation
	status.Owner = nil
	if seen.Pod != "" {
		status.Owner = &v1alpha1.ShardOwner{Pod: seen.Pod, Node: seen.Node}
	}
	status.Epoch, status.Restarts = new(seen.Epoch), new(seen.Restarts)
	status.LastFailover = failoverStatus(seen.LastFailover)
	setConditions(&status.Conditions, object.Generation, seen, now)
	return status
}

// failoverStatus writes a failover down; times lose what is below a second.
func failoverStatus(f *Failover) *v1alpha1.ShardFailover {
	if f == nil {
		return nil
	}
	status := &v1alpha1.ShardFailover{Reason: f.Reason, DetectedTime: metav1.NewTime(f.Detected).Rfc3339Copy()}
	if !f.Recovered.IsZero() {
		status.RecoveredTime = new(metav1.NewTime(f.Recovered).Rfc3339Copy())
		status.DurationMilliseconds = new(f.Duration.Milliseconds())
	}
	return status
}

// setConditions writes down what is going on with a shard: Ready, and Reconciling
// or Stalled while they apply.
func setConditions(conditions *[]metav1.Condition, generation int64, seen *Shard, now time.Time) {
	set := func(kind string, value metav1.ConditionStatus, message string) {
		meta.SetStatusCondition(conditions, metav1.Condition{
			Type: kind, Status: value, Reason: seen.Reason, Message: cut(message),
			ObservedGeneration: generation, LastTransitionTime: metav1.NewTime(now).Rfc3339Copy(),
		})
	}
	message := describe(seen)
	ready := metav1.ConditionFalse
	if seen.State == Owned {
		ready = metav1.ConditionTrue
	}
	set(v1alpha1.ConditionReady, ready, message)
	for kind, applies := range map[string]bool{
		v1alpha1.ConditionReconciling: seen.State == Claiming || seen.State == HandingOff,
		v1alpha1.ConditionStalled:     seen.State == Stalled,
	} {
		if applies {
			set(kind, metav1.ConditionTrue, message)
		} else {
			meta.RemoveStatusCondition(conditions, kind)
		}
	}
}

func cut(message string) string {
	if len(message) <= maxMessage {
		return message
	}
	return strings.ToValidUTF8(message[:maxMessage], "")
}

// describe says in words what is going on with a shard.
func describe(seen *Shard) string {
	switch seen.State {
	case Owned:
		return fmt.Sprintf("Pod %s serves the shard.", seen.Pod)
	case Claiming:
		return "A pod is taking the shard over."
	case HandingOff:
		return "The shard moves from one pod to another, as planned."
	case Stalled:
		return "The shard failed on every pod it was tried on; it is tried again when its Aggregate changes. Last: " + seen.Message
	default:
		if seen.Message != "" {
			return "No pod serves the shard. Last: " + seen.Message
		}
		return "No pod serves the shard."
	}
}
