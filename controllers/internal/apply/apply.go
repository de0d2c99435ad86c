package apply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// ErrForeign says that an object of the name is there, and is not the operator's.
var ErrForeign = errors.New("an object of this name is there already that the operator did not make")

// Object brings an object to what it should be, and tells whether that was needed.
//
// c may read from a cache, which may hold the operator's objects alone; what is
// not in it is looked for by live, so that nobody else's object is taken for none.
// object is an empty one of the kind, which is given the object as it is then.
// desired is an apply configuration of the same kind, with name and namespace.
//
// Errors: ErrForeign when the object is there and is neither labelled as the
// operator's nor under the owner that desired names; those of the API.
func Object(ctx context.Context, c client.Client, live client.Reader, object client.Object, desired runtime.ApplyConfiguration) (bool, error) {
	wanted, err := asMap(desired)
	if err != nil {
		return false, err
	}
	var head metav1.PartialObjectMetadata
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(wanted, &head); err != nil {
		return false, fmt.Errorf("read the desired object: %w", err)
	}
	key := client.ObjectKeyFromObject(&head)
	err = c.Get(ctx, key, object)
	if apierrors.IsNotFound(err) {
		err = live.Get(ctx, key, object)
	}
	switch {
	case apierrors.IsNotFound(err):
		return true, write(ctx, c, head.Kind, key, object, desired)
	case err != nil:
		return false, fmt.Errorf("read %s %s: %w", head.Kind, key, err)
	}
	if !isOurs(object, &head) {
		return false, fmt.Errorf("%s %q: %w", head.Kind, key.Name, ErrForeign)
	}
	there, err := asMap(object)
	if err != nil {
		return false, err
	}
	same, err := upToDate(v1alpha1.FieldManager, object.GetManagedFields(), wanted, there)
	if err != nil || same {
		return false, err
	}
	return true, write(ctx, c, head.Kind, key, object, desired)
}

func write(ctx context.Context, c client.Client, kind string, key types.NamespacedName, object client.Object, desired runtime.ApplyConfiguration) error {
	// A field that somebody else has changed is put back.
	if err := c.Apply(ctx, desired, client.FieldOwner(v1alpha1.FieldManager), client.ForceOwnership); err != nil {
		return fmt.Errorf("apply %s %s: %w", kind, key, err)
	}
	// The client has put the server's answer into desired.
	text, err := json.Marshal(desired)
	if err != nil {
		return fmt.Errorf("encode %s %s: %w", kind, key, err)
	}
	reflect.ValueOf(object).Elem().SetZero()
	if err := json.Unmarshal(text, object); err != nil {
		return fmt.Errorf("decode %s %s: %w", kind, key, err)
	}
	return nil
}

// isOurs: it has the operator's label, as an object has whose owner was deleted
// without it, or it is under the owner that it should have.
func isOurs(live, desired client.Object) bool {
	if live.GetLabels()[v1alpha1.LabelManagedBy] == v1alpha1.FieldManager {
		return true
	}
	want := metav1.GetControllerOf(desired)
	is := metav1.GetControllerOf(live)
	return want != nil && is != nil && want.UID == is.UID
}

// asMap gives an object as JSON has it.
func asMap(object any) (map[string]any, error) {
	text, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("encode an object: %w", err)
	}
	var out map[string]any
	if err := json.Unmarshal(text, &out); err != nil {
		return nil, fmt.Errorf("decode an object: %w", err)
	}
	return out, nil
}
