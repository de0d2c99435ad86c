package language

import (
	"cmp"
	"slices"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"
)

// orderLiterals gives the maps that expressions write, such as {'a': 1}, the
// order that maps have everywhere: CEL's own are walked in no order at all.
func orderLiterals(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	literal, ok := i.(interpreter.InterpretableConstructor)
	if !ok || literal.Type() != types.MapType {
		return i, nil
	}
	ordered := &orderedLiteral{literal}
	for _, v := range literal.InitVals() {
		if _, constant := v.(interpreter.InterpretableConst); !constant {
			return ordered, nil
		}
	}
	if v := ordered.Eval(interpreter.EmptyActivation()); !types.IsError(v) {
		return interpreter.NewConstValue(literal.ID(), v), nil
	}
	return ordered, nil
}

// orderedLiteral makes a map in key order of what a literal makes.
type orderedLiteral struct {
	interpreter.InterpretableConstructor
}

// Exec implements interpreter.InterpretableV2.
func (o *orderedLiteral) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	return inKeyOrder(o.InterpretableConstructor.Exec(frame))
}

// Eval implements interpreter.Interpretable.
func (o *orderedLiteral) Eval(vars interpreter.Activation) ref.Val {
	return inKeyOrder(o.InterpretableConstructor.Eval(vars))
}

func inKeyOrder(v ref.Val) ref.Val {
	m, ok := v.(traits.Mapper)
	if !ok {
		return v // an error
	}
	size, _ := m.Size().(types.Int)
	keys := make([]ref.Val, 0, int(size))
	text := true
	for it := m.Iterator(); it.HasNext() == types.True; {
		k := it.Next()
		_, isText := k.(types.String)
		text = text && isText
		keys = append(keys, k)
	}
	slices.SortFunc(keys, compareKeys)
	if !text {
		return &literalMap{Mapper: m, keys: keys}
	}
	names, vals := make([]string, len(keys)), make([]ref.Val, len(keys))
	for i, k := range keys {
		names[i], vals[i] = string(k.(types.String)), m.Get(k)
	}
	return newMap(nil, names, vals)
}

// compareKeys orders the keys of a literal: by type, then by value.
func compareKeys(a, b ref.Val) int {
	if c := cmp.Compare(a.Type().TypeName(), b.Type().TypeName()); c != 0 {
		return c
	}
	if a, ok := a.(traits.Comparer); ok {
		if c, ok := a.Compare(b).(types.Int); ok {
			return int(c)
		}
	}
	return 0
}

// literalMap is a map literal whose keys are not all strings. It is good for
// looking things up in an expression; no field can hold it.
type literalMap struct {
	traits.Mapper
	keys []ref.Val
}

// Iterator walks the keys in order.
func (m *literalMap) Iterator() traits.Iterator {
	return &iterator{len: len(m.keys), at: func(i int) ref.Val { return m.keys[i] }}
}

// Fold implements comprehensions.
func (m *literalMap) Fold(f traits.Folder) {
	for _, k := range m.keys {
		if !f.FoldEntry(k, m.Get(k)) {
			return
		}
	}
}
