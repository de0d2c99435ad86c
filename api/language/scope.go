package language

import (
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

var errCost = &limitError{OverCost, "the expressions cost more than one command may; work on less data at once"}

// scope holds the values of the names in scope while expressions run. It is an
// activation without maps: the checker made sure that only names which are in
// scope are asked for.
type scope struct {
	state, command, event, row *Record

	meta metaValue
	self ref.Val

	// The forEach item.
	as   string
	item ref.Val

	// The let names of a command, and the values of those used already.
	lets   []binding
	values []ref.Val

	limited bool
	spent   uint64
}

var scopes = sync.Pool{New: func() any { return new(scope) }}

// newScope gives an empty scope, limited or not. release gives it back.
func newScope(limited bool) *scope {
	s := scopes.Get().(*scope)
	s.limited = limited
	return s
}

func (s *scope) release() {
	values := s.values[:cap(s.values)]
	clear(values)
	*s = scope{values: values[:0]}
	scopes.Put(s)
}

// useLets puts a command's let names in scope, none evaluated yet.
func (s *scope) useLets(lets []binding) {
	s.lets = lets
	if cap(s.values) < len(lets) {
		s.values = make([]ref.Val, len(lets))
	}
	s.values = s.values[:len(lets)]
}

// ResolveName implements cel.Activation.
func (s *scope) ResolveName(name string) (any, bool) {
	switch name {
	case "state":
		return s.state, s.state != nil
	case "command":
		return s.command, s.command != nil
	case "event":
		return s.event, s.event != nil
	case "row":
		return s.row, s.row != nil
	case "meta":
		return &s.meta, true
	case "self":
		return s.self, s.self != nil
	}
	if name == s.as && s.item != nil {
		return s.item, true
	}
	for i := range s.lets {
		if s.lets[i].name == name {
			return s.let(i), true
		}
	}
	return nil, false
}

// let evaluates a let name at its first use, and only then. A failure is its
// value from then on.
func (s *scope) let(i int) ref.Val {
	if s.values[i] == nil {
		v, err := s.lets[i].value.eval(s)
		if err != nil {
			v = types.WrapErr(err)
		}
		s.values[i] = v
	}
	return s.values[i]
}

// Parent implements cel.Activation.
func (s *scope) Parent() cel.Activation { return nil }

// charge counts what an expression cost.
func (s *scope) charge(cost uint64) error {
	s.spent += cost
	if s.spent > CostLimit {
		return errCost
	}
	return nil
}
