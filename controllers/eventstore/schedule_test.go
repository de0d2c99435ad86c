package eventstore

import (
	"errors"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/leftfold/leftfold/api/postgres"
	"github.com/leftfold/leftfold/api/v1alpha1"
)

func TestADatabaseIsAskedAgainAfterAQuarterOfTheTimeThatItHasBeenAway(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	since := func(ago time.Duration, ready metav1.ConditionStatus) []metav1.Condition {
		return []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: ready, LastTransitionTime: metav1.NewTime(now.Add(-ago))}}
	}
	for name, test := range map[string]struct {
		conditions []metav1.Condition
		least      time.Duration
	}{
		"soon, the first time":                 {nil, time.Second},
		"soon, when it was ready until now":    {since(time.Hour, metav1.ConditionTrue), time.Second},
		"soon, in the first seconds":           {since(3*time.Second, metav1.ConditionFalse), time.Second},
		"after a while":                        {since(40*time.Second, metav1.ConditionFalse), 10 * time.Second},
		"every minute, for as long as it is":   {since(time.Hour, metav1.ConditionFalse), time.Minute},
		"soon, when the clock was turned back": {since(-time.Hour, metav1.ConditionFalse), time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			for range 100 {
				if got := retryPause(test.conditions, now); got < test.least || got > test.least*5/4 {
					t.Fatalf("the pause is %v; want %v to a quarter more", got, test.least)
				}
			}
		})
	}
	for range 100 {
		if got := steadyPause(); got < 30*time.Second || got > time.Minute {
			t.Fatalf("the pause of a database that is ready is %v", got)
		}
	}
}

func TestTheSameTroubleGivesTheSameWords(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"a socket's own port is left out": {
			"read tcp 10.0.0.7:43210->10.0.0.9:5432: i/o timeout", "read tcp 10.0.0.9:5432: i/o timeout"},
		"of IPv6 as well": {
			"read tcp [fd00::7]:43210->[fd00::9]:5432: i/o timeout", "read tcp [fd00::9]:5432: i/o timeout"},
		"lines are joined": {
			"failed to connect:\n\thost a: refused\n\thost b: refused", "failed to connect: host a: refused host b: refused"},
		"all else stays": {"lookup db.invalid: no such host", "lookup db.invalid: no such host"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := lasting(test.text); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestOnlyWhatWaitingMayMendIsWaitedFor(t *testing.T) {
	for name, test := range map[string]struct {
		err     error
		reason  string
		stalled bool
	}{
		"no answer":             {errors.New("refused"), v1alpha1.ReasonStoreUnreachable, false},
		"a server that loses":   {fmt.Errorf("connect: %w", postgres.ErrUnsuitable), v1alpha1.ReasonStoreUnsuitable, true},
		"a newer release":       {fmt.Errorf("migrate: %w", postgres.ErrSchemaTooNew), v1alpha1.ReasonSchemaTooNew, true},
		"another's schema":      {&postgres.InUseError{Schema: "s", Owner: "c/n/m"}, v1alpha1.ReasonSchemaInUse, true},
		"a schema that is used": {&postgres.LivingError{Schema: "s"}, v1alpha1.ReasonStoreUnreachable, false},
	} {
		t.Run(name, func(t *testing.T) {
			v := verdictOf(test.err, thisCluster)
			if v.Reason != test.reason || v.IsStalled() != test.stalled {
				t.Errorf("got %+v; want %s, stalled %v", v, test.reason, test.stalled)
			}
		})
	}
}
