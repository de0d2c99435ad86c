package peer

import (
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

// commandMessage writes a command. Text in messages is UTF-8; no aggregate has a
// command whose name is not.
func commandMessage(aggregate string, c shard.Command) (*leftfoldv1.HandleRequest, error) {
	if !utf8.ValidString(c.Name) {
		return nil, problem.New(problem.UnknownName, "there is no command %q", c.Name)
	}
	m := &leftfoldv1.HandleRequest{
		Aggregate: aggregate, Entity: c.Entity, Command: c.Name, Body: c.Body, Id: c.ID,
		Keyed: c.Keyed, Retried: c.Retried, Principal: c.Principal,
	}
	switch c.Expect.Kind {
	case shard.ExpectVersion:
		m.Expectation = &leftfoldv1.Expectation{Kind: &leftfoldv1.Expectation_Version{Version: c.Expect.Version}}
	case shard.ExpectSome:
		m.Expectation = &leftfoldv1.Expectation{Kind: &leftfoldv1.Expectation_Some{Some: true}}
	}
	return m, nil
}

func commandOf(m *leftfoldv1.HandleRequest) shard.Command {
	c := shard.Command{
		Entity: m.GetEntity(), Name: m.GetCommand(), Body: m.GetBody(), ID: m.GetId(),
		Keyed: m.GetKeyed(), Retried: m.GetRetried(), Principal: m.GetPrincipal(),
	}
	switch kind := m.GetExpectation().GetKind().(type) {
	case *leftfoldv1.Expectation_Version:
		c.Expect = shard.Expectation{Kind: shard.ExpectVersion, Version: kind.Version}
	case *leftfoldv1.Expectation_Some:
		if kind.Some {
			c.Expect = shard.Expectation{Kind: shard.ExpectSome}
		}
	}
	return c
}

// answerMessage writes an answer: of its events, what a caller sees.
func answerMessage(a shard.Answer) *leftfoldv1.HandleResponse {
	m := &leftfoldv1.HandleResponse{
		Entity: a.Entity, Version: a.Version, Seq: a.Seq, Replay: a.Replay,
		Shard: &leftfoldv1.ShardKey{Aggregate: int32(a.Shard.Aggregate), Number: a.Shard.Number},
	}
	if len(a.Events) > 0 {
		m.Events = make([]*leftfoldv1.Event, len(a.Events))
	}
	for i := range a.Events {
		e := &a.Events[i]
		m.Events[i] = &leftfoldv1.Event{
			Seq: e.Seq, Version: e.Version, Type: e.Type, TypeVersion: e.TypeVersion, Data: e.Data,
			Time: timestamppb.New(e.Meta.Time), CommandId: e.CommandID,
		}
	}
	return m
}

func answerOf(m *leftfoldv1.HandleResponse) shard.Answer {
	a := shard.Answer{
		Entity: m.GetEntity(), Version: m.GetVersion(), Seq: m.GetSeq(), Replay: m.GetReplay(),
		Shard: eventstore.ShardID{
			Aggregate: eventstore.AggregateID(m.GetShard().GetAggregate()), Number: m.GetShard().GetNumber(),
		},
	}
	if len(m.GetEvents()) > 0 {
		a.Events = make([]eventstore.Event, len(m.GetEvents()))
	}
	for i, e := range m.GetEvents() {
		a.Events[i] = eventstore.Event{
			Shard: a.Shard, Entity: a.Entity, Seq: e.GetSeq(), Version: e.GetVersion(),
			Type: e.GetType(), TypeVersion: e.GetTypeVersion(), Data: e.GetData(),
			Meta: eventstore.Meta{Time: e.GetTime().AsTime()}, CommandID: e.GetCommandId(),
		}
	}
	return a
}

func viewMessage(v shard.View) *leftfoldv1.ReadResponse {
	return &leftfoldv1.ReadResponse{Entity: v.Entity, Version: v.Version, Time: timestamppb.New(v.Time), State: v.State}
}

func viewOf(m *leftfoldv1.ReadResponse) shard.View {
	return shard.View{Entity: m.GetEntity(), Version: m.GetVersion(), Time: m.GetTime().AsTime(), State: m.GetState()}
}

func problemMessage(p *problem.Problem) *leftfoldv1.Problem {
	m := &leftfoldv1.Problem{
		Reason: valid(string(p.Reason)), Rejected: p.Rejected, Detail: valid(p.Detail), Field: valid(p.Field),
		Version: p.Version, Replay: p.Replay,
	}
	if p.RetryAfter != 0 {
		m.RetryAfter = durationpb.New(p.RetryAfter)
	}
	return m
}

func problemOf(m *leftfoldv1.Problem) *problem.Problem {
	var after time.Duration
	if m.GetRetryAfter() != nil {
		after = m.GetRetryAfter().AsDuration()
	}
	return &problem.Problem{
		Reason: problem.Reason(m.GetReason()), Rejected: m.GetRejected(), Detail: m.GetDetail(), Field: m.GetField(),
		Version: m.GetVersion(), RetryAfter: after, Replay: m.GetReplay(),
	}
}
