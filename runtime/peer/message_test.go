package peer

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/routing"
	"github.com/leftfold/leftfold/runtime/shard"
)

// wire brings a message over the wire.
func wire[M proto.Message](t *rapid.T, m M) M {
	text, err := proto.Marshal(m)
	if err != nil {
		t.Fatalf("write %v: %v", m, err)
	}
	out, _ := m.ProtoReflect().New().Interface().(M)
	if err := proto.Unmarshal(text, out); err != nil {
		t.Fatalf("read %v: %v", m, err)
	}
	return out
}

var (
	anyText = rapid.String()
	anyJSON = rapid.SliceOfN(rapid.Byte(), 0, 40)
	anyTime = rapid.Custom(func(t *rapid.T) time.Time {
		return time.UnixMicro(rapid.Int64Range(-1e14, 1e16).Draw(t, "microseconds")).UTC()
	})
	anyExpectation = rapid.SampledFrom([]shard.Expectation{
		{}, {Kind: shard.ExpectSome}, {Kind: shard.ExpectVersion}, {Kind: shard.ExpectVersion, Version: 1 << 60},
	})
	anyProblem = rapid.Custom(func(t *rapid.T) *problem.Problem {
		return &problem.Problem{
			Reason: problem.Reason(anyText.Draw(t, "reason")), Rejected: rapid.Bool().Draw(t, "rejected"),
			Detail: anyText.Draw(t, "detail"), Field: anyText.Draw(t, "field"), Version: rapid.Int64().Draw(t, "version"),
			RetryAfter: time.Duration(rapid.Int64().Draw(t, "after")), Replay: rapid.Bool().Draw(t, "replay"),
		}
	})
)

func same(t *rapid.T, want, got any) {
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("not what was sent (-want +got):\n%s", diff)
	}
}

func TestACommandArrivesAsItWasSent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := shard.Command{
			Entity: anyText.Draw(t, "entity"), Name: anyText.Draw(t, "name"), Body: anyJSON.Draw(t, "body"),
			ID: anyText.Draw(t, "id"), Keyed: rapid.Bool().Draw(t, "keyed"), Retried: rapid.Bool().Draw(t, "retried"),
			Expect: anyExpectation.Draw(t, "expect"), Principal: anyText.Draw(t, "principal"),
		}
		m, err := commandMessage("account", c)
		if err != nil {
			t.Fatal(err)
		}
		if m.GetAggregate() != "account" {
			t.Fatalf("sent for aggregate %q", m.GetAggregate())
		}
		same(t, c, commandOf(wire(t, m)))
	})
}

func TestAnAnswerArrivesAsItWasGivenInAllThatACallerSees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := eventstore.ShardID{
			Aggregate: eventstore.AggregateID(rapid.Int32().Draw(t, "aggregate")), Number: rapid.Int32().Draw(t, "shard"),
		}
		a := shard.Answer{
			Entity: anyText.Draw(t, "entity"), Version: rapid.Int64().Draw(t, "version"), Shard: id,
			Seq: rapid.Int64().Draw(t, "seq"), Replay: rapid.Bool().Draw(t, "replay"),
		}
		a.Events = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) eventstore.Event {
			return eventstore.Event{
				Shard: id, Entity: a.Entity, Seq: rapid.Int64().Draw(t, "seq"), Version: rapid.Int64().Draw(t, "version"),
				Type: anyText.Draw(t, "type"), TypeVersion: rapid.Int32().Draw(t, "type version"), Data: anyJSON.Draw(t, "data"),
				Meta: eventstore.Meta{Time: anyTime.Draw(t, "time")}, CommandID: anyText.Draw(t, "command"),
			}
		}), 0, 5).Draw(t, "events")
		same(t, a, answerOf(wire(t, answerMessage(a))))
	})
}

func TestAViewArrivesAsItWasGiven(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := shard.View{
			Entity: anyText.Draw(t, "entity"), Version: rapid.Int64().Draw(t, "version"),
			Time: anyTime.Draw(t, "time"), State: anyJSON.Draw(t, "state"),
		}
		same(t, v, viewOf(wire(t, viewMessage(v))))
	})
}

// overConnect brings an error over the wire as the library does.
func overConnect(t *rapid.T, err error) error {
	var here *connect.Error
	if !errors.As(err, &here) {
		t.Fatalf("%v is no error of the wire", err)
	}
	there := connect.NewWireError(here.Code(), errors.New(here.Message()))
	for _, d := range here.Details() {
		m, err := d.Value()
		if err != nil {
			t.Fatal(err)
		}
		again, err := connect.NewErrorDetail(wire(t, m))
		if err != nil {
			t.Fatal(err)
		}
		there.AddDetail(again)
	}
	return there
}

func TestAProblemArrivesInTheOwnersWords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := anyProblem.Draw(t, "problem")
		var got *problem.Problem
		if err := faultOf(overConnect(t, fault(slog.Default(), p))); !errors.As(err, &got) {
			t.Fatalf("arrived as %v", err)
		}
		same(t, p, got)
	})
}

func TestARefusalForTheOwnersSakeArrivesWithItsHint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hint := routing.Remote{Epoch: rapid.Int64().Draw(t, "epoch"), Address: anyText.Draw(t, "address")}
		err := faultOf(overConnect(t, fault(slog.Default(), &routing.NotOwnerError{Hint: hint})))
		var got *routing.NotOwnerError
		if !errors.As(err, &got) || !errors.Is(err, shard.ErrNotOwner) {
			t.Fatalf("arrived as %v", err)
		}
		same(t, hint, got.Hint)
	})
}

func TestTextThatIsNotUTF8IsMadeSo(t *testing.T) {
	p := problem.On("\xff", "a\xffb", "bad \xff byte")
	rapid.Check(t, func(t *rapid.T) {
		var got *problem.Problem
		if err := faultOf(overConnect(t, fault(slog.Default(), p))); !errors.As(err, &got) {
			t.Fatalf("arrived as %v", err)
		}
		same(t, &problem.Problem{Reason: "\ufffd", Field: "a\ufffdb", Detail: "bad \ufffd byte"}, got)
	})
	if _, err := commandMessage("account", shard.Command{Name: "Dep\xff"}); !problem.Is(err, problem.UnknownName) {
		t.Errorf("a command whose name is not UTF-8: %v", err)
	}
}
