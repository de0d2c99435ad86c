package language

import "cel.dev/cel-go/cel"

// newExpression plans a checked expression.
func newExpression(env *cel.Env, path string, checked *cel.Ast) (*expression, error) {
	x := &expression{path: path, text: checked.Source().Content(), out: checked.OutputType()}
	var err error
	if x.plain, err = env.Program(checked, cel.EvalOptions(cel.OptOptimize), cel.CustomDecoratorV2(orderLiterals)); err != nil {
		return nil, err
	}
	if estimate, err := env.EstimateCost(checked, worstCase{}); err == nil && estimate.Max <= cheap {
		x.bound = estimate.Max
		return x, nil
	}
	x.counted, err = env.Program(checked, cel.EvalOptions(cel.OptOptimize), cel.CustomDecoratorV2(orderLiterals), cel.CostLimit(CostLimit))
	return x, err
}
