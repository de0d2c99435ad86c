package language

import (
	"slices"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// Kind is the shape of a Type.
type Kind uint8

// The kinds of the language.
const (
	String Kind = iota + 1
	Int
	Double
	Bool
	Bytes
	Timestamp
	Duration
	RecordOf
	ListOf
	MapOf
)

// maxNesting is how many lists and maps a type may have inside each other, as
// the schema of the kinds has it.
const maxNesting = 4

// Type is the declared type of a field. Types of one definition are shared:
// two fields of the same type have the same pointer, so comparing pointers is
// enough to know that a value needs no conversion.
type Type struct {
	Kind Kind
	// Elem is the element's type of a list or map.
	Elem *Type
	// Record is the named record, for RecordOf.
	Record *RecordType

	name string
	cel  *types.Type
	zero ref.Val
}

// Name gives the type as a definition writes it, such as map<Limit>.
func (t *Type) Name() string { return t.name }

// Zero is the value that a field of this type has when nothing was set.
func (t *Type) Zero() ref.Val { return t.zero }

// scalars are the types that need no declaration.
var scalars = map[string]*Type{
	"string":    {Kind: String, name: "string", cel: types.StringType, zero: types.String("")},
	"int":       {Kind: Int, name: "int", cel: types.IntType, zero: types.IntZero},
	"double":    {Kind: Double, name: "double", cel: types.DoubleType, zero: types.Double(0)},
	"bool":      {Kind: Bool, name: "bool", cel: types.BoolType, zero: types.False},
	"bytes":     {Kind: Bytes, name: "bytes", cel: types.BytesType, zero: types.Bytes{}},
	"timestamp": {Kind: Timestamp, name: "timestamp", cel: types.TimestampType, zero: zeroTime},
	"duration":  {Kind: Duration, name: "duration", cel: types.DurationType, zero: types.Duration{}},
}

// brokenType stands for one that a definition does not declare, so that what
// uses the field does not complain as well.
var brokenType = &Type{Kind: String, name: "?", cel: types.DynType, zero: types.String("")}

// Field is one field of a RecordType.
type Field struct {
	Name string
	Type *Type
	// Optional fields can be absent; an absent one reads as the type's zero.
	Optional bool

	// quoted is `"name":`, for the encoder.
	quoted string
	// fallback is the value of a command's field that has a default.
	fallback ref.Val
	// check refuses a command whose value it is false for; nil checks nothing.
	check *expression
}

// Required tells whether a command must have the field.
func (f *Field) Required() bool { return !f.Optional && f.fallback == nil }

// RecordType is the type of a record: of a named type, or of a state, a
// command, an event or a row.
type RecordType struct {
	// Name is the declared name. Types that users cannot name have a name in
	// parentheses, which no expression can spell.
	Name   string
	Fields []Field

	index  map[string]int
	sorted []int // field indexes in the order of their names, bytewise
	cel    *types.Type
	zero   *Record
	// checks tells that this type or one inside it has a check.
	checks bool
}

// Zero is the record in which no field was set.
func (t *RecordType) Zero() *Record { return t.zero }

// Field finds a field by name.
func (t *RecordType) Field(name string) (*Field, bool) {
	if i, ok := t.find(name); ok {
		return &t.Fields[i], true
	}
	return nil, false
}

// smallRecord is up to how many fields a scan beats a map lookup.
const smallRecord = 8

func (t *RecordType) find(name string) (int, bool) {
	if len(t.Fields) <= smallRecord {
		for i := range t.Fields {
			if t.Fields[i].Name == name {
				return i, true
			}
		}
		return 0, false
	}
	i, ok := t.index[name]
	return i, ok
}

func newRecordType(name string) *RecordType {
	return &RecordType{
		Name: name,
		cel:  types.NewObjectType(name, traits.IndexerType|traits.FieldTesterType),
	}
}

// seal computes what is derived from the fields. The types that the fields
// have must be sealed before.
func (t *RecordType) seal() {
	t.index = make(map[string]int, len(t.Fields))
	t.sorted = make([]int, len(t.Fields))
	t.zero = &Record{typ: t, vals: make([]ref.Val, len(t.Fields))}
	for i := range t.Fields {
		f := &t.Fields[i]
		t.index[f.Name] = i
		t.sorted[i] = i
		f.quoted = string(appendString(nil, f.Name)) + ":"
		if !f.Optional {
			t.zero.vals[i] = f.Type.zero
		}
	}
	slices.SortFunc(t.sorted, func(a, b int) int { return strings.Compare(t.Fields[a].Name, t.Fields[b].Name) })
}

// typeSet resolves the type names of one definition.
type typeSet struct {
	records map[string]*RecordType
	made    map[string]*Type
}

func newTypeSet() *typeSet {
	return &typeSet{records: map[string]*RecordType{}, made: map[string]*Type{}}
}

// resolve gives the type that a definition writes as name. bad is the part that
// names no type, "" when the form is wrong.
func (s *typeSet) resolve(name string) (t *Type, bad string, ok bool) {
	if strings.Count(name, "<") > maxNesting {
		return nil, "", false
	}
	if t, ok := scalars[name]; ok {
		return t, "", true
	}
	if t, ok := s.made[name]; ok {
		return t, "", true
	}
	if r, ok := s.records[name]; ok {
		return s.keep(&Type{Kind: RecordOf, Record: r, name: name, cel: r.cel, zero: r.zero}), "", true
	}
	open := strings.IndexByte(name, '<')
	if open < 0 && !isPlainWord(name) {
		return nil, "", false
	}
	if open < 0 {
		return nil, name, false
	}
	if !strings.HasSuffix(name, ">") {
		return nil, "", false
	}
	elem, bad, ok := s.resolve(name[open+1 : len(name)-1])
	if !ok {
		return nil, bad, false
	}
	switch name[:open] {
	case "list":
		return s.keep(&Type{Kind: ListOf, Elem: elem, name: name, cel: types.NewListType(elem.cel), zero: &List{elem: elem}}), "", true
	case "map":
		return s.keep(&Type{Kind: MapOf, Elem: elem, name: name, cel: types.NewMapType(types.StringType, elem.cel), zero: &Map{elem: elem}}), "", true
	}
	return nil, name[:open], false
}

func (s *typeSet) keep(t *Type) *Type {
	s.made[t.name] = t
	return t
}

// innermost gives the name inside all lists and maps.
func innermost(name string) string {
	if open := strings.LastIndexByte(name, '<'); open >= 0 {
		name = name[open+1:]
	}
	return strings.TrimRight(name, ">")
}
