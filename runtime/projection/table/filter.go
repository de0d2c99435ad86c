package table

import (
	"strings"

	"github.com/leftfold/leftfold/runtime/problem"
)

// operators are the comparisons of one value.
var operators = map[Op]string{
	Equal: "=", NotEqual: "<>", Less: "<", LessOrEqual: "<=", Greater: ">", GreaterOrEqual: ">=",
}

// filter adds the conditions of a query.
func (b *builder) filter(filters []Filter) error {
	for _, f := range filters {
		parameter := f.Column + "[" + string(f.Op) + "]"
		c, ok := b.s.layout.column(f.Column)
		if !ok {
			return problem.On(problem.InvalidParameter, parameter, "projection %s has no column %s", b.s.name, f.Column)
		}
		if c.Kind == JSON {
			return problem.On(problem.InvalidParameter, parameter, "column %s is a list, map or record, which cannot be compared", f.Column)
		}
		operator, single := operators[f.Op]
		if !single && f.Op != In {
			return problem.On(problem.InvalidParameter, parameter, "there is no comparison %s: use eq, ne, lt, lte, gt, gte or in", f.Op)
		}
		if len(f.Values) == 0 || single && len(f.Values) > 1 {
			return problem.On(problem.InvalidParameter, parameter, "has %d values, needs one, or with in one or more", len(f.Values))
		}
		marks := make([]string, len(f.Values))
		for i, v := range f.Values {
			if err := checkValue(c, v); err != nil {
				return err
			}
			marks[i] = b.argument(v)
		}
		if len(b.args) > maxConditions {
			return problem.On(problem.InvalidParameter, parameter, "the query compares with more than %d values", maxConditions)
		}
		if single {
			b.conditions = append(b.conditions, quote(c.Name)+" "+operator+" "+marks[0])
		} else {
			b.conditions = append(b.conditions, quote(c.Name)+" IN ("+strings.Join(marks, ", ")+")")
		}
	}
	return nil
}

// sorting is a column of the order, with its place in a row's values.
type sorting struct {
	Column
	descending bool
	place      int
}

// order checks an order and ends it with the key.
func (s *snapshot) order(wanted []Order) ([]sorting, error) {
	var out []sorting
	seen := map[string]bool{}
	all := s.layout.all()
	for _, o := range append(wanted[:len(wanted):len(wanted)], Order{Column: s.layout.Key.Name}) {
		if seen[o.Column] {
			if len(out) <= len(wanted) && o.Column == s.layout.Key.Name {
				continue // the key was ordered by already
			}
			return nil, problem.On(problem.InvalidParameter, "order", "names %s twice", o.Column)
		}
		seen[o.Column] = true
		place := -1
		for i, c := range all {
			if c.Name == o.Column {
				place = i
			}
		}
		if place < 0 {
			return nil, problem.On(problem.InvalidParameter, "order", "projection %s has no column %s", s.name, o.Column)
		}
		if all[place].Kind == JSON {
			return nil, problem.On(problem.InvalidParameter, "order", "column %s is a list, map or record, which has no order", o.Column)
		}
		out = append(out, sorting{Column: all[place], descending: o.Descending, place: place})
		if o.Column == s.layout.Key.Name {
			break // nothing ties behind the key
		}
	}
	return out, nil
}

// orderBy writes the order. NULLs are named only where there can be some, so
// that indexes of other columns are used as they are.
func (b *builder) orderBy(order []sorting) {
	for i, o := range order {
		if i == 0 {
			b.text.WriteString(" ORDER BY ")
		} else {
			b.text.WriteString(", ")
		}
		b.text.WriteString(quote(o.Name))
		if o.descending {
			b.text.WriteString(" DESC")
		}
		if o.Optional {
			if o.descending {
				b.text.WriteString(" NULLS LAST")
			} else {
				b.text.WriteString(" NULLS FIRST")
			}
		}
	}
}

// behind gives the condition that a row comes after the one with the values.
func (b *builder) behind(order []sorting, values []any) string {
	if condition, ok := b.behindAtOnce(order, values); ok {
		return condition
	}
	var choices []string
	var same []string
	for i, o := range order {
		if after := b.after(o, values[i]); after != "" {
			choices = append(choices, strings.Join(append(same[:len(same):len(same)], after), " AND "))
		}
		if i == len(order)-1 {
			break // the key: nothing ties behind it
		}
		if values[i] == nil {
			same = append(same, quote(o.Name)+" IS NULL")
		} else {
			same = append(same, quote(o.Name)+" = "+b.argument(values[i]))
		}
	}
	return "((" + strings.Join(choices, ") OR (") + "))"
}

// behindAtOnce compares all columns as one, which an index can answer, when
// they have one direction and no NULLs.
func (b *builder) behindAtOnce(order []sorting, values []any) (string, bool) {
	for _, o := range order {
		if o.Optional || o.descending != order[0].descending {
			return "", false
		}
	}
	names, marks := make([]string, len(order)), make([]string, len(order))
	for i, o := range order {
		names[i], marks[i] = quote(o.Name), b.argument(values[i])
	}
	operator := " > "
	if order[0].descending {
		operator = " < "
	}
	return "(" + strings.Join(names, ", ") + ")" + operator + "(" + strings.Join(marks, ", ") + ")", true
}

// after gives the condition that one column's value comes after another, "" when
// none does. NULL is below everything.
func (b *builder) after(o sorting, value any) string {
	switch {
	case value == nil && o.descending:
		return ""
	case value == nil:
		return quote(o.Name) + " IS NOT NULL"
	case o.descending && o.Optional:
		return "(" + quote(o.Name) + " < " + b.argument(value) + " OR " + quote(o.Name) + " IS NULL)"
	case o.descending:
		return quote(o.Name) + " < " + b.argument(value)
	}
	return quote(o.Name) + " > " + b.argument(value)
}
