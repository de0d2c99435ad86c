package api

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
)

// stream is one open event stream (HTML's server-sent events). Each page of the
// feed is written at once and ends in a checkpoint: the last event's id is the
// position that is reached with the page. A reader that reconnects from it gets
// again at most what came since, and tells by (shard, seq). Between pages nothing of
// them is kept.
//
// It ends when the reader leaves, when one write takes too long, when answers take
// as much memory as they may, when the feed fails and when the runtime drains; in
// every case the reader may resume.
type stream struct {
	*call
	ctx       context.Context
	control   *http.ResponseController
	buffer    bytes.Buffer
	aggregate string
	limit     int
	// silentUntil is when the next comment is due.
	silentUntil time.Time
}

// follow serves a stream. Problems that are met before the first byte are
// answered as any other.
func (c *call) follow(aggregate string, after eventstore.Position, limit int) error {
	select {
	case c.streams <- struct{}{}:
		tell(c.Observer.Streams, 1)
		defer func() {
			<-c.streams
			tell(c.Observer.Streams, -1)
		}()
	default:
		return c.over(problem.LimitStreams, problem.New(problem.Overloaded, "%d event streams are open, as many as may be", c.Streams))
	}
	c.following = true
	c.leave()
	ctx, cancel := context.WithCancel(c.r.Context())
	defer cancel()
	defer context.AfterFunc(c.draining, cancel)()
	s := &stream{call: c, ctx: ctx, control: http.NewResponseController(c.w), aggregate: aggregate, limit: limit}
	events, reached, err := s.fill(after)
	if err != nil {
		return err
	}
	if events == 0 {
		// It tells the reader where it stands.
		if err := s.mark(reached); err != nil {
			return err
		}
	}
	c.w.Header().Set("Content-Type", "text/event-stream")
	c.w.Header().Set("X-Accel-Buffering", "no") // proxies that buffer must not
	c.w.WriteHeader(http.StatusOK)
	if c.r.Method == http.MethodHead {
		return nil
	}
	// What ends the response must not wait for a reader that has stopped.
	defer func() { _ = s.control.SetWriteDeadline(time.Now().Add(s.StreamWrite)) }()
	s.silentUntil = time.Now().Add(keepAlive)
	if err := s.run(reached); ctx.Err() == nil {
		c.Logger.Info("an event stream was ended; its reader may resume", "aggregate", aggregate, "error", err)
	}
	return nil
}

// run writes what the buffer holds, and then pages as they come.
func (s *stream) run(reached eventstore.Position) error {
	for {
		if err := s.flush(); err != nil {
			return err
		}
		for {
			if err := s.comment(); err != nil {
				return err
			}
			events, next, err := s.fill(reached)
			if err != nil {
				return err
			}
			if events > 0 {
				reached = next
				break
			}
			if err := s.wait(reached); err != nil {
				return err
			}
		}
	}
}

// fill puts the next page into the buffer, and tells how many events it has.
func (s *stream) fill(after eventstore.Position) (int, eventstore.Position, error) {
	ctx, cancel := context.WithTimeout(s.ctx, s.ReadTimeout)
	defer cancel()
	done, err := s.turn(ctx)
	if err != nil {
		return 0, after, err
	}
	defer done()
	events, reached, err := s.Feed.Page(ctx, s.aggregate, after, s.limit)
	if err != nil || len(events) == 0 {
		return 0, reached, err
	}
	if err := s.keep(answerBytes(events)); err != nil {
		return 0, after, err
	}
	return len(events), reached, s.put(events, reached)
}

// wait returns when there may be more, or a comment is due.
func (s *stream) wait(reached eventstore.Position) error {
	ctx, cancel := context.WithDeadline(s.ctx, s.silentUntil)
	defer cancel()
	err := s.Feed.Wait(ctx, s.aggregate, reached)
	if s.ctx.Err() == nil && (ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded)) {
		return nil
	}
	return err
}

// mark puts a checkpoint into the buffer: a block of an id alone, which a reader
// remembers and does not dispatch.
func (s *stream) mark(reached eventstore.Position) error {
	checkpoint, err := reached.Encode()
	s.buffer.Reset()
	s.buffer.WriteString("id: " + checkpoint + "\n\n")
	return err
}

// put writes events and their checkpoint into the buffer.
func (s *stream) put(events []eventstore.Event, reached eventstore.Position) error {
	checkpoint, err := reached.Encode()
	if err != nil {
		return err
	}
	s.buffer.Reset()
	for i := range events {
		logged, err := loggedEventOf(&events[i])
		if err != nil {
			return err
		}
		if i == len(events)-1 {
			s.buffer.WriteString("id: " + checkpoint + "\n")
		}
		s.buffer.WriteString("data: ")
		if err := encode(&s.buffer, logged); err != nil {
			return err
		}
		s.buffer.WriteByte('\n')
	}
	return nil
}

// comment shows a proxy and the reader that the stream lives, when it is time.
func (s *stream) comment() error {
	now := time.Now()
	if now.Before(s.silentUntil) {
		return nil
	}
	s.silentUntil = now.Add(keepAlive)
	s.buffer.Reset()
	s.buffer.WriteString(": alive\n\n")
	return s.flush()
}

// flush writes the buffer. A reader that does not take it in time is cut off.
// The deadline goes afterwards, for HTTP/2 resets a stream at it even when
// nothing is being written.
func (s *stream) flush() error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	if err := s.control.SetWriteDeadline(time.Now().Add(s.StreamWrite)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := s.w.Write(s.buffer.Bytes()); err != nil {
		return err
	}
	if s.buffer.Cap() > maxPooled {
		s.buffer = bytes.Buffer{}
	}
	s.letGo()
	if err := s.control.Flush(); err != nil {
		return err
	}
	_ = s.control.SetWriteDeadline(time.Time{})
	return nil
}
