package shard

import (
	"context"
	"sync"
	"time"

	"github.com/go-logr/logr"
	coordinationv1 "k8s.io/api/coordination/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// term is the number that this leader says Hello with. It is the microsecond of its
// election, by its own clock. Clocks differ, so a pod may have seen a higher one of
// a leader that is no more: then the leader goes on under a term above, if the
// Lease is still its own.
type term struct {
	reader client.Reader
	lease  client.ObjectKey
	log    logr.Logger

	mu      sync.Mutex
	current int64
	// holder is who held the Lease when the term began: this process. Empty: it
	// could not be read.
	holder string
}

// leaseTimeout is how long a read of the Lease may take; about as long as the
// leader election gives it.
const leaseTimeout = 3 * time.Second

func (t *term) begin(ctx context.Context, at time.Time) {
	holder, err := t.holding(ctx)
	if err != nil {
		t.log.Error(err, "cannot read the Lease of the leader election")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.current, t.holder = at.UnixMicro(), holder
}

func (t *term) now() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.current
}

// outvoted rises above a term that a pod has seen. False: another leads now.
func (t *term) outvoted(ctx context.Context, seen int64) bool {
	if t.now() > seen {
		return true
	}
	holder, err := t.holding(ctx)
	if err != nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.holder == "" {
		t.holder = holder
	}
	if holder != t.holder {
		t.log.Info("another process leads", "holder", holder)
		return false
	}
	if t.current <= seen {
		t.log.Info("a pod has seen a higher term; this leader goes on above it", "seen", seen)
		t.current = seen + 1
	}
	return true
}

// holding reads who holds the Lease; empty when there is no election.
func (t *term) holding(ctx context.Context) (string, error) {
	if t.lease.Name == "" {
		return "", nil
	}
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	var lease coordinationv1.Lease
	if err := t.reader.Get(ctx, t.lease, &lease); err != nil {
		return "", err
	}
	if lease.Spec.HolderIdentity == nil {
		return "", nil
	}
	return *lease.Spec.HolderIdentity, nil
}
