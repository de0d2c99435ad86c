package shard

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"

	"github.com/leftfold/leftfold/runtime/problem"
)

// What goes wrong in a shard's own code ends that shard and nothing else: the
// host, its other shards and the process go on, and whoever opened the shard
// opens it again. Callers are told the truth about each command: what was not
// decided goes to the next owner, and of what was, the outcome is unknown.

// guardedTurn is turn, with a panic being the end of the shard.
func (s *Shard) guardedTurn() (more bool) {
	defer func() {
		if cause := recover(); cause != nil {
			more = false
			s.panicked(cause)
		}
	}()
	return s.turn()
}

// aside does what the shard started elsewhere; a panic there is the shard's.
func (s *Shard) aside(f func()) {
	s.work.Go(func() {
		defer func() {
			if cause := recover(); cause != nil {
				s.log.Error("a panic beside the shard's goroutine", slog.Any("panic", cause), slog.String("stack", string(debug.Stack())))
				s.post(func() { s.end(fmt.Errorf("%w: %v", ErrPanicked, cause)) })
			}
		}()
		f()
	})
}

// panicked ends the shard, whatever state its memory is in. Requests that the end
// does not find any more are answered by the closing of done.
func (s *Shard) panicked(cause any) {
	s.log.Error("the shard's code panicked; the shard is given up, and can be opened again",
		slog.Any("panic", cause), slog.String("stack", string(debug.Stack())))
	defer s.survive("giving the shard up")
	guilty := s.undecided()
	s.end(fmt.Errorf("%w: %v", ErrPanicked, cause))
	if guilty != nil {
		s.answer(guilty, reply{err: problem.New(problem.BehaviorFailed, "the command made its shard panic; nothing was written")})
	}
}

// undecided is the request in whose decision the panic came, if it is in nobody's
// list: nothing of it can have been written. It is told so for good, for were it
// tried again at the next owner, that would be the next one to panic.
func (s *Shard) undecided() *request {
	r := s.deciding
	if r == nil {
		return nil
	}
	for _, en := range s.gather.entries {
		if en.request == r || slices.Contains(en.joined, r) {
			return nil
		}
	}
	for _, w := range s.waiters {
		if w.request == r {
			return nil
		}
	}
	if s.inflight != nil {
		for _, en := range s.inflight.entries {
			if slices.Contains(en.joined, r) {
				return nil
			}
		}
	}
	return r
}

// survive is deferred where a shard ends, for memory that has made it panic once
// may do so again.
func (s *Shard) survive(doing string) {
	if cause := recover(); cause != nil {
		s.log.Error("a shard that has failed panicked once more", slog.String("doing", doing), slog.Any("panic", cause))
	}
}

// watch is what the host remembers of a shard between two ticks. It belongs to
// the goroutine of the ticks.
type watch struct {
	turned int64
	silent int // ticks without a turn
}

// giveUpIfStuck stops a shard whose goroutine has not made a turn for so many
// ticks, although each of them gave it work. Ticks are counted, not time: a
// process that stood still has no reason to distrust its shards. The goroutine
// may go on one day; then it finds that its lease is void, and that its callers
// have left.
func (h *Host) giveUpIfStuck(s *Shard) {
	w := &s.watch
	if turned := s.turned.Load(); turned != w.turned {
		w.turned, w.silent = turned, 0
		return
	}
	w.silent++
	l := &h.cfg.Limits
	if w.silent < int((l.StuckAfter+l.RecheckEvery-1)/l.RecheckEvery)+1 {
		return
	}
	s.log.Error("the shard does not get on; it is given up, and can be opened again", slog.Duration("for", l.StuckAfter))
	err := fmt.Errorf("%w: no turn in %s", ErrStuck, l.StuckAfter)
	s.leaving.Store(true)
	s.box.close(notOwner(err.Error()))
	s.post(func() { s.end(err) })
	s.cancel()
	s.stopped(err)
}
