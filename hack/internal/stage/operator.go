package stage

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"time"
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
	return s.Kubectl(ctx, "get", "lease", "-n", Namespace, "leftfold-operator", "-o", "jsonpath={.spec.holderIdentity}")
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

// Said is something that the operator told its log about a failover.
type Said struct {
	At time.Time
	// Verdict is what it thinks of a pod, such as Dead.
	Verdict, Pod string
	// FailedOver: another process serves the shard.
	FailedOver bool
	Aggregate  string
	Shard      int
}

// OperatorLog gives what all operators said of failovers since a moment, each's in
// order. What a process said that was killed since is not among it.
func (s *Stage) OperatorLog(ctx context.Context, since time.Time) ([]Said, error) {
	text, err := s.Kubectl(ctx, "logs", "-n", Namespace, "-l", operatorPods, "--tail=-1", "--since-time="+since.UTC().Format(time.RFC3339Nano))
	if err != nil {
		return nil, err
	}
	var said []Said
	for line := range strings.Lines(text) {
		var entry struct {
			Time                      time.Time
			Msg, Kind, Pod, Aggregate string
			Shard                     int
		}
		if json.Unmarshal([]byte(line), &entry) != nil {
			continue // not one of the operator's own
		}
		switch {
		case entry.Time.Before(since):
		case entry.Msg == "verdict":
			said = append(said, Said{At: entry.Time, Verdict: entry.Kind, Pod: entry.Pod})
		case entry.Msg == "a shard has failed over":
			said = append(said, Said{At: entry.Time, FailedOver: true, Aggregate: entry.Aggregate, Shard: entry.Shard})
		}
	}
	return said, nil
}
