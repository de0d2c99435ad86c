package shard

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/leftfold/leftfold/runtime/behavior"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
)

// decideNext takes the entity's next command through the checks, in the order of
// the contract: key, payload, If-Match, decide.
func (s *Shard) decideNext(e *entity) {
	r := e.pop()
	if r.expired() {
		s.answer(r, reply{err: notAttempted("the command's time ran out while it waited")})
		return
	}
	if !r.begin() {
		s.box.release(r)
		return
	}
	s.deciding = r
	injectFault(&r.cmd)
	now := s.now()
	s.ord++
	r.ord = s.ord
	s.uses.use(e, s.clock)

	if rec := e.window.find(r.cmd.ID, now, s.cur.DedupFor); rec != nil && !removed(dedupGuard) {
		s.repeat(e, r, rec)
		return
	}
	if r.cmd.Retried && !r.cmd.Keyed && !r.searched && e.window.forgot(e.committed.version, now.Add(-retryHorizon)) {
		s.answer(r, reply{search: e.committed.version})
		return
	}
	if r.print != (eventstore.Hash{}) {
		if by := s.keysFull(e); by != "" {
			s.answer(r, reply{err: overloaded(by, "the entity remembers as many keys as it can; some grow old")})
			return
		}
	}
	if r.def != s.cur {
		r.def = s.cur
		r.parsed, r.parseErr = s.parse(s.cur, &r.cmd)
	}
	if r.parseErr != nil {
		s.answer(r, reply{err: r.parseErr})
		return
	}
	at := now
	if at.Before(e.spec.time) {
		at = e.spec.time
	}
	p := r.verdict
	if p == nil {
		p = r.cmd.Expect.refusal(e.spec.version)
	}
	if p != nil {
		s.remember(e, r, at, p)
		return
	}
	after, count, p := s.decide(e, r, at)
	if p != nil || count == 0 {
		s.remember(e, r, at, p)
		return
	}
	s.enter(e, r, entry{at: at, after: after, first: len(s.gather.events) - count, count: count})
}

// refusal is the problem when the condition does not hold at that version.
func (x Expectation) refusal(version int64) *problem.Problem {
	var p *problem.Problem
	switch {
	case x.Kind == ExpectVersion && x.Version != version:
		p = problem.New(problem.VersionMismatch, "the entity is at version %d, not %d", version, x.Version)
	case x.Kind == ExpectSome && version == 0:
		p = problem.New(problem.VersionMismatch, "the entity has no events")
	default:
		return nil
	}
	p.Version = version
	return p
}

// decide runs the behaviour on what the command sees and appends the events to
// the gathering batch. With a problem, nothing was appended.
func (s *Shard) decide(e *entity, r *request, at time.Time) (after fold, count int, p *problem.Problem) {
	b, first := s.gather, len(s.gather.events)
	bytes := b.bytes
	defer func() {
		if cause := recover(); cause != nil {
			s.log.Error("behaviour panicked; the command fails, the shard goes on",
				slog.String("command", r.cmd.Name), slog.Any("panic", cause), slog.String("stack", string(debug.Stack())))
			p = problem.New(problem.BehaviorFailed, "the behaviour panicked")
		}
		if p != nil {
			clear(b.events[first:])
			b.events, b.bytes = b.events[:first], bytes
		}
	}()

	meta := behavior.Meta{
		Aggregate: s.aggregate, Entity: e.id, Version: e.spec.version,
		Time: at, CommandID: r.cmd.ID, Principal: r.cmd.Principal,
	}
	events, err := s.cur.Behavior.Decide(e.spec.state, r.parsed, meta)
	if err != nil {
		return fold{}, 0, s.failure(r, err)
	}
	if p := overYield(events); p != nil {
		return fold{}, 0, p
	}
	after = e.spec
	for _, ev := range events {
		after.version++
		meta.Version = after.version
		if after.state, err = s.cur.Behavior.Try(after.state, ev, meta); err != nil {
			return fold{}, 0, s.failure(r, err)
		}
		b.events = append(b.events, eventstore.Event{
			Shard: s.id, Entity: e.id, Version: after.version,
			Type: ev.Type, TypeVersion: ev.TypeVersion, Data: ev.Data,
			Meta:      eventstore.Meta{Time: at, Principal: r.cmd.Principal},
			CommandID: r.cmd.ID, RequestHash: r.print, Generation: s.cur.Generation,
		})
		b.bytes += len(ev.Data)
	}
	if len(events) > 0 {
		after.time = at
	}
	return after, len(events), nil
}

// failure is what a caller sees of a behaviour's error.
func (s *Shard) failure(r *request, err error) *problem.Problem {
	var p *problem.Problem
	if errors.As(err, &p) {
		return p
	}
	s.log.Error("behaviour failed with an error of its own; the command fails",
		slog.String("command", r.cmd.Name), slog.Any("error", err))
	return problem.New(problem.BehaviorFailed, "the behaviour failed")
}

// enter adds a decided command to the gathering batch, and makes what it did
// visible to the commands that come after it.
func (s *Shard) enter(e *entity, r *request, decided entry) {
	b := s.gather
	en := b.newEntry()
	*en = decided
	en.request, en.entity = r, e
	rec := newRecord(r.cmd.ID, r.print, en.at)
	rec.keyed = rec.keyed || r.cmd.Retried
	rec.entry, rec.refusal, rec.events, rec.version = en, en.refusal, int64(en.count), en.after.version
	e.window.begin(rec)
	e.spec = en.after
	e.pending++
	e.batch = b.num
}

// remember answers a command that writes no event: refused by p, or a success
// that changes nothing. A keyed or retried one is remembered by an outcome row. The answer
// reveals what the command saw, so either way it waits for its dependencies and
// for the barrier.
func (s *Shard) remember(e *entity, r *request, at time.Time, p *problem.Problem) {
	if r.cmd.Keyed || r.cmd.Retried {
		s.enter(e, r, entry{at: at, after: e.spec, refusal: p})
		return
	}
	a := reply{answer: Answer{Entity: e.id, Version: e.spec.version, Shard: s.id}}
	if p != nil {
		a.err = p
	}
	s.await(&waiter{request: r, reply: a, depends: e.batch, stamp: true})
}

// repeat answers a command whose id is remembered.
func (s *Shard) repeat(e *entity, r *request, rec *record) {
	switch {
	case !rec.matches(r.print):
		p := problem.New(problem.KeyReused, "the key %q was used for another command", r.cmd.ID)
		w := &waiter{request: r, reply: reply{err: p}}
		if rec.entry != nil {
			w.depends = e.batch
		}
		s.await(w)
	case rec.entry != nil:
		rec.entry.joined = append(rec.entry.joined, r)
	default:
		s.await(&waiter{request: r, reply: s.replay(e.id, rec)})
	}
}

// replay is the remembered answer.
func (s *Shard) replay(entity string, rec *record) reply {
	if rec.refusal != nil {
		p := *rec.refusal
		p.Replay = true
		return reply{err: &p}
	}
	a := reply{answer: Answer{Entity: entity, Version: rec.version, Shard: s.id, Seq: rec.seq, Replay: true}}
	if rec.events > 0 {
		events, _, ok := s.feed.after(rec.seq-rec.events, int(rec.events))
		if ok && int64(len(events)) == rec.events {
			a.answer.Events = events
		} else {
			a.refetch = rec.events
		}
	}
	return a
}

// parse reads the body under a definition; a panic is the behaviour's failure.
func (s *Shard) parse(d *Definition, c *Command) (parsed behavior.Command, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			s.log.Error("behaviour panicked while it read a command",
				slog.String("command", c.Name), slog.Any("panic", cause), slog.String("stack", string(debug.Stack())))
			err = problem.New(problem.BehaviorFailed, "the behaviour panicked")
		}
	}()
	parsed, err = d.Behavior.Parse(c.Name, c.Body)
	if err != nil && !errors.As(err, new(*problem.Problem)) {
		err = fmt.Errorf("parse command %s: %w", c.Name, err)
	}
	return parsed, err
}
