package definition

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// What a watch that ended waits before it begins anew. The cap is far below
// client-go's 30 s: after an outage of the API server a change has to be live
// soon, and a Runtime has few pods.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 2 * time.Second
)

// api reads the kinds of one namespace.
type api struct {
	client    *rest.RESTClient
	codec     runtime.ParameterCodec
	namespace string
	log       logr.Logger
}

func newAPI(config *rest.Config, namespace string, log *slog.Logger) (*api, error) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	config = rest.CopyConfig(config)
	config.GroupVersion, config.APIPath = &v1alpha1.GroupVersion, "/apis"
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	config.UserAgent = "leftfold-runtime"
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("make a client of the API server: %w", err)
	}
	return &api{client: client, codec: runtime.NewParameterCodec(scheme), namespace: namespace, log: logr.FromSlogHandler(log.Handler())}, nil
}

// objects mirrors the objects of one kind in a namespace. It implements
// cache.ReflectorStore.
type objects[T metav1.Object] struct {
	// changed is told when a spec has come, gone or changed; a change of status
	// alone is none.
	changed func()

	mu     sync.Mutex
	byName map[string]T
	synced bool
}

// mirror keeps the objects of a kind as the API server has them, until ctx ends.
// While the server is away, they stay as they were.
func mirror[T interface {
	metav1.Object
	runtime.Object
}](ctx context.Context, a *api, resource string, list runtime.Object, kind T, into *objects[T],
) {
	request := func(options metav1.ListOptions) *rest.Request {
		return a.client.Get().Namespace(a.namespace).Resource(resource).VersionedParams(&options, a.codec)
	}
	lister := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			into := list.DeepCopyObject()
			return into, request(options).Do(ctx).Into(into)
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			options.Watch = true
			return request(options).Watch(ctx)
		},
	}
	cache.NewReflectorWithOptions(lister, kind, into, cache.ReflectorOptions{
		Logger: &a.log, Name: resource,
		Backoff: &wait.Backoff{Duration: firstRetry, Cap: lastRetry, Steps: math.MaxInt32, Factor: 2, Jitter: 0.5},
	}).RunWithContext(klog.NewContext(ctx, a.log))
}

// Add implements cache.ReflectorStore.
func (o *objects[T]) Add(obj any) error { return o.Update(obj) }

// Update implements cache.ReflectorStore.
func (o *objects[T]) Update(obj any) error {
	now := obj.(T)
	o.mu.Lock()
	before, known := o.byName[now.GetName()]
	o.byName[now.GetName()] = now
	o.mu.Unlock()
	if !known || before.GetUID() != now.GetUID() || before.GetGeneration() != now.GetGeneration() {
		o.changed()
	}
	return nil
}

// Delete implements cache.ReflectorStore.
func (o *objects[T]) Delete(obj any) error {
	o.mu.Lock()
	delete(o.byName, obj.(T).GetName())
	o.mu.Unlock()
	o.changed()
	return nil
}

// Replace implements cache.ReflectorStore.
func (o *objects[T]) Replace(list []any, _ string) error {
	byName := make(map[string]T, len(list))
	for _, obj := range list {
		byName[obj.(T).GetName()] = obj.(T)
	}
	o.mu.Lock()
	o.byName, o.synced = byName, true
	o.mu.Unlock()
	o.changed()
	return nil
}

// Resync implements cache.ReflectorStore.
func (o *objects[T]) Resync() error { return nil }

// snapshot gives the objects by name; not ok before all have been seen once.
func (o *objects[T]) snapshot() (byName map[string]T, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	byName = make(map[string]T, len(o.byName))
	for name, object := range o.byName {
		byName[name] = object
	}
	return byName, o.synced
}
