package apply

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// upToDate tells whether an apply of desired by the manager would change nothing:
// the manager has exactly the fields that desired names, with these values. Both
// are objects as JSON has them.
func upToDate(manager string, managed []metav1.ManagedFieldsEntry, desired, live map[string]any) (bool, error) {
	for _, entry := range managed {
		if entry.Manager != manager || entry.Operation != metav1.ManagedFieldsOperationApply || entry.Subresource != "" || entry.FieldsV1 == nil {
			continue
		}
		if entry.APIVersion != desired["apiVersion"] {
			return false, nil
		}
		var owned map[string]any
		if err := json.Unmarshal(entry.FieldsV1.GetRawBytes(), &owned); err != nil {
			return false, fmt.Errorf("read managed fields: %w", err)
		}
		return sameFields(owned, content(desired), live), nil
	}
	return false, nil
}

// content leaves out what says which object it is, which nobody manages.
func content(object map[string]any) map[string]any {
	out := make(map[string]any, len(object))
	for name, value := range object {
		if name != "apiVersion" && name != "kind" {
			out[name] = value
		}
	}
	if metadata, ok := object["metadata"].(map[string]any); ok {
		rest := make(map[string]any, len(metadata))
		for name, value := range metadata {
			if name != "name" && name != "namespace" {
				rest[name] = value
			}
		}
		out["metadata"] = rest
	}
	return out
}

// sameFields compares a value along the tree of owned fields. In it, "f:name" is a
// field, "k:{…}" the item of a list that has these keys, "v:…" an item of a set,
// "." the value itself; what has nothing below it is owned as a whole.
func sameFields(owned map[string]any, desired, live any) bool {
	fields, items := 0, 0
	for step := range owned {
		switch {
		case strings.HasPrefix(step, "f:"):
			fields++
		case strings.HasPrefix(step, "k:"):
			items++
		case step != ".":
			// A set: none of the operator's objects has one. Applying is always right.
			return false
		}
	}
	switch {
	case items > 0:
		return sameItems(owned, desired, live)
	case fields > 0:
		return sameMaps(owned, desired, live)
	default:
		return holds(live, desired)
	}
}

// holds tells whether a value that is owned as a whole is there as desired. What
// the server adds to it are defaults: an edit of somebody else's would have made
// it theirs. A zero value may be left out.
func holds(live, desired any) bool {
	switch desired := desired.(type) {
	case map[string]any:
		there, isMap := live.(map[string]any)
		for name, value := range desired {
			if !isMap || !holds(there[name], value) {
				return false
			}
		}
		return isMap || live == nil
	case []any:
		there, isList := live.([]any)
		return isList && slices.EqualFunc(there, desired, holds)
	}
	return live == desired || live == nil && (desired == false || desired == 0.0 || desired == "")
}

func sameMaps(owned map[string]any, desired, live any) bool {
	wanted, isMap := desired.(map[string]any)
	there, isThere := live.(map[string]any)
	if !isMap || !isThere {
		return false
	}
	for step, below := range owned {
		name, is := strings.CutPrefix(step, "f:")
		if !is {
			continue
		}
		want, named := wanted[name]
		if !named {
			return false // it is owned, and not wanted any more
		}
		there, below := there[name], below.(map[string]any)
		if !sameFields(below, want, there) {
			return false
		}
	}
	for name := range wanted {
		// metadata has nothing of its own when only its name was given.
		if owned["f:"+name] == nil && !isEmptyMap(wanted[name]) {
			return false // it is wanted, and not owned
		}
	}
	return true
}

func sameItems(owned map[string]any, desired, live any) bool {
	wanted, isList := desired.([]any)
	there, isThere := live.([]any)
	if !isList || !isThere {
		return false
	}
	known := 0
	for step, below := range owned {
		text, is := strings.CutPrefix(step, "k:")
		if !is {
			continue
		}
		known++
		var keys map[string]any
		if err := json.Unmarshal([]byte(text), &keys); err != nil {
			return false
		}
		want, item := itemWith(keys, wanted), itemWith(keys, there)
		if want == nil || item == nil || !sameFields(below.(map[string]any), want, item) {
			return false
		}
	}
	return known == len(wanted)
}

// itemWith is the item of a list that has these keys, nil when none has.
func itemWith(keys map[string]any, list []any) any {
	for _, item := range list {
		fields, isMap := item.(map[string]any)
		if !isMap {
			continue
		}
		found := true
		for key, value := range keys {
			found = found && reflect.DeepEqual(fields[key], value)
		}
		if found {
			return fields
		}
	}
	return nil
}

func isEmptyMap(value any) bool {
	m, is := value.(map[string]any)
	return is && len(m) == 0
}
