package language

import (
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// functions is the library of the language's own functions. Those that were
// released keep their meaning for ever.
type functions struct{}

// LibraryName implements cel.SingletonLibrary.
func (functions) LibraryName() string { return "leftfold" }

// CompileOptions implements cel.Library.
func (functions) CompileOptions() []cel.EnvOption {
	v := cel.TypeParamType("V")
	mapOf, listOf := cel.MapType(cel.StringType, v), cel.ListType(v)
	opts := []cel.EnvOption{
		cel.Function("with", cel.MemberOverload(overloadMapWith,
			[]*cel.Type{mapOf, cel.StringType, v}, mapOf, cel.FunctionBinding(mapWith))),
		cel.Function("without", cel.MemberOverload(overloadMapWithout,
			[]*cel.Type{mapOf, cel.StringType}, mapOf, cel.BinaryBinding(mapWithout))),
		cel.Function("append", cel.MemberOverload(overloadListAppend,
			[]*cel.Type{listOf, v}, listOf, cel.BinaryBinding(listAppend))),
		cel.Function("sum",
			cel.MemberOverload(overloadSumInt, []*cel.Type{cel.ListType(cel.IntType)}, cel.IntType,
				cel.UnaryBinding(listSum(types.IntZero))),
			cel.MemberOverload(overloadSumDouble, []*cel.Type{cel.ListType(cel.DoubleType)}, cel.DoubleType,
				cel.UnaryBinding(listSum(types.Double(0)))),
			cel.MemberOverload(overloadSumDuration, []*cel.Type{cel.ListType(cel.DurationType)}, cel.DurationType,
				cel.UnaryBinding(listSum(types.Duration{})))),
		cel.Function("days", cel.Overload("days_int", []*cel.Type{cel.IntType}, cel.DurationType,
			cel.UnaryBinding(days))),
		cel.Function("addMonths", cel.MemberOverload("timestamp_add_months",
			[]*cel.Type{cel.TimestampType, cel.IntType}, cel.TimestampType, cel.BinaryBinding(addMonths))),
	}
	return append(opts, zoneFunctions()...)
}

// ProgramOptions implements cel.Library.
func (functions) ProgramOptions() []cel.ProgramOption { return nil }

// recordWith is with for one named type. That the field is a literal and the
// value of its type is checked beside, for CEL's own types cannot say it.
func recordWith(r *RecordType) cel.EnvOption {
	return cel.Function("with", cel.MemberOverload(recordWithOverload+r.Name,
		[]*cel.Type{r.cel, cel.StringType, cel.DynType}, r.cel,
		cel.FunctionBinding(func(args ...ref.Val) ref.Val {
			rec, isRecord := args[0].(*Record)
			field, isText := args[1].(types.String)
			if !isRecord || !isText {
				return types.NoSuchOverloadErr()
			}
			return rec.with(string(field), args[2])
		})))
}

// The names of the overloads, which cost.go prices.
const (
	overloadMapWith     = "map_with_string"
	overloadMapWithout  = "map_without_string"
	overloadListAppend  = "list_append"
	overloadSumInt      = "list_int_sum"
	overloadSumDouble   = "list_double_sum"
	overloadSumDuration = "list_duration_sum"
	// recordWithOverload is followed by the type's name.
	recordWithOverload = "record_with_"
)

func mapWith(args ...ref.Val) ref.Val {
	m, isMap := args[0].(*Map)
	key, isText := args[1].(types.String)
	if !isMap || !isText {
		return types.NoSuchOverloadErr()
	}
	return m.with(string(key), args[2])
}

func mapWithout(m, key ref.Val) ref.Val {
	from, isMap := m.(*Map)
	k, isText := key.(types.String)
	if !isMap || !isText {
		return types.NoSuchOverloadErr()
	}
	return from.without(string(k))
}

func listAppend(l, v ref.Val) ref.Val {
	if own, ok := l.(*List); ok {
		return own.append(v)
	}
	other, ok := l.(traits.Lister)
	if !ok {
		return types.NoSuchOverloadErr()
	}
	return (&List{vals: listElements(other)}).append(v)
}

func listSum(zero ref.Val) func(ref.Val) ref.Val {
	return func(l ref.Val) ref.Val {
		list, ok := l.(traits.Lister)
		if !ok {
			return types.NoSuchOverloadErr()
		}
		total := zero
		for i, v := range listElements(list) {
			if i == 0 {
				total = v
				continue
			}
			adder, ok := total.(traits.Adder)
			if !ok {
				return types.NoSuchOverloadErr()
			}
			if total = adder.Add(v); types.IsError(total) {
				return total
			}
		}
		return total
	}
}

// maxDays is how many days a duration can hold.
const maxDays = int64(1<<63-1) / int64(24*time.Hour)

func days(n ref.Val) ref.Val {
	d, ok := n.(types.Int)
	if !ok {
		return types.NoSuchOverloadErr()
	}
	if int64(d) > maxDays || int64(d) < -maxDays {
		return types.NewErr("days: %d days are too many for a duration", int64(d))
	}
	return types.Duration{Duration: time.Duration(d) * 24 * time.Hour}
}

// maxMonths spans all years that a timestamp can have.
const maxMonths = 12 * 9999

// addMonths keeps the day of the month and the time of day in UTC; where the
// month is too short, it takes the month's last day.
func addMonths(at, n ref.Val) ref.Val {
	t, isTime := at.(types.Timestamp)
	months, isInt := n.(types.Int)
	if !isTime || !isInt {
		return types.NoSuchOverloadErr()
	}
	if months > maxMonths || months < -maxMonths {
		return types.NewErr("addMonths: %d months leave the years 1 to 9999", int64(months))
	}
	u := t.Time.UTC()
	first := time.Date(u.Year(), u.Month()+time.Month(months), 1, u.Hour(), u.Minute(), u.Second(), u.Nanosecond(), time.UTC)
	if first.Year() < 1 || first.Year() > 9999 {
		return types.NewErr("addMonths: %d months leave the years 1 to 9999", int64(months))
	}
	last := first.AddDate(0, 1, -1).Day()
	return types.Timestamp{Time: first.AddDate(0, 0, min(u.Day(), last)-1)}
}
