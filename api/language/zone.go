package language

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// zonedGetter is a function such as t.getHours('Europe/Berlin'). CEL's own read
// the machine's time zone files, which differ between machines and change under
// a running system; these read the data in the binary.
type zonedGetter struct {
	name, overload string
	get            func(time.Time) int
}

var getters = []zonedGetter{
	{"getFullYear", "timestamp_to_year_with_tz", time.Time.Year},
	{"getMonth", "timestamp_to_month_with_tz", func(t time.Time) int { return int(t.Month()) - 1 }},
	{"getDayOfYear", "timestamp_to_day_of_year_with_tz", func(t time.Time) int { return t.YearDay() - 1 }},
	{"getDayOfMonth", "timestamp_to_day_of_month_with_tz", func(t time.Time) int { return t.Day() - 1 }},
	{"getDate", "timestamp_to_day_of_month_1_based_with_tz", time.Time.Day},
	{"getDayOfWeek", "timestamp_to_day_of_week_with_tz", func(t time.Time) int { return int(t.Weekday()) }},
	{"getHours", "timestamp_to_hours_with_tz", time.Time.Hour},
	{"getMinutes", "timestamp_to_minutes_with_tz", time.Time.Minute},
	{"getSeconds", "timestamp_to_seconds_tz", time.Time.Second},
	{"getMilliseconds", "timestamp_to_milliseconds_with_tz", func(t time.Time) int { return t.Nanosecond() / 1e6 }},
}

// zonedGetters names the overloads that CEL's library leaves to this one.
func zonedGetters() []*env.Function {
	out := make([]*env.Function, len(getters))
	for i, g := range getters {
		out[i] = &env.Function{Name: g.name, Overloads: []*env.Overload{{ID: g.overload}}}
	}
	return out
}

func zoneFunctions() []cel.EnvOption {
	out := make([]cel.EnvOption, len(getters))
	for i, g := range getters {
		out[i] = cel.Function(g.name, cel.MemberOverload(g.overload,
			[]*cel.Type{cel.TimestampType, cel.StringType}, cel.IntType,
			cel.BinaryBinding(func(at, zone ref.Val) ref.Val {
				t, isTime := at.(types.Timestamp)
				name, isText := zone.(types.String)
				if !isTime || !isText {
					return types.NoSuchOverloadErr()
				}
				loc, err := location(string(name))
				if err != nil {
					return types.WrapErr(err)
				}
				return types.Int(g.get(t.In(loc)))
			})))
	}
	return out
}

// location finds a zone by name, such as Europe/Berlin, or by its offset from
// UTC, such as +02:00.
func location(name string) (*time.Location, error) {
	hours, minutes, isOffset := strings.Cut(name, ":")
	if !isOffset {
		return namedZone(name)
	}
	h, err := strconv.Atoi(hours)
	if err != nil || h < -23 || h > 23 {
		return nil, fmt.Errorf("time zone offset %q is not between -23:59 and +23:59", name)
	}
	m, err := strconv.Atoi(minutes)
	if err != nil || m < 0 || m > 59 {
		return nil, fmt.Errorf("time zone offset %q is not between -23:59 and +23:59", name)
	}
	if strings.HasPrefix(hours, "-") {
		m = -m
	}
	return time.FixedZone("", h*3600+m*60), nil
}
