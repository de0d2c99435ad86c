package shard

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/controllers/placement"
)

// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch;delete
// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch
// +kubebuilder:rbac:groups=apps,resources=replicasets,verbs=get;list;watch
// +kubebuilder:rbac:groups=leftfold.io,resources=runtimes;shards,verbs=get;list;watch

// revisionAnnotation is what a Deployment numbers its ReplicaSets by.
const revisionAnnotation = "deployment.kubernetes.io/revision"

// revisionSoon is when a pod's revision is looked for again that is not in the
// cache yet.
const revisionSoon = 200 * time.Millisecond

// watch hears of Runtimes and their pods until ctx ends.
func (f *Fleet) watch(ctx context.Context) error {
	hear, err := controller.NewTypedUnmanaged("fleet", controller.TypedOptions[reconcile.Request]{
		Reconciler: f, Logger: f.config.Log, SkipNameValidation: new(true),
	})
	if err != nil {
		return err
	}
	sources := []source.Source{
		source.Kind[client.Object](f.config.Cache, &v1alpha1.Runtime{}, &handler.EnqueueRequestForObject{}),
		source.Kind[client.Object](f.config.Cache, &corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(runtimeOf)),
		source.Kind[client.Object](f.config.Cache, metadataOf(appsv1.SchemeGroupVersion.String(), "ReplicaSet"),
			handler.EnqueueRequestsFromMapFunc(runtimeOf)),
	}
	for _, s := range sources {
		if err := hear.Watch(s); err != nil {
			return err
		}
	}
	return hear.Start(ctx)
}

func runtimeOf(_ context.Context, object client.Object) []reconcile.Request {
	name := object.GetLabels()[v1alpha1.LabelRuntime]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: object.GetNamespace(), Name: name}}}
}

func metadataOf(apiVersion, kind string) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: apiVersion, Kind: kind}}
}

// Reconcile looks at a Runtime and its pods. It is called by what the Fleet watches
// through its Cache, and waits for Start.
func (f *Fleet) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	select {
	case <-f.started:
	case <-ctx.Done():
		return reconcile.Result{}, ctx.Err()
	}
	var runtime v1alpha1.Runtime
	if err := f.config.Client.Get(ctx, request.NamespacedName, &runtime); err != nil {
		if client.IgnoreNotFound(err) == nil {
			f.drop(request.NamespacedName)
			return reconcile.Result{}, nil
		}
		return reconcile.Result{}, fmt.Errorf("read Runtime: %w", err)
	}
	var list corev1.PodList
	err := f.config.Client.List(ctx, &list, client.InNamespace(request.Namespace), client.MatchingLabels(v1alpha1.RuntimeSelector(request.Name)))
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("list pods: %w", err)
	}
	pods := make([]pod, 0, len(list.Items))
	result := reconcile.Result{}
	for i := range list.Items {
		object := &list.Items[i]
		if object.Status.Phase == corev1.PodSucceeded || object.Status.Phase == corev1.PodFailed {
			continue
		}
		revision, known := f.revision(ctx, object)
		if !known {
			result.RequeueAfter = revisionSoon
		}
		seen := pod{
			name: object.Name, uid: object.UID, node: object.Spec.NodeName,
			zone: f.zone(ctx, object.Spec.NodeName), revision: revision, dial: f.address(object.Status.PodIP),
			ready: isReady(object),
		}
		if at := object.DeletionTimestamp; at != nil {
			seen.deleted, seen.endsAt = true, at.Time
		}
		pods = append(pods, seen)
	}
	return result, f.see(ctx, request.NamespacedName, runtime.Spec.Failover, pods, int(runtime.DesiredReplicas()))
}

func isReady(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// revision of a pod's template. Not known: its ReplicaSet is not in the cache yet.
func (f *Fleet) revision(ctx context.Context, p *corev1.Pod) (revision int64, known bool) {
	owner := metav1.GetControllerOf(p)
	if owner == nil || owner.Kind != "ReplicaSet" {
		return 0, true
	}
	set := metadataOf(appsv1.SchemeGroupVersion.String(), "ReplicaSet")
	if err := f.config.Client.Get(ctx, client.ObjectKey{Namespace: p.Namespace, Name: owner.Name}, set); err != nil {
		return 0, p.DeletionTimestamp != nil // that of a pod that goes is of no use
	}
	revision, err := strconv.ParseInt(set.Annotations[revisionAnnotation], 10, 64)
	return revision, err == nil
}

// zone of a node; empty: not known.
func (f *Fleet) zone(ctx context.Context, node string) string {
	if !f.config.Zones || node == "" {
		return ""
	}
	object := metadataOf(corev1.SchemeGroupVersion.String(), "Node")
	if err := f.config.Client.Get(ctx, client.ObjectKey{Name: node}, object); err != nil {
		return ""
	}
	return object.Labels[corev1.LabelTopologyZone]
}

// remember reads what Shard objects say of restarts and failovers before.
func (f *Fleet) remember(ctx context.Context, runtime types.NamespacedName) (map[placement.ShardID]memory, error) {
	var list v1alpha1.ShardList
	err := f.config.Client.List(ctx, &list, client.InNamespace(runtime.Namespace), client.MatchingLabels(v1alpha1.RuntimeSelector(runtime.Name)))
	if err != nil {
		return nil, fmt.Errorf("list Shards: %w", err)
	}
	remembered := make(map[placement.ShardID]memory, len(list.Items))
	for i := range list.Items {
		s := &list.Items[i]
		m := memory{failover: failoverOf(s.Status.LastFailover)}
		if s.Status.Epoch != nil {
			m.epoch = *s.Status.Epoch
		}
		if s.Status.Restarts != nil {
			m.restarts = *s.Status.Restarts
		}
		// The informer's strings would keep whole objects in memory.
		remembered[placement.ShardID{Aggregate: strings.Clone(s.Spec.AggregateRef.Name), Number: int(s.Spec.ID)}] = m
	}
	return remembered, nil
}

// failoverOf reads a failover back from a status.
func failoverOf(status *v1alpha1.ShardFailover) *Failover {
	if status == nil {
		return nil
	}
	f := &Failover{Reason: status.Reason, Detected: status.DetectedTime.Time}
	if status.RecoveredTime != nil {
		f.Recovered = status.RecoveredTime.Time
	}
	if status.DurationMilliseconds != nil {
		f.Duration = time.Duration(*status.DurationMilliseconds) * time.Millisecond
	}
	return f
}
