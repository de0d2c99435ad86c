package eventstore

import (
	"math/rand/v2"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// When to look again at what cannot be watched.
const (
	// steady is the least time between two looks at a database that is ready; the
	// most is twice that, so that stores that were made together drift apart.
	steady = 30 * time.Second
	// soonest and latest bound the time between two looks at one that is not.
	soonest, latest = time.Second, time.Minute
	// livingPause is between two looks at who still uses a schema that is to be
	// dropped.
	livingPause = 2 * time.Second
	// conflictPause lets the cache learn what the server has.
	conflictPause = 200 * time.Millisecond
)

// How long databases are given.
const (
	// visitTimeout bounds connecting and every question.
	visitTimeout = 10 * time.Second
	// migrateTimeout bounds a migration, which may have to wait for another
	// process's and to make an index over a long log.
	migrateTimeout = 15 * time.Minute
	// dropTimeout bounds a drop, which removes the files of every table.
	dropTimeout = 2 * time.Minute
	// markTimeout is how long a deletion that leaves the data waits for a database
	// that does not answer, to take the mark off.
	markTimeout = 30 * time.Second
)

// steadyPause is before the next look at a database that is ready.
func steadyPause() time.Duration { return steady + rand.N(steady) }

// retryPause is before the next look at a database that is not ready: about a
// quarter of the time for which it has not been, so that an outage is over within
// a quarter more than it lasted.
func retryPause(conditions []metav1.Condition, now time.Time) time.Duration {
	pause := soonest
	if ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady); ready != nil && ready.Status == metav1.ConditionFalse {
		pause = min(max(now.Sub(ready.LastTransitionTime.Time)/4, soonest), latest)
	}
	return pause + rand.N(pause/4)
}
