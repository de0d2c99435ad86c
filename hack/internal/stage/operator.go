package stage

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const operatorPods = "app.kubernetes.io/component=operator"

// OperatorPods lists the operator's pods by name.
func (s *Stage) OperatorPods(ctx context.Context) ([]Pod, error) {
	return s.pods(ctx, Namespace, operatorPods)
}

// Holder is the process that holds the operator's lease: its pod's name, _ and an id
// of its own. A process that is killed and starts anew in its pod is another one,
// and may be the next to get the lease.
func (s *Stage) Holder(ctx context.Context) (string, error) {
	lease, err := s.core.CoordinationV1().Leases(Namespace).Get(ctx, "leftfold-operator", metav1.GetOptions{})
	if err != nil || lease.Spec.HolderIdentity == nil {
		return "", err
	}
	return *lease.Spec.HolderIdentity, nil
}

// Leader is the pod whose process holds the operator's lease.
func (s *Stage) Leader(ctx context.Context) (Pod, error) {
	holder, err := s.Holder(ctx)
	if err != nil {
		return Pod{}, err
	}
	name, _, _ := strings.Cut(holder, "_")
	pods, err := s.OperatorPods(ctx)
	if err != nil {
		return Pod{}, err
	}
	for _, p := range pods {
		if p.Name == name {
			return p, nil
		}
	}
	return Pod{}, fmt.Errorf("%q holds the lease, and is no pod of %v", holder, pods)
}

// KillOperator sends SIGKILL to an operator pod's process and tells when.
func (s *Stage) KillOperator(ctx context.Context, p Pod) (time.Time, error) {
	return s.signal(ctx, p.UID, "operator", syscall.SIGKILL)
}

// Said is something that the operator told its log about a failover or a move.
type Said struct {
	At time.Time
	// Verdict is what it thinks of a pod, such as Dead.
	Verdict, Pod string
	// FailedOver: another process serves the shard.
	FailedOver bool
	// Moved: another process serves the shard, as planned.
	Moved bool
	// Took is how long the failover or the move took, by the operator.
	Took      time.Duration
	Aggregate string
	Shard     int
}

// OperatorLog gives what all operators said of failovers and moves since a moment,
// each's in order. What a process said that was killed since is not among it.
func (s *Stage) OperatorLog(ctx context.Context, since time.Time) ([]Said, error) {
	pods, err := s.OperatorPods(ctx)
	if err != nil {
		return nil, err
	}
	var text []byte
	for _, p := range pods {
		from := metav1.NewTime(since)
		one, err := s.core.CoreV1().Pods(Namespace).GetLogs(p.Name, &corev1.PodLogOptions{SinceTime: &from}).DoRaw(ctx)
		if err != nil {
			return nil, err
		}
		text = append(text, one...)
	}
	var said []Said
	for line := range bytes.Lines(text) {
		var entry struct {
			Time                      time.Time
			Msg, Kind, Pod, Aggregate string
			Shard                     int
			Duration                  time.Duration
		}
		if json.Unmarshal(line, &entry) != nil {
			continue // not one of the operator's own
		}
		switch {
		case entry.Time.Before(since):
		case entry.Msg == "verdict":
			said = append(said, Said{At: entry.Time, Verdict: entry.Kind, Pod: entry.Pod})
		case entry.Msg == "a shard has failed over":
			said = append(said, Said{At: entry.Time, FailedOver: true, Took: entry.Duration, Aggregate: entry.Aggregate, Shard: entry.Shard})
		case entry.Msg == "a shard has moved":
			said = append(said, Said{At: entry.Time, Moved: true, Took: entry.Duration, Aggregate: entry.Aggregate, Shard: entry.Shard})
		}
	}
	return said, nil
}
