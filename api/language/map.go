package language

import (
	"reflect"
	"slices"
	"sort"
	"sync/atomic"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// chunkMax bounds what a changed entry copies. Two of them in a row are well
// under a memory page, and a state of 1 MiB has a few hundred chunks at most.
const chunkMax = 64

// Map is an immutable map with string keys, kept in bytewise key order. Its
// entries are cut into chunks, so that maps that differ in one entry share all
// chunks but one.
type Map struct {
	chunks []*chunk
	size   int
	// elem is the values' declared type; nil for a map that only an expression
	// has seen.
	elem *Type
}

// chunk is a run of entries, at least one, at most chunkMax.
type chunk struct {
	keys []string
	vals []ref.Val
	// encoded caches the length in JSON without the commas around the chunk.
	encoded atomic.Int64
}

// newMap makes a map of entries whose keys are sorted and unique. It keeps the
// slices.
func newMap(elem *Type, keys []string, vals []ref.Val) *Map {
	m := &Map{size: len(keys), elem: elem}
	if len(keys) <= chunkMax {
		if len(keys) > 0 {
			m.chunks = []*chunk{{keys: keys, vals: vals}}
		}
		return m
	}
	const fill = chunkMax * 3 / 4 // room to grow without a split at once
	for len(keys) > 0 {
		n := min(fill, len(keys))
		m.chunks = append(m.chunks, &chunk{keys: keys[:n:n], vals: vals[:n:n]})
		keys, vals = keys[n:], vals[n:]
	}
	return m
}

// Len is the number of entries.
func (m *Map) Len() int { return m.size }

// All gives the entries in key order.
func (m *Map) All(yield func(string, ref.Val) bool) {
	for _, c := range m.chunks {
		for i, k := range c.keys {
			if !yield(k, c.vals[i]) {
				return
			}
		}
	}
}

// chunkFor gives the index of the chunk that has the key or would take it; -1
// when the map is empty.
func (m *Map) chunkFor(key string) int {
	if len(m.chunks) <= 1 {
		return len(m.chunks) - 1
	}
	i := sort.Search(len(m.chunks), func(i int) bool { return m.chunks[i].keys[0] > key })
	return max(i-1, 0)
}

// Lookup gives the value of a key.
func (m *Map) Lookup(key string) (ref.Val, bool) {
	if m.size == 0 {
		return nil, false
	}
	c := m.chunks[m.chunkFor(key)]
	if i, ok := slices.BinarySearch(c.keys, key); ok {
		return c.vals[i], true
	}
	return nil, false
}

// with gives the map with one entry set.
func (m *Map) with(key string, v ref.Val) ref.Val {
	if m.elem != nil {
		var err error
		if v, err = conform(m.elem, v); err != nil {
			return types.NewErr("with: %v", err)
		}
		if err := checkText(key); err != nil {
			return types.NewErr("with: %v", err)
		}
	}
	at := m.chunkFor(key)
	if at < 0 {
		return newMap(m.elem, []string{key}, []ref.Val{v})
	}
	c := m.chunks[at]
	i, found := slices.BinarySearch(c.keys, key)
	if found {
		vals := slices.Clone(c.vals)
		vals[i] = v
		return &Map{chunks: replaced(m.chunks, at, &chunk{keys: c.keys, vals: vals}), size: m.size, elem: m.elem}
	}
	keys, vals := inserted(c.keys, i, key), inserted(c.vals, i, v)
	next := &Map{size: m.size + 1, elem: m.elem}
	if len(keys) <= chunkMax {
		next.chunks = replaced(m.chunks, at, &chunk{keys: keys, vals: vals})
		return next
	}
	h := len(keys) / 2
	next.chunks = replaced(m.chunks, at,
		&chunk{keys: keys[:h:h], vals: vals[:h:h]}, &chunk{keys: keys[h:], vals: vals[h:]})
	return next
}

// without gives the map with one entry less; the same map when it has none.
func (m *Map) without(key string) ref.Val {
	if _, ok := m.Lookup(key); !ok {
		return m
	}
	at := m.chunkFor(key)
	c := m.chunks[at]
	i, _ := slices.BinarySearch(c.keys, key)
	next := &Map{size: m.size - 1, elem: m.elem}
	if len(c.keys) == 1 {
		next.chunks = replaced(m.chunks, at)
		return next
	}
	next.chunks = replaced(m.chunks, at, &chunk{
		keys: slices.Concat(c.keys[:i], c.keys[i+1:]), vals: slices.Concat(c.vals[:i], c.vals[i+1:]),
	})
	return next
}

// replaced copies chunks with the one at i exchanged for others.
func replaced(chunks []*chunk, i int, by ...*chunk) []*chunk {
	out := make([]*chunk, 0, len(chunks)-1+len(by))
	out = append(out, chunks[:i]...)
	out = append(out, by...)
	return append(out, chunks[i+1:]...)
}

func inserted[T any](s []T, i int, v T) []T {
	out := make([]T, len(s)+1)
	copy(out, s[:i])
	out[i] = v
	copy(out[i+1:], s[i:])
	return out
}

// FindStringKey is the interpreter's short way to an entry.
func (m *Map) FindStringKey(key string) (any, bool) {
	v, ok := m.Lookup(key)
	if !ok {
		return nil, false
	}
	return v, true
}

// Find implements traits.Mapper.
func (m *Map) Find(key ref.Val) (ref.Val, bool) {
	if k, ok := key.(types.String); ok {
		return m.Lookup(string(k))
	}
	if types.IsUnknownOrError(key) {
		return key, false
	}
	return nil, false
}

// Get implements the CEL index operator.
func (m *Map) Get(key ref.Val) ref.Val {
	v, ok := m.Find(key)
	if ok {
		return v
	}
	if v != nil {
		return v
	}
	return types.NewErr("no such key: %v", key.Value())
}

// Contains implements the CEL operator in.
func (m *Map) Contains(key ref.Val) ref.Val {
	v, ok := m.Find(key)
	if v != nil && types.IsUnknownOrError(v) {
		return v
	}
	return types.Bool(ok)
}

// Fold implements comprehensions, in key order.
func (m *Map) Fold(f traits.Folder) {
	for k, v := range m.All {
		if !f.FoldEntry(types.String(k), v) {
			return
		}
	}
}

// Iterator walks the keys in order.
func (m *Map) Iterator() traits.Iterator {
	chunkAt, passed := 0, 0
	return &iterator{len: m.size, at: func(i int) ref.Val {
		if i-passed == len(m.chunks[chunkAt].keys) {
			passed = i
			chunkAt++
		}
		return types.String(m.chunks[chunkAt].keys[i-passed])
	}}
}

// Size implements the CEL function size.
func (m *Map) Size() ref.Val { return types.Int(m.size) }

// IsZeroValue tells optional.ofNonZeroValue whether the map is empty.
func (m *Map) IsZeroValue() bool { return m.size == 0 }

// Equal compares entry by entry.
func (m *Map) Equal(other ref.Val) ref.Val {
	o, ok := other.(traits.Mapper)
	if !ok || o.Size() != types.Int(m.size) {
		return types.False
	}
	for k, v := range m.All {
		w, found := o.Find(types.String(k))
		if !found || types.Equal(v, w) != types.True {
			return types.False
		}
	}
	return types.True
}

// ConvertToNative implements ref.Val. Maps leave the language as JSON only.
func (m *Map) ConvertToNative(to reflect.Type) (any, error) { return toNative(m, to) }

// ConvertToType implements ref.Val.
func (m *Map) ConvertToType(to ref.Type) ref.Val { return toType(m, types.MapType, to) }

// Type implements ref.Val.
func (m *Map) Type() ref.Type { return types.MapType }

// Value implements ref.Val.
func (m *Map) Value() any { return m }

// String gives the map as JSON, for messages.
func (m *Map) String() string { return string(AppendJSON(nil, m)) }
