package language

import (
	"fmt"
	"reflect"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Meta is what expressions see as meta.
type Meta struct {
	Aggregate string
	Entity    string
	// Version is, for Decide, the entity's version before the command; for an
	// event, the event's.
	Version   int64
	Time      time.Time // UTC, whole microseconds
	CommandID string
	Principal string
}

// metaType declares meta. Its values are Metas and not Records, so that a
// command that never looks at them pays nothing for them.
var metaType = func() *RecordType {
	t := newRecordType("(meta)")
	for _, f := range []struct{ name, typ string }{
		{"aggregate", "string"}, {"entity", "string"}, {"version", "int"},
		{"time", "timestamp"}, {"commandId", "string"}, {"principal", "string"},
	} {
		t.Fields = append(t.Fields, Field{Name: f.name, Type: scalars[f.typ]})
	}
	t.seal()
	return t
}()

// metaValue is a Meta as a CEL value.
type metaValue struct{ Meta }

func (m *metaValue) field(i int) ref.Val {
	switch i {
	case 0:
		return types.String(m.Aggregate)
	case 1:
		return types.String(m.Entity)
	case 2:
		return types.Int(m.Version)
	case 3:
		return types.Timestamp{Time: m.Time}
	case 4:
		return types.String(m.CommandID)
	default:
		return types.String(m.Principal)
	}
}

func metaField(i int) *types.FieldType {
	return &types.FieldType{
		Type:  metaType.Fields[i].Type.cel,
		IsSet: func(any) bool { return true },
		GetFrom: func(target any) (any, error) {
			m, ok := target.(*metaValue)
			if !ok {
				return nil, fmt.Errorf("meta is %T", target)
			}
			return m.field(i), nil
		},
	}
}

// ConvertToNative implements ref.Val.
func (m *metaValue) ConvertToNative(to reflect.Type) (any, error) { return toNative(m, to) }

// ConvertToType implements ref.Val.
func (m *metaValue) ConvertToType(to ref.Type) ref.Val { return toType(m, metaType.cel, to) }

// Equal implements ref.Val.
func (m *metaValue) Equal(other ref.Val) ref.Val {
	o, ok := other.(*metaValue)
	return types.Bool(ok && m.Meta == o.Meta)
}

// Type implements ref.Val.
func (m *metaValue) Type() ref.Type { return metaType.cel }

// Value implements ref.Val.
func (m *metaValue) Value() any { return m }
