package stage

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Kill sends SIGKILL to a pod's runtime process and tells when.
func (b *Bank) Kill(ctx context.Context, p Pod) (time.Time, error) {
	return b.signal(ctx, p.UID, "runtime", syscall.SIGKILL)
}

func (s *Stage) signal(ctx context.Context, podUID, container string, signal syscall.Signal) (time.Time, error) {
	node, pid, err := s.Cluster.ContainerPID(ctx, types.UID(podUID), container)
	if err != nil {
		return time.Time{}, err
	}
	at := time.Now()
	if err := syscall.Kill(pid, signal); err != nil {
		return time.Time{}, fmt.Errorf("signal process %d on %s: %w", pid, node, err)
	}
	return at, nil
}

// Holder is the process that holds the operator's lease: its pod's name, _ and an id
// of its own. A process that is killed and starts anew in its pod is another one,
// and may be the next to get the lease.
func (s *Stage) Holder(ctx context.Context) (string, error) {
	return s.Kubectl(ctx, "get", "lease", "-n", Namespace, "leftfold-operator", "-o", "jsonpath={.spec.holderIdentity}")
}

// KillOperator sends SIGKILL to an operator pod's process.
func (s *Stage) KillOperator(ctx context.Context, pod string) (time.Time, error) {
	uid, err := s.Kubectl(ctx, "get", "pod", "-n", Namespace, pod, "-o", "jsonpath={.metadata.uid}")
	if err != nil {
		return time.Time{}, err
	}
	return s.signal(ctx, uid, "operator", syscall.SIGKILL)
}
