package language

import (
	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
)

// CostLimit is what one Parse, one Decide, one Try or one call of a projection
// may cost, in CEL's units. A unit is about one step of an expression, 20 to 50
// nanoseconds; so a command cannot hold its shard for longer than a fraction of
// a second.
const CostLimit = 5_000_000

// cheap is how much an expression may cost at worst and still run without
// counting. It is then charged its worst, so this is little enough for a
// thousand events to have a dozen such expressions each.
const cheap = 200

// The largest inputs that an expression can meet: bodies and states have at
// most 1 MiB of JSON, in which an element of a list takes two bytes and an
// entry of a map five.
const (
	maxInput     = MaxStateSize
	maxInputList = maxInput / 2
	maxInputMap  = maxInput / 5
)

// maxConcatenation is the longest list that + may make: twice what any field
// can hold. Adding lists is free, for CEL only notes that it has to be done, so
// a few steps of doubling would make lists that nothing can walk through.
const maxConcatenation = 2 * maxInputList

// costModel prices the language's own functions, and those of CEL whose work
// grows with their input although CEL takes them for one step.
func costModel() cel.EnvOption {
	perByte := func(q cost.QuantityExpr, factor float64) cost.OverloadModelOption {
		return cost.EvalCost(cost.Sum(cost.Const(1), cost.Scale(q, factor)))
	}
	// Counting characters and copying chunks of a map go through a thousand and
	// more bytes in the time of one step.
	const swift = 0.0005
	both := cost.Sum(cost.Arg(0), cost.Arg(1))
	return cel.CostModel(
		cost.Overload(overloads.AddList,
			cost.EvalCost(cost.Sum(cost.Const(1),
				cost.Mul(cost.Sub(both, cost.Const(maxConcatenation)), cost.Const(CostLimit)))),
			cost.ResultSize(both)),
		cost.Overload(overloads.SizeString, perByte(cost.Arg(0), swift)),
		cost.MemberOverload(overloads.SizeStringInst, perByte(cost.Target(), swift)),
		cost.Overload(overloads.StringToBytes, perByte(cost.Arg(0), 0.1), cost.ResultSize(cost.Scale(cost.Arg(0), 4))),
		cost.Overload(overloads.BytesToString, perByte(cost.Arg(0), 0.1), cost.ResultSize(cost.AtMost(cost.Arg(0)))),
		cost.MemberOverload(overloadMapWith, perByte(cost.Target(), swift),
			cost.ResultSize(cost.Sum(cost.Target(), cost.Const(1)))),
		cost.MemberOverload(overloadMapWithout, perByte(cost.Target(), swift),
			cost.ResultSize(cost.AtMost(cost.Target()))),
		cost.MemberOverload(overloadListAppend, perByte(cost.Target(), 1),
			cost.ResultSize(cost.Sum(cost.Target(), cost.Const(1)))),
		cost.MemberOverload(overloadSumInt, perByte(cost.Target(), 1)),
		cost.MemberOverload(overloadSumDouble, perByte(cost.Target(), 1)),
		cost.MemberOverload(overloadSumDuration, perByte(cost.Target(), 1)),
	)
}

// worstCase estimates costs for the largest input there can be.
type worstCase struct{}

// EstimateSize implements cost.Estimator. What an expression itself builds is
// left to CEL's own arithmetic. Only what came from outside has a largest size;
// a let name, and an item of one, can be anything.
func (worstCase) EstimateSize(e cost.AstNode) *cost.SizeEstimate {
	if e.ComputedSize() != nil {
		return nil
	}
	largest := uint64(maxInput)
	switch e.Type().Kind() {
	case types.IntKind, types.DoubleKind, types.BoolKind, types.TimestampKind, types.DurationKind:
		return &cost.SizeEstimate{Min: 1, Max: 1}
	case types.ListKind:
		largest = maxInputList
	case types.MapKind:
		largest = maxInputMap
	}
	if path := e.Path(); len(path) == 0 || !scopeWords[path[0]] {
		return nil
	}
	return &cost.SizeEstimate{Min: 0, Max: largest}
}

// EstimateCallCost implements cost.Estimator: what the models say.
func (worstCase) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}
