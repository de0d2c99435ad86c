package aggregate

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/leftfold/leftfold/api/declaration"
	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/controllers/internal/status"
	"github.com/leftfold/leftfold/controllers/shard"
)

// judge says how the Aggregate fares. The most telling comes first: what is wrong
// with the declaration, then what keeps it from being taken up, then its shards.
// nil: nothing new is known, and what the status says may well still be so.
func judge(s *scope) *status.Verdict {
	if problem, wrong := declaration.FirstError(problems(s)); wrong {
		if problem.Waits == "" {
			return verdict(status.Stalled(problem.Reason, problem.String()))
		}
		return verdict(status.Progressing(problem.Reason, problem.String()))
	}
	generation := s.object.Generation
	switch d := s.definition; {
	case !s.seen && told(s):
		return nil // an operator that has just begun to lead
	case !s.seen:
		return verdict(status.Progressing(v1alpha1.ReasonRuntimeNotReady,
			fmt.Sprintf("no pod of Runtime %q has told of this Aggregate yet", s.runtime.Name)))
	case !slices.ContainsFunc(s.view.Members, func(m shard.Member) bool { return m.Ready }):
		return verdict(status.Progressing(v1alpha1.ReasonRuntimeNotReady, fmt.Sprintf("no pod of Runtime %q is ready", s.runtime.Name)))
	case d == nil || d.Observed < generation:
		return verdict(status.Progressing(v1alpha1.ReasonProgressing,
			fmt.Sprintf("the pods of Runtime %q have not taken up generation %d yet", s.runtime.Name, generation)))
	case d.Reason != "" && mayPass(d.Reason):
		return verdict(status.Progressing(d.Reason, d.Message))
	case d.Reason != "":
		return verdict(status.Stalled(d.Reason, d.Message))
	case d.Accepted < generation:
		return verdict(status.Progressing(v1alpha1.ReasonProgressing,
			fmt.Sprintf("generation %d serves on some pods, %d still on others", generation, d.Accepted)))
	}
	return judgeShards(s)
}

func verdict(v status.Verdict) *status.Verdict { return &v }

// problems are those of the declaration by itself, and of what it names.
func problems(s *scope) []declaration.Problem {
	n := declaration.Namespace{
		Runtimes:   map[string]*v1alpha1.Runtime{},
		Aggregates: map[string]*v1alpha1.Aggregate{s.object.Name: s.object},
	}
	if s.runtime != nil {
		n.Runtimes[s.runtime.Name] = s.runtime
	}
	_, found := n.Aggregate(s.object.Name)
	return found
}

// told: the status speaks of the present generation already.
func told(s *scope) bool {
	return s.object.Status.ObservedGeneration == s.object.Generation &&
		meta.FindStatusCondition(s.object.Status.Conditions, v1alpha1.ConditionReady) != nil
}

// mayPass: the reason goes away without a change of the object.
func mayPass(reason string) bool {
	return slices.Contains([]string{
		v1alpha1.ReasonProgressing, v1alpha1.ReasonRuntimeNotFound, v1alpha1.ReasonStoreNotFound,
		v1alpha1.ReasonStoreNotReady, v1alpha1.ReasonStoreUnreachable,
	}, reason)
}

// judgeShards says whether all shards are served. One that moves from one living
// pod to another, as planned, is: callers wait for some milliseconds at most.
func judgeShards(s *scope) *status.Verdict {
	shards := s.view.ShardsOf(s.object.Name)
	for _, each := range shards {
		if each.State == shard.Stalled {
			return verdict(status.Stalled(each.Reason, fmt.Sprintf("shard %d %s", each.Number, each.Stall())))
		}
	}
	if n := owned(s); int(n) < len(shards) || len(shards) == 0 {
		return verdict(status.Progressing(v1alpha1.ReasonShardsNotOwned,
			fmt.Sprintf("%d of %d shards are served", n, max(len(shards), int(s.object.Spec.Shards)))))
	}
	return verdict(status.Ready(fmt.Sprintf("generation %d serves on %d shards", s.object.Generation, len(shards))))
}

// owned counts the shards that a pod serves.
func owned(s *scope) int32 {
	n := int32(0)
	for _, each := range s.view.ShardsOf(s.object.Name) {
		if each.State == shard.Owned || each.State == shard.HandingOff {
			n++
		}
	}
	return n
}
