package language

import (
	"reflect"
	"strings"
	"sync/atomic"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// List is an immutable list. Appending to the newest of the lists that grew
// from one another costs the same whatever their length: they share one array,
// and only one of them may claim the slot after its own end.
type List struct {
	vals []ref.Val
	// elem is the elements' declared type; nil for a list that only an
	// expression has seen.
	elem *Type
	// used counts the slots of the shared array that are taken; nil when the
	// array is not ours to extend.
	used *atomic.Int64
	// encoded caches the length in JSON, 0 when not known yet.
	encoded atomic.Int64
}

// Len is the number of elements.
func (l *List) Len() int { return len(l.vals) }

// At gives the i-th element.
func (l *List) At(i int) ref.Val { return l.vals[i] }

// append gives the list with one element more.
func (l *List) append(v ref.Val) ref.Val {
	if l.elem != nil {
		var err error
		if v, err = conform(l.elem, v); err != nil {
			return types.NewErr("append: %v", err)
		}
	}
	n := len(l.vals)
	if l.used != nil && n < cap(l.vals) && l.used.CompareAndSwap(int64(n), int64(n+1)) {
		vals := l.vals[:n+1]
		vals[n] = v
		return l.grown(vals, l.used, v)
	}
	vals := make([]ref.Val, n+1, 2*n+4)
	copy(vals, l.vals)
	vals[n] = v
	used := &atomic.Int64{}
	used.Store(int64(n + 1))
	return l.grown(vals, used, v)
}

// grown makes the list after append; its length in JSON follows from the old
// one, so that a long list is measured once and not once an append.
func (l *List) grown(vals []ref.Val, used *atomic.Int64, added ref.Val) *List {
	next := &List{vals: vals, elem: l.elem, used: used}
	if size := l.encoded.Load(); size > 0 {
		size += int64(encodedSize(added))
		if len(l.vals) > 0 {
			size++
		}
		next.encoded.Store(size)
	}
	return next
}

// Add implements the CEL operator +. Like CEL's own lists it only notes what to
// add; the elements are copied when the result goes into a field.
func (l *List) Add(other ref.Val) ref.Val {
	return types.NewRefValList(types.DefaultTypeAdapter, l.vals).(traits.Adder).Add(other)
}

// Contains implements the CEL operator in.
func (l *List) Contains(v ref.Val) ref.Val {
	if types.IsUnknownOrError(v) {
		return v
	}
	for _, e := range l.vals {
		if types.Equal(e, v) == types.True {
			return types.True
		}
	}
	return types.False
}

// Get implements the CEL index operator.
func (l *List) Get(index ref.Val) ref.Val {
	i, err := types.GetOrError(index)
	if err != nil {
		return types.WrapErr(err)
	}
	if i < 0 || i >= len(l.vals) {
		return types.NewErr("index out of bounds: %d", i)
	}
	return l.vals[i]
}

// GetInt64Index is the interpreter's short way to an element.
func (l *List) GetInt64Index(i int64) (any, bool) {
	if i < 0 || i >= int64(len(l.vals)) {
		return nil, false
	}
	return l.vals[i], true
}

// Fold implements comprehensions.
func (l *List) Fold(f traits.Folder) {
	for i, v := range l.vals {
		if !f.FoldEntry(types.Int(i), v) {
			return
		}
	}
}

// Iterator implements traits.Iterable.
func (l *List) Iterator() traits.Iterator { return &iterator{at: l.At, len: len(l.vals)} }

// Size implements the CEL function size.
func (l *List) Size() ref.Val { return types.Int(len(l.vals)) }

// IsZeroValue tells optional.ofNonZeroValue whether the list is empty.
func (l *List) IsZeroValue() bool { return len(l.vals) == 0 }

// Equal compares element by element.
func (l *List) Equal(other ref.Val) ref.Val {
	o, ok := other.(traits.Lister)
	if !ok || o.Size() != types.Int(len(l.vals)) {
		return types.False
	}
	for i, v := range l.vals {
		if types.Equal(v, o.Get(types.Int(i))) != types.True {
			return types.False
		}
	}
	return types.True
}

// ConvertToNative implements ref.Val. A list of strings can become a []string,
// which some functions of CEL's libraries ask for.
func (l *List) ConvertToNative(to reflect.Type) (any, error) {
	if to == reflect.TypeFor[[]string]() {
		out := make([]string, len(l.vals))
		for i, v := range l.vals {
			s, ok := v.(types.String)
			if !ok {
				return nil, types.MaybeNoSuchOverloadErr(v).(*types.Err)
			}
			out[i] = string(s)
		}
		return out, nil
	}
	return toNative(l, to)
}

// ConvertToType implements ref.Val.
func (l *List) ConvertToType(to ref.Type) ref.Val { return toType(l, types.ListType, to) }

// Type implements ref.Val.
func (l *List) Type() ref.Type { return types.ListType }

// Value implements ref.Val.
func (l *List) Value() any { return l.vals }

// String gives the list for messages.
func (l *List) String() string {
	var b strings.Builder
	b.Write(AppendJSON(nil, l))
	return b.String()
}

// listElements gives the elements of any CEL list; the caller must not change
// the slice.
func listElements(l traits.Lister) []ref.Val {
	if own, ok := l.(*List); ok {
		return own.vals
	}
	n, _ := l.Size().(types.Int)
	vals := make([]ref.Val, 0, int(n))
	for it := l.Iterator(); it.HasNext() == types.True; {
		vals = append(vals, it.Next())
	}
	return vals
}

// iterator walks a list or the keys of a map.
type iterator struct {
	at   func(int) ref.Val
	next int
	len  int
}

func (it *iterator) HasNext() ref.Val { return types.Bool(it.next < it.len) }

func (it *iterator) Next() ref.Val {
	if it.next == it.len {
		return types.NewErr("the iteration is at its end")
	}
	it.next++
	return it.at(it.next - 1)
}

func (it *iterator) ConvertToNative(to reflect.Type) (any, error) { return toNative(it, to) }
func (it *iterator) ConvertToType(ref.Type) ref.Val               { return types.MaybeNoSuchOverloadErr(it) }
func (it *iterator) Equal(ref.Val) ref.Val                        { return types.False }
func (it *iterator) Type() ref.Type                               { return types.IteratorType }
func (it *iterator) Value() any                                   { return it }
