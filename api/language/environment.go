package language

import (
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"
)

// MaxExpression is the most characters that an expression may have.
const MaxExpression = 4096

// maxDepthOfExpression is how deep an expression may nest, a chain of operators
// included. Checking takes more than linear time in it.
const maxDepthOfExpression = 128

// baseEnvironment has the functions of the language and no names in scope.
// Every library is pinned: a later version of one would change what stored
// events fold into.
var baseEnvironment = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewCustomEnv(
		cel.StdLib(cel.StdLibSubset(&env.LibrarySubset{ExcludeFunctions: zonedGetters()})),
		cel.OptionalTypes(cel.OptionalTypesVersion(4)),
		ext.Bindings(ext.BindingsVersion(1)),
		ext.Strings(ext.StringsVersion(5)),
		ext.Math(ext.MathVersion(3)),
		ext.Lists(ext.ListsVersion(5)),
		ext.Sets(ext.SetsVersion(1)),
		cel.DefaultUTCTimeZone(true),
		cel.ParserExpressionSizeLimit(MaxExpression),
		cel.ParserRecursionLimit(maxDepthOfExpression),
		cel.Lib(functions{}),
		costModel(),
		cel.EagerlyValidateDeclarations(true),
	)
})

// provider tells CEL about the records of one definition.
type provider struct {
	types.Provider // CEL's own types, without any protobuf message
	adapter        types.Adapter
	records        map[string]*RecordType
}

func newProvider(base *cel.Env) *provider {
	return &provider{
		Provider: base.CELTypeProvider(),
		adapter:  base.CELTypeAdapter(),
		records:  map[string]*RecordType{metaType.Name: metaType},
	}
}

// FindStructType implements types.Provider.
func (p *provider) FindStructType(name string) (*types.Type, bool) {
	if r, ok := p.records[name]; ok {
		return types.NewTypeTypeWithParam(r.cel), true
	}
	return nil, false
}

// FindIdent implements types.Provider. Names of protobuf messages are not part
// of the language: some of them are maps without an order.
func (p *provider) FindIdent(name string) (ref.Val, bool) {
	if r, ok := p.records[name]; ok {
		return r.cel, true
	}
	v, ok := p.Provider.FindIdent(name)
	if t, isType := v.(*types.Type); ok && isType && t.Kind() == types.StructKind {
		return nil, false
	}
	return v, ok
}

// FindStructFieldNames implements types.Provider.
func (p *provider) FindStructFieldNames(name string) ([]string, bool) {
	r, ok := p.records[name]
	if !ok {
		return nil, false
	}
	return r.fieldNames(), true
}

// FindStructFieldType implements types.Provider. The interpreter calls GetFrom
// and IsSet in place of a lookup by name.
func (p *provider) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	r, ok := p.records[name]
	if !ok {
		return nil, false
	}
	i, ok := r.find(field)
	if !ok {
		return nil, false
	}
	if r == metaType {
		return metaField(i), true
	}
	return &types.FieldType{
		Type: r.Fields[i].Type.cel,
		IsSet: func(target any) bool {
			rec, j, ok := fieldOf(target, r, i)
			return ok && rec.vals[j] != nil
		},
		GetFrom: func(target any) (any, error) {
			rec, j, ok := fieldOf(target, r, i)
			if !ok {
				return nil, errNoField(field)
			}
			return rec.at(j), nil
		},
	}, true
}

type errNoField string

func (e errNoField) Error() string { return "no such field: " + string(e) }

// fieldOf finds the field in the record at hand, which may be of the same
// named type of another definition, with the fields in another order.
func fieldOf(target any, declared *RecordType, i int) (*Record, int, bool) {
	rec, ok := target.(*Record)
	if !ok {
		return nil, 0, false
	}
	if rec.typ == declared {
		return rec, i, true
	}
	j, ok := rec.typ.find(declared.Fields[i].Name)
	return rec, j, ok
}

// NewValue implements types.Provider: Limit{single: 5}.
func (p *provider) NewValue(name string, fields map[string]ref.Val) ref.Val {
	r, ok := p.records[name]
	if !ok {
		return types.NewErr("unknown type: %s", name)
	}
	rec := r.zero.clone()
	for field, v := range fields {
		i, ok := r.find(field)
		if !ok {
			return types.NewErr("%s has no field %s", name, field)
		}
		if err := rec.set(i, v); err != nil {
			return types.NewErr("%s.%s: %v", name, field, err)
		}
	}
	return rec
}

// NativeToValue implements types.Adapter: it gives literals the form that the
// language's own values have.
func (p *provider) NativeToValue(value any) ref.Val {
	switch v := value.(type) {
	case ref.Val:
		return v
	case []ref.Val:
		return &List{vals: v}
	}
	return p.adapter.NativeToValue(value)
}

func (t *RecordType) fieldNames() []string {
	names := make([]string, len(t.Fields))
	for i := range t.Fields {
		names[i] = t.Fields[i].Name
	}
	return names
}
