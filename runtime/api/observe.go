package api

import "github.com/leftfold/leftfold/runtime/problem"

// Observer is told what happens, for metrics. Any field may be nil. The calls come
// from hot paths and several goroutines: they must not block.
type Observer struct {
	// Refused: a limit of this package has turned a call away.
	Refused func(by problem.Limit)
	// The changes of gauges: what is open or under way, and what it takes.
	Connections func(delta int)
	Calls       func(delta int)
	Streams     func(delta int)
	BodyBytes   func(delta int64)
	AnswerBytes func(delta int64)
}

// tell hands a change to an observer's function.
func tell[T int | int64](f func(T), delta T) {
	if f != nil && delta != 0 {
		f(delta)
	}
}

// over tells of a call that a limit turns away, and gives its problem.
func (h *Handler) over(by problem.Limit, p *problem.Problem) *problem.Problem {
	if h.Observer.Refused != nil {
		h.Observer.Refused(by)
	}
	return p.Over(by)
}
