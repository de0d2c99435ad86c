package shard

import (
	"context"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// objectName is the name of a shard's Shard object.
func objectName(aggregate string, number int32) string {
	return fmt.Sprintf("%s-%d", aggregate, number)
}

// outlet hands what changed to the queues of controllers. Queues hold each request
// once, so that nothing grows when a controller is slow. What changed before a
// controller began is in the objects that it begins with.
type outlet struct {
	mu     sync.Mutex
	queues map[workqueue.TypedRateLimitingInterface[reconcile.Request]]struct{}
}

// source makes a source of the outlet; each is for one controller.
func (o *outlet) source() source.Source {
	return source.Func(func(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.queues == nil {
			o.queues = map[workqueue.TypedRateLimitingInterface[reconcile.Request]]struct{}{}
		}
		o.queues[queue] = struct{}{}
		context.AfterFunc(ctx, func() {
			o.mu.Lock()
			defer o.mu.Unlock()
			delete(o.queues, queue)
		})
		return nil
	})
}

func (o *outlet) enqueue(namespace string, names ...string) {
	if len(names) == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for queue := range o.queues {
		for _, name := range names {
			queue.Add(reconcile.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}})
		}
	}
}
