package control_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/leftfold/leftfold/api/identity"
	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
	"github.com/leftfold/leftfold/runtime/control"
	"github.com/leftfold/leftfold/runtime/control/controltest"
)

func code(err error) connect.Code { return connect.CodeOf(err) }

func TestAStreamBeginsWithWhoAnswersAndAllThatThereIs(t *testing.T) {
	r := newRig(t)
	r.service.ReportShard(report(1, serving, 3))
	r.service.ReportShard(report(2, claiming, 5))
	r.service.ReportShard(report(3, failed, 7))
	r.service.ReportShard(report(4, serving, 9))
	r.service.ReportShard(report(4, released, 9))
	r.service.ReportShard(report(5, refused, 9))
	r.service.ReportDefinition(&leftfoldv1.DefinitionReport{Kind: "Aggregate", Name: "account", ObservedGeneration: 2, AcceptedGeneration: 1, Reason: "HistoryNeedsIt"})
	r.service.ReportDefinition(&leftfoldv1.DefinitionReport{Kind: "Projection", Name: "gone", ObservedGeneration: 1})
	r.service.ReportDefinition(&leftfoldv1.DefinitionReport{Kind: "Projection", Name: "gone", Gone: true})
	r.service.ReportDraining()
	o := r.dial(1)
	seen := o.Until("everything", func(s *controltest.Seen) bool {
		return s.Welcome != nil && len(s.Shards) >= 3 && len(s.Definitions) >= 1 && s.Surveys == 1 && s.Draining
	})
	if w := seen.Welcome; w.GetPodUid() != podUID || w.GetIncarnation() != "i-1" || w.GetAddress() != "10.0.0.1:8082" || w.GetVersion() != "test" {
		t.Errorf("the welcome is %v", w)
	}
	for number, want := range map[int32]leftfoldv1.ShardState{1: serving, 2: claiming, 3: failed} {
		if got := seen.Shards[control.Shard{Aggregate: "account", Number: number}].GetState(); got != want {
			t.Errorf("shard %d is reported as %s, want %s", number, got, want)
		}
	}
	if len(seen.Shards) != 3 || len(seen.Definitions) != 1 {
		t.Errorf("what is not here any more is reported: %v, %v", seen.Shards, seen.Definitions)
	}
	if got := seen.Definitions["Aggregate/account"].GetReason(); got != "HistoryNeedsIt" {
		t.Errorf("the definition's reason is %q", got)
	}
}

func TestWhatTheOperatorAsksReachesThePod(t *testing.T) {
	r := newRig(t)
	o := r.dial(1)
	o.Grant("account", 3, 7)
	r.wantAsked("grant account/3 7")
	o.Release("account", 3, 8)
	r.wantAsked("release account/3 8")
	o.Owners(&leftfoldv1.Owner{Shard: control.Shard{Aggregate: "account", Number: 1}.Message(), Epoch: 4, Incarnation: "i-2", Address: "10.0.0.2:8082"})
	r.wantAsked("owner account/1 4 i-2 10.0.0.2:8082")
	o.Drain()
	r.wantAsked("drain")

	o.Until("the survey that every stream begins with", func(s *controltest.Seen) bool { return s.Surveys == 1 })
	r.pod.mu.Lock()
	r.pod.survey = func(context.Context) *leftfoldv1.Survey { return &leftfoldv1.Survey{Error: "no store"} }
	r.pod.mu.Unlock()
	if got := o.Survey().GetError(); got != "no store" {
		t.Errorf("the survey says %q", got)
	}
}

func TestChangesReachTheStream(t *testing.T) {
	r := newRig(t)
	o := r.dial(1)
	o.Until("the welcome", func(s *controltest.Seen) bool { return s.Welcome != nil })
	for _, state := range []leftfoldv1.ShardState{claiming, serving, failed, released, refused} {
		r.service.ReportShard(report(1, state, 2))
		o.Shard("account", 1, state)
	}
	definition := &leftfoldv1.DefinitionReport{Kind: "Aggregate", Name: "account", ObservedGeneration: 2, AcceptedGeneration: 2}
	r.service.ReportDefinition(definition)
	o.Until("the definition", func(s *controltest.Seen) bool { return s.Definitions["Aggregate/account"].GetAcceptedGeneration() == 2 })
	r.service.ReportDraining()
	o.Until("the end being told", func(s *controltest.Seen) bool { return s.Draining })
	r.pod.mu.Lock()
	r.pod.loads = []*leftfoldv1.Load{{Shard: control.Shard{Aggregate: "account", Number: 1}.Message(), EventsPerSecond: 12.5}}
	r.pod.mu.Unlock()
	o.Until("the loads", func(s *controltest.Seen) bool {
		return len(s.Loads.GetLoads()) == 1 && s.Loads.GetLoads()[0].GetEventsPerSecond() == 12.5
	})
}

func TestAPingIsAnsweredWithReadinessAndCountsAsHearing(t *testing.T) {
	r := newRig(t)
	if !r.service.Heard().IsZero() {
		t.Fatal("an operator was heard before there was one")
	}
	o := r.dial(1)
	for number, ready := range []bool{false, true} {
		r.pod.ready.Store(ready)
		before := time.Now()
		o.Ping(int64(number + 1))
		seen := o.Until("the pong", func(s *controltest.Seen) bool { return len(s.Pongs) == number+1 })
		if got := seen.Pongs[number]; got.GetNumber() != int64(number+1) || got.GetReady() != ready {
			t.Errorf("pong %v, want ready %t", got, ready)
		}
		if heard := r.service.Heard(); heard.Before(before) {
			t.Errorf("the operator was heard at %s, before its ping at %s", heard, before)
		}
	}
}

func TestAPongDoesNotWaitForASurvey(t *testing.T) {
	r := newRig(t)
	begun := make(chan struct{})
	r.pod.survey = func(ctx context.Context) *leftfoldv1.Survey {
		close(begun)
		<-ctx.Done() // as long as there is the stream
		return &leftfoldv1.Survey{}
	}
	o := r.dial(1)
	<-begun
	o.Ping(1)
	o.Until("the pong", func(s *controltest.Seen) bool { return len(s.Pongs) == 1 })
	r.service.ReportShard(report(1, serving, 1))
	o.Shard("account", 1, serving)
}

// Both ends keep room for a stream's largest message while the stream lasts.
func TestASurveyOfManyShardsComesInPartsOfWhichNoneIsLarge(t *testing.T) {
	r := newRig(t)
	const shards = 10_000
	r.pod.survey = func(context.Context) *leftfoldv1.Survey {
		survey := &leftfoldv1.Survey{Members: []*leftfoldv1.SurveyedMember{{Incarnation: "i-1"}}}
		for number := range int32(shards) {
			survey.Shards = append(survey.Shards, &leftfoldv1.SurveyedShard{
				Shard: control.Shard{Aggregate: "account", Number: number}.Message(), Epoch: 1,
				Owner: "bank-7f9c6d5b8-x2x4z-0123456789abcdef", Address: "10.244.100.100:8082",
			})
		}
		return survey
	}
	o := r.dial(1)
	seen := o.Until("the survey", func(s *controltest.Seen) bool { return s.Surveys == 1 })
	if len(seen.Survey.GetShards()) != shards || len(seen.Survey.GetMembers()) != 1 {
		t.Fatalf("the survey has %d shards and %d members", len(seen.Survey.GetShards()), len(seen.Survey.GetMembers()))
	}
	for i, row := range seen.Survey.GetShards() {
		if row.GetShard().GetNumber() != int32(i) {
			t.Fatalf("row %d is shard %d", i, row.GetShard().GetNumber())
		}
	}
	if most := 64 << 10; seen.LargestPart > most {
		t.Errorf("a message has %d bytes, at most %d are wanted", seen.LargestPart, most)
	}
}

func TestALeaderOfALowerTermIsRefusedAndToldWhichWasSeen(t *testing.T) {
	r := newRig(t)
	now := r.dial(7)
	now.Until("the welcome", func(s *controltest.Seen) bool { return s.Welcome != nil })
	err := r.dial(6).Ended()
	if code(err) != connect.CodeFailedPrecondition {
		t.Fatalf("the old leader got %v", err)
	}
	var failure *connect.Error
	if !errors.As(err, &failure) || len(failure.Details()) != 1 {
		t.Fatalf("no detail in %v", err)
	}
	detail, err := failure.Details()[0].Value()
	if seen, ok := detail.(*leftfoldv1.TermSeen); err != nil || !ok || seen.GetTerm() != 7 {
		t.Errorf("the detail is %v, %v", detail, err)
	}
	now.Ping(1)
	now.Until("a pong on the stream of the higher term", func(s *controltest.Seen) bool { return len(s.Pongs) == 1 })
}

func TestANewerStreamTakesTheOlderOnesPlace(t *testing.T) {
	for name, term := range map[string]int64{"of the same term": 7, "of a higher term": 8} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			old := r.dial(7)
			old.Until("the welcome", func(s *controltest.Seen) bool { return s.Welcome != nil })
			r.service.ReportShard(report(1, serving, 3))
			newer := r.dial(term)
			newer.Shard("account", 1, serving)
			if err := old.Ended(); code(err) != connect.CodeAborted {
				t.Errorf("the older stream ended with %v", err)
			}
			newer.Grant("account", 2, 1)
			r.wantAsked("grant account/2 1")
		})
	}
}

func TestTheTermHoldsAfterItsStreamHasEnded(t *testing.T) {
	r := newRig(t)
	o := r.dial(7)
	o.Until("the welcome", func(s *controltest.Seen) bool { return s.Welcome != nil })
	o.Close()
	if err := r.dial(6).Ended(); code(err) != connect.CodeFailedPrecondition {
		t.Errorf("a lower term got %v", err)
	}
	r.dial(7).Until("the welcome", func(s *controltest.Seen) bool { return s.Welcome != nil })
}

func TestAHelloForAnotherPodIsRefusedAndChangesNothing(t *testing.T) {
	r := newRig(t)
	o := r.dial(1)
	o.Until("the welcome", func(s *controltest.Seen) bool { return s.Welcome != nil })
	if err := r.dialAs(identity.OperatorName, 99, "uid-2").Ended(); code(err) != connect.CodeNotFound {
		t.Errorf("a hello for another pod got %v", err)
	}
	o.Ping(1)
	o.Until("a pong on the stream of before", func(s *controltest.Seen) bool { return len(s.Pongs) == 1 })
}

func TestAPeerThatIsNotTheOperatorGetsNothing(t *testing.T) {
	r := newRig(t)
	if err := r.dialAs(podName, 1, podUID).Ended(); code(err) != connect.CodePermissionDenied {
		t.Errorf("a pod that plays the operator got %v", err)
	}
	stranger := controltest.NewAuthority(t)
	o := controltest.Dial(t, r.address, identity.ClientConfig(stranger.Identity(identity.OperatorName), podName), 1, podUID)
	if err := o.Ended(); err == nil || o.Seen().Welcome != nil {
		t.Errorf("a stranger's certificate got %v", err)
	}
	if !r.service.Heard().IsZero() {
		t.Error("one of them counts as an operator")
	}
}

func TestAStreamThatDoesNotBeginWithHelloIsRefused(t *testing.T) {
	r := newRig(t)
	o := r.dial(1)
	o.Until("the welcome", func(s *controltest.Seen) bool { return s.Welcome != nil })
	raw := controltest.Open(t, r.address, identity.ClientConfig(r.authority.Identity(identity.OperatorName), podName))
	raw.Ping(1)
	if err := raw.Ended(); code(err) != connect.CodeInvalidArgument {
		t.Errorf("a stream without hello got %v", err)
	}
}

// A leader that does not read fills the connection's windows; what is reported
// meanwhile must neither block the pod nor pile up.
func TestASlowReaderGetsTheNewestStateOfEachShardWhenItReadsAgain(t *testing.T) {
	r := newRig(t)
	o := controltest.Open(t, r.address, identity.ClientConfig(r.authority.Identity(identity.OperatorName), podName))
	resume := o.Hesitate()
	o.Hello(1, podUID)
	const reports = 200_000 // some 4 MB, of which the windows hold a few hundred kB
	for epoch := range int64(reports) {
		for number := range int32(2) {
			r.service.ReportShard(report(number, serving, epoch))
		}
	}
	resume()
	seen := o.Until("the last epoch of both shards", func(s *controltest.Seen) bool {
		for number := range int32(2) {
			if s.Shards[control.Shard{Aggregate: "account", Number: number}].GetEpoch() != reports-1 {
				return false
			}
		}
		return true
	})
	if len(seen.History) == 2*reports {
		t.Error("every report was sent: the reader was not slow, so the test shows nothing")
	}
}

func TestClosingEndsStreamsAndRefusesNewOnes(t *testing.T) {
	r := newRig(t)
	o := r.dial(1)
	o.Until("the welcome", func(s *controltest.Seen) bool { return s.Welcome != nil })
	r.service.Close()
	if err := o.Ended(); code(err) != connect.CodeUnavailable {
		t.Errorf("the stream ended with %v", err)
	}
	if err := r.dial(2).Ended(); code(err) != connect.CodeUnavailable {
		t.Errorf("a new stream got %v", err)
	}
	r.service.Close() // twice is as good as once
}
