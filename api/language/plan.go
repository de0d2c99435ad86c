package language

import (
	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
)

// cheap is how much an expression may cost at worst and still run without
// counting. A command has at most a few thousand expressions to run, so this
// leaves room under CostLimit.
const cheap = 1000

// maxInput is the size of the largest string, list or map that an expression
// can meet: bodies and states have at most 1 MiB.
const maxInput = MaxStateSize

// newExpression plans a checked expression.
func newExpression(env *cel.Env, path string, checked *cel.Ast) (*expression, error) {
	x := &expression{path: path, text: checked.Source().Content(), out: checked.OutputType()}
	var err error
	if x.plain, err = env.Program(checked, cel.EvalOptions(cel.OptOptimize)); err != nil {
		return nil, err
	}
	if estimate, err := env.EstimateCost(checked, worstCase{}); err == nil && estimate.Max <= cheap {
		x.bound = estimate.Max
		return x, nil
	}
	x.counted, err = env.Program(checked, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(CostLimit))
	return x, err
}

// worstCase estimates costs for the largest input there can be.
type worstCase struct{}

// EstimateSize implements cost.Estimator. What an expression itself builds is
// left to CEL's own arithmetic.
func (worstCase) EstimateSize(e cost.AstNode) *cost.SizeEstimate {
	if len(e.Path()) == 0 || e.ComputedSize() != nil {
		return nil
	}
	return &cost.SizeEstimate{Min: 0, Max: maxInput}
}

// EstimateCallCost implements cost.Estimator: what CEL's model says.
func (worstCase) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}
