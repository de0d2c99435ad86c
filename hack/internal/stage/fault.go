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

// Leader names the operator pod that holds the lease.
func (s *Stage) Leader(ctx context.Context) (string, error) {
	holder, err := s.Kubectl(ctx, "get", "lease", "-n", Namespace, "leftfold-operator", "-o", "jsonpath={.spec.holderIdentity}")
	if err != nil {
		return "", err
	}
	// controller-runtime appends _UUID to the host's name.
	for i := range holder {
		if holder[i] == '_' {
			return holder[:i], nil
		}
	}
	return holder, nil
}

// KillOperator sends SIGKILL to an operator pod's process.
func (s *Stage) KillOperator(ctx context.Context, pod string) (time.Time, error) {
	uid, err := s.Kubectl(ctx, "get", "pod", "-n", Namespace, pod, "-o", "jsonpath={.metadata.uid}")
	if err != nil {
		return time.Time{}, err
	}
	return s.signal(ctx, uid, "operator", syscall.SIGKILL)
}
