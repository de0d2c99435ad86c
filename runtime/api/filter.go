package api

import (
	"encoding/base64"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/leftfold/leftfold/runtime/problem"
)

// maxFilterValues bounds the values of one in filter.
const maxFilterValues = 1000

// ops are all comparisons, as they stand in brackets.
var ops = []Op{Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual, In}

// scalars are the types that can be filtered and ordered by.
var scalars = []string{"string", "int", "double", "bool", "bytes", "timestamp", "duration"}

// isFilter tells that a parameter is written as a filter is: column[op].
func isFilter(name string) bool {
	return strings.Contains(name, "[") && strings.HasSuffix(name, "]")
}

// query reads a projection's query.
func (p parameters) query(t Table) (q Query, err error) {
	if q.Limit, err = p.limit(); err != nil {
		return q, err
	}
	if q.Wait, err = p.wait(); err != nil {
		return q, err
	}
	if q.Order, err = p.order(t); err != nil {
		return q, err
	}
	cursor, given := p["cursor"]
	if given && cursor == "" {
		return q, problem.On(problem.InvalidParameter, "cursor", "is empty; leave it out for the first page")
	}
	q.Cursor = cursor
	for name, text := range p {
		if !isFilter(name) {
			continue
		}
		f, err := filter(t, name, text)
		if err != nil {
			return q, err
		}
		q.Filters = append(q.Filters, f)
	}
	// A map has no order, and a cursor belongs to a query: make it one.
	slices.SortFunc(q.Filters, func(a, b Filter) int {
		return strings.Compare(a.Column.Name+"["+string(a.Op), b.Column.Name+"["+string(b.Op))
	})
	return q, nil
}

// order reads columns separated by commas, a - before one for descending.
func (p parameters) order(t Table) ([]Order, error) {
	text, given := p["order"]
	if !given {
		return nil, nil
	}
	var out []Order
	for part := range strings.SplitSeq(text, ",") {
		name, descending := strings.CutPrefix(part, "-")
		c, ok := t.column(name)
		switch {
		case !ok:
			return nil, problem.On(problem.InvalidParameter, "order", "there is no column %q", name)
		case !slices.Contains(scalars, c.Type):
			return nil, problem.On(problem.InvalidParameter, "order", "column %s is %s, which has no order", name, c.Type)
		case slices.ContainsFunc(out, func(o Order) bool { return o.Column.Name == name }):
			return nil, problem.On(problem.InvalidParameter, "order", "column %s is named twice", name)
		}
		out = append(out, Order{Column: c, Descending: descending})
	}
	return out, nil
}

// filter reads one column[op]=value.
func filter(t Table, parameter, text string) (Filter, error) {
	name, rest, _ := strings.Cut(parameter, "[")
	op := Op(strings.TrimSuffix(rest, "]"))
	column, ok := t.column(name)
	switch {
	case !ok:
		return Filter{}, problem.On(problem.InvalidParameter, parameter, "there is no column %q", name)
	case !slices.Contains(ops, op):
		return Filter{}, problem.On(problem.InvalidParameter, parameter, "there is no comparison %q; there are eq, ne, lt, lte, gt, gte and in", string(op))
	case !slices.Contains(scalars, column.Type):
		return Filter{}, problem.On(problem.InvalidParameter, parameter, "column %s is %s, which cannot be compared", name, column.Type)
	}
	texts := []string{text}
	if op == In {
		texts = splitValues(text)
	}
	if len(texts) > maxFilterValues {
		return Filter{}, problem.On(problem.InvalidParameter, parameter, "has more than %d values", maxFilterValues)
	}
	f := Filter{Column: column, Op: op}
	for _, text := range texts {
		value, ok := parseValue(column.Type, text)
		if !ok {
			return Filter{}, problem.On(problem.InvalidParameter, parameter, "%q is no %s", text, column.Type)
		}
		f.Values = append(f.Values, value)
	}
	return f, nil
}

// splitValues splits at commas. \, is a comma within a value, \\ a backslash.
func splitValues(text string) []string {
	var values []string
	var value strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text) && (text[i+1] == ',' || text[i+1] == '\\'):
			i++
			value.WriteByte(text[i])
		case text[i] == ',':
			values = append(values, value.String())
			value.Reset()
		default:
			value.WriteByte(text[i])
		}
	}
	return append(values, value.String())
}

// parseValue reads a value of a column as a URL has it: as in JSON, without the
// quotes.
func parseValue(columnType, text string) (any, bool) {
	switch columnType {
	case "string":
		return text, utf8.ValidString(text) && !strings.Contains(text, "\x00")
	case "int":
		n, err := strconv.ParseInt(text, 10, 64)
		return n, err == nil && whole.MatchString(text)
	case "double":
		d, err := strconv.ParseFloat(text, 64)
		return d, err == nil && number.MatchString(text)
	case "bool":
		return text == "true", text == "true" || text == "false"
	case "bytes":
		b, err := base64.StdEncoding.Strict().DecodeString(text)
		return b, err == nil && !strings.ContainsAny(text, "\r\n")
	case "timestamp":
		return parseTime(text)
	case "duration":
		d, err := time.ParseDuration(text)
		return d, err == nil && seconds.MatchString(text)
	}
	return nil, false
}

// The forms of numbers, durations and times as JSON has them. Go's parsers take
// more besides: a plus, leading zeros, other bases and units, hours of one digit.
var (
	whole   = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)
	number  = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)
	seconds = regexp.MustCompile(`^-?[0-9]+(\.[0-9]{1,9})?s$`)
	instant = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$`)
)

// parseTime reads a time as RFC 3339 has it, into UTC.
func parseTime(text string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339Nano, text)
	return t.UTC(), err == nil && instant.MatchString(text)
}
