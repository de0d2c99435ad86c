package projection

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/leftfold/leftfold/api/declaration"
	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/controllers/internal/status"
)

// A projection follows writes, so under load it always lags by some events; their
// age tells whether it follows. It has caught up when the oldest of them is younger
// than freshAfter, and does not follow any more beyond staleAfter: apart, so that
// load alone does not make Ready come and go.
const (
	freshAfter = 5 * time.Second
	staleAfter = time.Minute
)

// judge says how the Projection fares. The most telling comes first: what is wrong
// with the declaration, then what keeps it from being taken up, then its table.
// nil: nothing new is known, and what the status says may well still be so.
func judge(s *scope) *status.Verdict {
	if problem, wrong := declaration.FirstError(s.problems); wrong {
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
			fmt.Sprintf("no pod of Runtime %q has told of this Projection yet", s.runtime)))
	case !s.served:
		return verdict(status.Progressing(v1alpha1.ReasonRuntimeNotReady, fmt.Sprintf("no pod of Runtime %q is ready", s.runtime)))
	case d == nil || d.Observed < generation:
		return verdict(status.Progressing(v1alpha1.ReasonProgressing,
			fmt.Sprintf("the pods of Runtime %q have not taken up generation %d yet", s.runtime, generation)))
	case d.Reason != "" && mayPass(d.Reason):
		return verdict(status.Progressing(d.Reason, d.Message))
	case d.Reason != "":
		return verdict(status.Stalled(d.Reason, d.Message))
	}
	return judgeTable(s)
}

func verdict(v status.Verdict) *status.Verdict { return &v }

// told: the status speaks of the present generation already.
func told(s *scope) bool {
	return s.object.Status.ObservedGeneration == s.object.Generation &&
		meta.FindStatusCondition(s.object.Status.Conditions, v1alpha1.ConditionReady) != nil
}

// mayPass: the reason goes away without a change of the object.
func mayPass(reason string) bool {
	return slices.Contains([]string{
		v1alpha1.ReasonProgressing, v1alpha1.ReasonAggregateNotFound, v1alpha1.ReasonAggregateNotReady, v1alpha1.ReasonRuntimeNotFound,
		v1alpha1.ReasonStoreNotFound, v1alpha1.ReasonStoreNotReady, v1alpha1.ReasonStoreUnreachable,
	}, reason)
}

// judgeTable says how the table is.
func judgeTable(s *scope) *status.Verdict {
	p := s.progress
	switch {
	case p == nil:
		return verdict(status.Progressing(v1alpha1.ReasonProgressing, "the table is not there yet"))
	case p.Paused:
		return verdict(status.NotReady(v1alpha1.ReasonPaused, fmt.Sprintf("somebody paused it; leftfold projection resume %s goes on", s.object.Name)))
	case p.Quarantined > 0:
		return verdict(status.NotReady(v1alpha1.ReasonEntitiesQuarantined,
			fmt.Sprintf("events of %d entities could not be applied, so those entities are parked and all others go on; mend the rules, or leftfold projection retry %s", p.Quarantined, s.object.Name)))
	case p.Rebuilding:
		return verdict(status.Progressing(v1alpha1.ReasonRebuilding, "a table of the changed definition is being built beside the one that serves"))
	case s.definition.Accepted < s.object.Generation:
		return verdict(status.Progressing(v1alpha1.ReasonProgressing,
			fmt.Sprintf("generation %d is taken up by some pods, %d still by others", s.object.Generation, s.definition.Accepted)))
	case p.Lag > staleAfter || p.Lag > freshAfter && !wasReady(s):
		return verdict(status.Progressing(v1alpha1.ReasonCatchingUp, "it reads events that it has not seen; status.lagEvents tells how many are left"))
	}
	return verdict(status.Ready(fmt.Sprintf("table %s follows", p.Table)))
}

// wasReady: it had caught up with the present generation before.
func wasReady(s *scope) bool {
	return told(s) && meta.IsStatusConditionTrue(s.object.Status.Conditions, v1alpha1.ConditionReady)
}
