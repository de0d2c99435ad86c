package language

import (
	"errors"
	"fmt"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
)

// binding is a let name.
type binding struct {
	name  string
	value *expression
}

// expression is a checked expression, ready to run.
type expression struct {
	text string
	// path is where the definition has it, such as spec.commands[3].let[0].value.
	path string
	out  *types.Type
	// plain runs without counting.
	plain cel.Program
	// counted runs under the cost limit. It is nil when no input can make the
	// expression cost more than bound, which spares the counting.
	counted cel.Program
	bound   uint64
}

// evalError is a failure of an expression while it runs.
type evalError struct {
	path string
	err  error
}

func (e *evalError) Error() string { return e.path + ": " + e.err.Error() }
func (e *evalError) Unwrap() error { return e.err }

// eval runs the expression in a scope.
func (x *expression) eval(s *scope) (ref.Val, error) {
	v, err := x.run(s)
	if err != nil {
		return nil, x.failed(err)
	}
	return v, nil
}

func (x *expression) run(s *scope) (ref.Val, error) {
	if !s.limited {
		v, _, err := x.plain.Eval(s)
		return v, err
	}
	if x.counted == nil {
		v, _, err := x.plain.Eval(s)
		if over := s.charge(x.bound); over != nil {
			return nil, over
		}
		return v, err
	}
	v, details, err := x.counted.Eval(s)
	var cost uint64
	if c := details.ActualCost(); c != nil {
		cost = *c
	}
	if cancelled := (interpreter.EvalCancelledError{}); errors.As(err, &cancelled) {
		cost = CostLimit + 1
	}
	if over := s.charge(cost); over != nil {
		return nil, over
	}
	return v, err
}

// failed names the expression in an error, unless the error comes from one
// that this one used.
func (x *expression) failed(err error) error {
	var inner *evalError
	if errors.As(err, &inner) {
		return inner
	}
	return &evalError{path: x.path, err: err}
}

// truth runs a condition.
func (x *expression) truth(s *scope) (bool, error) {
	v, err := x.eval(s)
	if err != nil {
		return false, err
	}
	b, ok := v.(types.Bool)
	if !ok {
		return false, x.failed(fmt.Errorf("is %s, needs bool", v.Type().TypeName()))
	}
	return bool(b), nil
}

// behaviorFailed is the refusal for an expression that failed.
func behaviorFailed(err error) *Refusal {
	r := refuse(BehaviorFailed, "%v", err)
	var over *limitError
	if errors.As(err, &over) {
		r.Limit = over.limit
	}
	return r
}
