package shard

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/leftfold/leftfold/api/v1alpha1"
	verdict "github.com/leftfold/leftfold/controllers/internal/status"
)

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
	status.Conditions = verdictOf(seen).Conditions(status.Conditions, object.Generation, now)
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

// verdictOf says how a shard fares.
func verdictOf(seen *Shard) verdict.Verdict {
	switch seen.State {
	case Owned:
		ready := verdict.Ready(fmt.Sprintf("Pod %s serves the shard.", seen.Pod))
		ready.Reason = seen.Reason
		return ready
	case Claiming:
		return verdict.Progressing(seen.Reason, "A pod is taking the shard over.")
	case HandingOff:
		return verdict.Progressing(seen.Reason, "The shard moves from one pod to another, as planned.")
	case Stalled:
		return verdict.Stalled(seen.Reason, "The shard "+seen.Stall())
	}
	message := "No pod serves the shard."
	if seen.Message != "" {
		message += " It said: " + seen.Message
	}
	return verdict.NotReady(seen.Reason, message)
}
