package server

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
	"github.com/leftfold/leftfold/runtime/control"
	"github.com/leftfold/leftfold/runtime/projection"
)

// surveyTimeout bounds a survey as a whole; a leader that knows nothing of the
// store for longer acts on what the pods tell.
const surveyTimeout = 5 * time.Second

// Survey implements control.Pod.
func (p *pod) Survey(ctx context.Context) *leftfoldv1.Survey {
	ctx, cancel := context.WithTimeout(ctx, surveyTimeout)
	defer cancel()
	survey := &leftfoldv1.Survey{}
	for _, part := range []func(context.Context, *leftfoldv1.Survey) error{p.surveyShards, p.surveyMembers, p.surveyProjections} {
		if err := part(ctx, survey); err != nil {
			return &leftfoldv1.Survey{Error: err.Error()}
		}
	}
	return survey
}

func (p *pod) surveyShards(ctx context.Context, survey *leftfoldv1.Survey) error {
	for _, name := range p.w.names() {
		a := p.w.aggregate(name)
		if a == nil {
			continue // deleted meanwhile
		}
		rows, err := p.w.store.Shards(ctx, a.id)
		if err != nil {
			return fmt.Errorf("list the shards of %s: %w", name, err)
		}
		for _, row := range rows {
			p.learn(control.Shard{Aggregate: name, Number: row.Shard.Number}, row)
			survey.Shards = append(survey.Shards, &leftfoldv1.SurveyedShard{
				Shard:     control.Shard{Aggregate: name, Number: row.Shard.Number}.Message(),
				FirstSlot: int32(row.Slots.First), LastSlot: int32(row.Slots.Last),
				Epoch: row.Epoch, Owner: string(row.Owner), Address: row.Address,
			})
		}
	}
	return nil
}

func (p *pod) surveyMembers(ctx context.Context, survey *leftfoldv1.Survey) error {
	members, err := p.w.store.Members(ctx)
	if err != nil {
		return fmt.Errorf("list the members: %w", err)
	}
	if !p.w.shared {
		// Nobody but this process can have the store open.
		survey.Members = append(survey.Members, &leftfoldv1.SurveyedMember{
			Incarnation: string(p.w.self), Address: p.w.member.address, Age: durationpb.New(0),
		})
	}
	for _, m := range members {
		if m.Runtime == p.w.member.runtime {
			survey.Members = append(survey.Members, &leftfoldv1.SurveyedMember{
				Incarnation: string(m.Incarnation), Address: m.Address, Age: durationpb.New(m.Age),
			})
		}
	}
	return nil
}

func (p *pod) surveyProjections(ctx context.Context, survey *leftfoldv1.Survey) error {
	for _, name := range p.w.projections.names() {
		status, err := p.w.projections.manager.Status(ctx, name)
		if err != nil {
			return fmt.Errorf("read the status of projection %s: %w", name, err)
		}
		position, err := status.Position.Encode()
		if err != nil {
			position = "" // too long: the lag tells enough
		}
		survey.Projections = append(survey.Projections, &leftfoldv1.SurveyedProjection{
			Name: name, Table: status.Relation, Position: position,
			LagEvents: status.LagEvents, Lag: durationpb.New(status.Lag), Quarantined: int64(len(status.Parked)),
			Paused: status.State == projection.Paused, Rebuilding: status.Next != 0,
		})
	}
	return nil
}
