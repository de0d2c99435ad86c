package api

import (
	"context"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
)

// eventBytes is what an event takes in an answer besides its data: its other
// columns, and their names.
const eventBytes = 1 << 10

// answerBytes is what the answer with these events takes: their data once in the
// form that is shown and once in the text of the answer.
func answerBytes(events []eventstore.Event) int64 {
	return int64(2*eventstore.DataBytes(events) + eventBytes*len(events))
}

// turn waits for a place among those who read events, and gives what ends it. Nobody holds more than one, and never while a caller reads.
func (c *call) turn(ctx context.Context) (done func(), err error) {
	select {
	case c.pages <- struct{}{}:
		return func() { <-c.pages }, nil
	case <-ctx.Done():
	}
	if c.r.Context().Err() != nil || c.draining.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, c.over(problem.LimitPages, problem.New(problem.Overloaded, "%d calls read events, as many as may at once", c.Pages))
}

// keep books bytes of an answer until the call ends, or lets go; with an error when
// there is no room for them.
func (c *call) keep(bytes int64) error {
	if c.answers.Add(bytes) > c.AnswerBytes {
		c.answers.Add(-bytes)
		return c.over(problem.LimitAnswers, problem.New(problem.Overloaded, "the answers of calls take as much memory as they may"))
	}
	c.book(bytes)
	return nil
}

// owe books bytes of an answer that cannot be refused any more: something was done.
func (c *call) owe(bytes int64) {
	c.answers.Add(bytes)
	c.book(bytes)
}

func (c *call) book(bytes int64) {
	c.kept += bytes
	tell(c.Observer.AnswerBytes, bytes)
}

// letGo gives back what is booked of answers.
func (c *call) letGo() {
	c.answers.Add(-c.kept)
	tell(c.Observer.AnswerBytes, -c.kept)
	c.kept = 0
}
