package stage

import (
	"context"
	"fmt"
	"net/http"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Kill sends SIGKILL to a pod's runtime process and tells when.
func (b *Bank) Kill(ctx context.Context, p Pod) (time.Time, error) {
	return b.Signal(ctx, p, syscall.SIGKILL)
}

// Signal sends a signal to a pod's runtime process and tells when.
func (b *Bank) Signal(ctx context.Context, p Pod, signal syscall.Signal) (time.Time, error) {
	return b.signal(ctx, p.UID, "runtime", signal)
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

// Panic makes a shard of an account's aggregate panic on its owner; the bank must
// run on the image that FaultyImage gives.
func (b *Bank) Panic(ctx context.Context, owner Pod, shard int) error {
	address := fmt.Sprintf("http://%s:8081/faults/panic?aggregate=account&shard=%d", owner.IP, shard)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusNoContent {
		return fmt.Errorf("shard %d was not made to panic on %s: %s", shard, owner.Name, response.Status)
	}
	return nil
}
