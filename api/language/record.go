package language

import (
	"fmt"
	"reflect"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Record is an immutable value of a RecordType. Copies that differ in a few
// fields share the values of all others.
type Record struct {
	typ *RecordType
	// vals has one value a field, in the order of the type's fields; nil is an
	// optional field that is absent.
	vals []ref.Val
}

// RecordType is the type that the record is of.
func (r *Record) RecordType() *RecordType { return r.typ }

// Lookup gives a field's value and whether it is present. An absent field, and
// only an optional one can be, gives its type's zero.
func (r *Record) Lookup(name string) (v ref.Val, present bool) {
	i, ok := r.typ.find(name)
	if !ok {
		return nil, false
	}
	return r.at(i), r.vals[i] != nil
}

// At gives the value of the i-th field, nil when it is absent.
func (r *Record) At(i int) ref.Val { return r.vals[i] }

func (r *Record) at(i int) ref.Val {
	if v := r.vals[i]; v != nil {
		return v
	}
	return r.typ.Fields[i].Type.zero
}

// clone gives a copy whose values may be replaced until it is handed out.
func (r *Record) clone() *Record {
	vals := make([]ref.Val, len(r.vals))
	copy(vals, r.vals)
	return &Record{typ: r.typ, vals: vals}
}

// with gives the record with one field changed.
func (r *Record) with(field string, v ref.Val) ref.Val {
	i, ok := r.typ.find(field)
	if !ok {
		return types.NewErr("%s has no field %s", r.typ.Name, field)
	}
	next := r.clone()
	if err := next.set(i, v); err != nil {
		return types.NewErr("field %s: %v", field, err)
	}
	return next
}

// set puts an expression's result into a field of a record that is not handed
// out yet. An optional value sets or clears an optional field.
func (r *Record) set(i int, v ref.Val) error {
	f := &r.typ.Fields[i]
	if opt, ok := v.(*types.Optional); ok {
		if !f.Optional {
			return fmt.Errorf("an optional value for a field that is not optional")
		}
		if !opt.HasValue() {
			r.vals[i] = nil
			return nil
		}
		v = opt.GetValue()
	}
	v, err := conform(f.Type, v)
	if err != nil {
		return err
	}
	r.vals[i] = v
	return nil
}

// Get implements the CEL index trait for field names that are known only while
// an expression runs.
func (r *Record) Get(index ref.Val) ref.Val {
	name, ok := index.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(index)
	}
	i, ok := r.typ.find(string(name))
	if !ok {
		return types.NewErr("no such field: %s", string(name))
	}
	return r.at(i)
}

// IsSet implements the CEL presence trait.
func (r *Record) IsSet(field ref.Val) ref.Val {
	name, ok := field.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(field)
	}
	i, ok := r.typ.find(string(name))
	if !ok {
		return types.NewErr("no such field: %s", string(name))
	}
	return types.Bool(r.vals[i] != nil)
}

// Size is what comparing the record costs: CEL's counter asks for it. No
// expression can, for size() is not declared for records.
func (r *Record) Size() ref.Val { return types.Int(encodedSize(r)) }

// IsZeroValue tells optional.ofNonZeroValue whether nothing is set.
func (r *Record) IsZeroValue() bool { return r == r.typ.zero || r.Equal(r.typ.zero) == types.True }

// Equal compares field by field; absent differs from a zero that was set.
func (r *Record) Equal(other ref.Val) ref.Val {
	o, ok := other.(*Record)
	if !ok || len(r.vals) != len(o.vals) || r.typ.Name != o.typ.Name {
		return types.False
	}
	if r == o {
		return types.True
	}
	for i, v := range r.vals {
		w := o.vals[i]
		if o.typ != r.typ {
			j, ok := o.typ.find(r.typ.Fields[i].Name)
			if !ok {
				return types.False
			}
			w = o.vals[j]
		}
		if (v == nil) != (w == nil) {
			return types.False
		}
		if v != nil && types.Equal(v, w) != types.True {
			return types.False
		}
	}
	return types.True
}

// ConvertToNative implements ref.Val. Records leave the language as JSON only.
func (r *Record) ConvertToNative(to reflect.Type) (any, error) { return toNative(r, to) }

// ConvertToType implements ref.Val: a record becomes nothing else.
func (r *Record) ConvertToType(to ref.Type) ref.Val { return toType(r, r.typ.cel, to) }

// Type implements ref.Val.
func (r *Record) Type() ref.Type { return r.typ.cel }

// Value implements ref.Val.
func (r *Record) Value() any { return r }

// String gives the record as JSON, for messages.
func (r *Record) String() string { return string(AppendJSON(nil, r)) }

// toNative hands a value to Go code that asks for its own type.
func toNative(v ref.Val, to reflect.Type) (any, error) {
	if reflect.TypeOf(v).AssignableTo(to) {
		return v, nil
	}
	return nil, fmt.Errorf("%s cannot become a Go %v", v.Type().TypeName(), to)
}

// toType is the conversion of a value that becomes only itself or its type.
func toType(v ref.Val, own ref.Val, to ref.Type) ref.Val {
	switch to.TypeName() {
	case v.Type().TypeName():
		return v
	case types.TypeType.TypeName():
		return own
	}
	return types.NewErr("%s cannot become %s", v.Type().TypeName(), to.TypeName())
}
