package shard

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
)

// Handle runs a command and answers when its effect is durable. Errors are
// *problem.Problem, or wrap ErrNotOwner: then nothing ran, and the command may
// go to the shard's owner. When ctx ends first, the error tells whether the
// command may have run: NotAttempted or OutcomeUnknown.
func (s *Shard) Handle(ctx context.Context, c Command) (Answer, error) {
	done := s.host.cfg.Observer.CommandDone
	if done == nil {
		a, err := s.handle(ctx, c)
		s.observeRefusal(err)
		return a, err
	}
	start := time.Now()
	a, err := s.handle(ctx, c)
	s.observeRefusal(err)
	name := c.Name
	if problem.Is(err, problem.UnknownName) {
		name = ""
	}
	done(s.aggregate, name, outcomeOf(a, err), time.Since(start))
	return a, err
}

// observeRefusal tells by which limit a call was refused. An answer that is
// remembered was told of when it was given.
func (s *Shard) observeRefusal(err error) {
	var p *problem.Problem
	if f := s.host.cfg.Observer.Refused; f != nil && errors.As(err, &p) && p.Limit != "" && !p.Replay {
		f(p.Limit)
	}
}

func (s *Shard) handle(ctx context.Context, c Command) (Answer, error) {
	if err := s.mine(c.Entity); err != nil {
		return Answer{}, err
	}
	if c.ID == "" {
		// Two commands without ids would be taken for one.
		return Answer{}, problem.New(problem.Internal, "the command has no id")
	}
	out, err := s.ask(ctx, s.request(ctx, c))
	if err == nil && out.search > 0 {
		a, found, failed := s.search(ctx, c, out.search)
		if found || failed != nil {
			return a, failed
		}
		r := s.request(ctx, c)
		r.searched = true
		out, err = s.ask(ctx, r)
	}
	if err != nil {
		return Answer{}, err
	}
	if out.refetch > 0 {
		if err := s.refetch(ctx, c, &out); err != nil {
			return Answer{}, err
		}
	}
	if out.err != nil {
		return Answer{}, out.err
	}
	return out.answer, nil
}

// request makes a command ready for the mailbox.
func (s *Shard) request(ctx context.Context, c Command) *request {
	r := s.host.requests.get(ctx, commandRequest, c)
	r.def = s.def.Load()
	r.parsed, r.parseErr = s.parse(r.def, &c)
	if c.Keyed {
		r.print = fingerprint(c.Name, c.Body)
	}
	return r
}

// ask puts a request through the mailbox.
func (s *Shard) ask(ctx context.Context, r *request) (reply, error) {
	if err := ctx.Err(); err != nil {
		s.host.requests.put(r)
		return reply{}, notAttempted("the request's time had run out")
	}
	if err := s.box.put(r); err != nil {
		s.host.requests.put(r)
		return reply{}, err
	}
	ok, decided := r.wait(ctx, s.done)
	switch {
	case ok:
		out := r.reply
		s.host.requests.put(r)
		return out, nil
	case decided && ctx.Err() == nil:
		return reply{}, outcomeUnknown("the shard was given up while it handled the command")
	case decided:
		return reply{}, outcomeUnknown("the command's time ran out while it was being written")
	case ctx.Err() == nil:
		return reply{}, notOwner("it was given up")
	}
	return reply{}, notAttempted("the request's time ran out while it waited")
}

// mine refuses entities outside the shard's slots.
func (s *Shard) mine(entity string) error {
	if slot := s.host.cfg.Slot; slot != nil && !s.slots.Contains(slot(entity)) {
		return notOwner("the entity belongs to another shard")
	}
	return nil
}

// fingerprint covers a command's name and body, the body in canonical form if it
// has one.
func fingerprint(name string, body []byte) eventstore.Hash {
	buf := make([]byte, 0, len(name)+len(body)+65)
	buf = append(append(buf, name...), 0)
	n := len(buf)
	buf, err := eventstore.AppendCanonical(buf, body)
	if err != nil {
		buf = append(buf[:n], body...)
	}
	return sha256.Sum256(buf)
}

// refetch reads the events of a remembered answer that have left memory.
func (s *Shard) refetch(ctx context.Context, c Command, out *reply) error {
	call, cancel := context.WithTimeout(ctx, s.limits().CallTimeout)
	defer cancel()
	n := out.refetch
	events, err := s.host.cfg.Store.ReadEntity(call, s.id.Aggregate, c.Entity, out.answer.Version-n, int(n))
	if err != nil {
		s.log.Warn("cannot read the events of a remembered answer", "error", err)
		return outcomeUnknown("the command ran before, but its events cannot be read now")
	}
	if int64(len(events)) != n || events[0].CommandID != c.ID {
		s.log.Error("the log does not hold the events of a remembered answer", "version", out.answer.Version)
		return problem.New(problem.Internal, "the remembered answer does not fit the log")
	}
	out.answer.Events = events
	return nil
}

// Read gives an entity's committed state. A strong read is linearizable: it sees
// every command that was answered before it began. A local one may be stale when
// another process has taken the shard over. Errors: NoSuchEntity, Overloaded,
// NotAttempted, ErrNotOwner.
func (s *Shard) Read(ctx context.Context, entity string, strong bool) (View, error) {
	if err := s.mine(entity); err != nil {
		return View{}, err
	}
	kind := localRead
	if strong {
		kind = strongRead
	}
	out, err := s.ask(ctx, s.host.requests.get(ctx, kind, Command{Entity: entity}))
	if err == nil {
		err = out.err
	}
	if err != nil {
		s.observeRefusal(err)
		return View{}, err
	}
	return viewOf(entity, out.at, out.behavior)
}

// outcomeOf names what became of a command.
func outcomeOf(a Answer, err error) Outcome {
	if err == nil {
		switch {
		case a.Replay:
			return OutcomeReplayed
		case len(a.Events) == 0:
			return OutcomeEmpty
		}
		return OutcomeWritten
	}
	if errors.Is(err, ErrNotOwner) {
		return OutcomeNotOwner
	}
	p := problem.From(err)
	switch {
	case p.Replay:
		return OutcomeReplayed
	case p.Rejected:
		return OutcomeRejected
	}
	switch p.Reason {
	case problem.Overloaded:
		return OutcomeOverloaded
	case problem.NotAttempted:
		return OutcomeNotAttempted
	case problem.OutcomeUnknown:
		return OutcomeUnknown
	case problem.BehaviorFailed, problem.StateTooLarge, problem.Internal:
		return OutcomeFailed
	}
	return OutcomeInvalid
}
