package status

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// Write patches the status of an object, as it was read and as it is to be; it
// tells whether that was needed. Without a difference there is no call. The patch
// holds the version that was read: a reconciler that acted on an outdated object
// gets a conflict, which [IsConflict] of apimachinery's errors tells, and looks
// again. What else differs than the status is left alone.
func Write(ctx context.Context, c client.Client, before, after client.Object) (bool, error) {
	same, err := client.MergeFrom(before).Data(after)
	if err != nil {
		return false, fmt.Errorf("compare statuses: %w", err)
	}
	if string(same) == "{}" {
		return false, nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := c.Status().Patch(ctx, after, patch, client.FieldOwner(v1alpha1.FieldManager)); err != nil {
		return false, fmt.Errorf("write the status: %w", err)
	}
	return true, nil
}

// Watched has a reconciler called for every change of its own objects, those of
// their status included, which it made itself. It needs them: [Write] compares with
// an object from the cache, which may be behind the last write. Then a status that
// has to go back to what it was before that write looks as if it were so already,
// and nothing is written; the write's own arrival in the cache makes it good.
func Watched() builder.Predicates {
	return builder.WithPredicates(predicate.ResourceVersionChangedPredicate{})
}

// Announce records an event on the object when its Ready condition has another
// status or reason than before, or when what somebody has to change is told in
// other words. Other words do not matter else: counts in them change often.
func Announce(recorder events.EventRecorder, object client.Object, before, after []metav1.Condition) {
	was, is := meta.FindStatusCondition(before, v1alpha1.ConditionReady), meta.FindStatusCondition(after, v1alpha1.ConditionReady)
	stalled := meta.IsStatusConditionTrue(after, v1alpha1.ConditionStalled)
	switch {
	case recorder == nil || is == nil:
		return
	case was != nil && was.Status == is.Status && was.Reason == is.Reason && (!stalled || was.Message == is.Message):
		return
	}
	kind := corev1.EventTypeNormal
	if stalled {
		kind = corev1.EventTypeWarning
	}
	recorder.Eventf(object, nil, kind, is.Reason, "Reconcile", "%s", cut(is.Message, maxNote))
}

// maxNote is what the API allows an event to say, in bytes.
const maxNote = 1024

// cut shortens a text to at most so many bytes.
func cut(text string, limit int) string {
	const dots = "..."
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit-len(dots)], "") + dots
}
