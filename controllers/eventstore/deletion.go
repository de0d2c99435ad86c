package eventstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/leftfold/leftfold/api/postgres"
	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/controllers/internal/apply"
	"github.com/leftfold/leftfold/controllers/internal/status"
)

// Reasons of events about an EventStore that is being deleted.
const (
	eventDataDropped = "DataDropped"
	eventDataKept    = "DataKept"
	eventDataLeft    = "DataLeft"
)

// farewell is how the deletion of an EventStore stands.
type farewell struct {
	// waits says what it waits for, and until when; empty when it is over.
	waits string
	again time.Duration
	// event, with a reason and words, tells how it ended. Empty: nothing to tell.
	kind, event, words string
}

func over(event, words string, args ...any) farewell {
	kind := corev1.EventTypeNormal
	if event == eventDataLeft {
		kind = corev1.EventTypeWarning
	}
	return farewell{kind: kind, event: event, words: fmt.Sprintf(words, args...)}
}

// leave settles what happens to the data, and lets the EventStore go.
func (s *scope) leave(ctx context.Context) (time.Duration, error) {
	if !controllerutil.ContainsFinalizer(s.store, Finalizer) {
		return 0, nil // somebody else's finalizer keeps it
	}
	settle := s.leavePostgres
	if s.store.Spec.SQLite != nil {
		settle = s.leaveSQLite
	}
	end, err := settle(ctx)
	switch {
	case err != nil:
		return 0, err
	case end.waits != "":
		return end.again, s.say(ctx, status.Progressing(v1alpha1.ReasonDeleting, end.waits))
	}
	if end.event != "" {
		log.FromContext(ctx).Info("settled the data of an event store that is being deleted", "outcome", end.event, "message", end.words)
		s.events.Eventf(s.store, nil, end.kind, end.event, "Delete", "%s", end.words)
	}
	controllerutil.RemoveFinalizer(s.store, Finalizer)
	if err := s.patch(ctx); client.IgnoreNotFound(err) != nil {
		return 0, fmt.Errorf("remove the finalizer: %w", err)
	}
	return 0, nil
}

// leavePostgres drops the schema, or takes the mark off it.
func (s *scope) leavePostgres(ctx context.Context) (farewell, error) {
	if s.store.Status.Version == "" {
		return farewell{}, nil // no database ever answered, so that nothing can be there
	}
	config, unusable, err := s.connection(ctx)
	if err != nil {
		return farewell{}, err
	}
	if config == nil {
		return over(eventDataLeft, "The database was not asked, and the data in schema %q are left: %s %s", s.schema(), unusable.Message, s.howToTakeOver()), nil
	}
	db, err := s.open(ctx, config)
	if err == nil {
		defer db.Close()
		if s.keeps() {
			return s.release(ctx, db)
		}
		return s.drop(ctx, db)
	}
	return s.afterTrouble(err), nil
}

// release leaves the data to whichever EventStore names the schema next.
func (s *scope) release(ctx context.Context, db *postgres.Database) (farewell, error) {
	ctx, cancel := context.WithTimeout(ctx, visitTimeout)
	defer cancel()
	released, err := db.Release(ctx, s.owner())
	switch {
	case err != nil:
		return s.afterTrouble(err), nil
	case released:
		return over(eventDataKept, "The data in schema %q are kept; an EventStore that names it finds them.", s.schema()), nil
	}
	return farewell{}, nil // it was not this one's
}

func (s *scope) drop(ctx context.Context, db *postgres.Database) (farewell, error) {
	ctx, cancel := context.WithTimeout(ctx, dropTimeout)
	defer cancel()
	dropped, err := db.Drop(ctx, s.owner())
	var living *postgres.LivingError
	switch {
	case errors.As(err, &living):
		return farewell{again: livingPause, waits: fmt.Sprintf(
			"Schema %q is dropped when no pod uses it; pods of Runtime %s do. Delete that Runtime, or change spec.deletionPolicy to Retain.",
			s.schema(), strings.Join(living.Runtimes, ", "))}, nil
	case err != nil:
		return s.afterTrouble(err), nil
	case dropped:
		return over(eventDataDropped, "Schema %q is dropped, with all its events.", s.schema()), nil
	}
	return farewell{}, nil // it was not this one's
}

// afterTrouble with the database: data that are to go are waited for, those that
// stay only for a while.
func (s *scope) afterTrouble(err error) farewell {
	why := verdictOf(err, s.cluster).Message
	switch {
	case !s.keeps():
		return farewell{again: retryPause(s.before.Status.Conditions, s.now), waits: fmt.Sprintf(
			"Schema %q is to be dropped. %s To leave the data, change spec.deletionPolicy to Retain.", s.schema(), why)}
	case s.now.Sub(s.store.DeletionTimestamp.Time) < markTimeout:
		return farewell{again: soonest, waits: fmt.Sprintf("The mark of this EventStore is to be taken off schema %q. %s", s.schema(), why)}
	}
	return over(eventDataLeft, "The data in schema %q are kept, and so is the mark of this EventStore: %s %s", s.schema(), why, s.howToTakeOver())
}

// howToTakeOver is for who wants the schema after this EventStore.
func (s *scope) howToTakeOver() string {
	return fmt.Sprintf("An EventStore of another name or cluster that is to use it needs the annotation %s=%s.",
		v1alpha1.AnnotationTakeOverSchema, s.owner())
}

// leaveSQLite deletes the volume, or takes the EventStore off it. Kubernetes keeps
// a deleted volume until no pod mounts it.
func (s *scope) leaveSQLite(ctx context.Context) (farewell, error) {
	volume, err := s.volume(ctx)
	if err != nil || volume == nil || volume.Labels[v1alpha1.LabelEventStore] != s.store.Name {
		return farewell{}, err
	}
	if s.keeps() {
		if !volume.DeletionTimestamp.IsZero() {
			return farewell{}, nil // somebody has deleted it
		}
		if _, err := apply.Object(ctx, s.client, s.live, &corev1.PersistentVolumeClaim{}, claim(s.store, volume, true)); err != nil {
			return farewell{}, err
		}
		return over(eventDataKept, "PersistentVolumeClaim %q is kept; an EventStore of this name finds the data.", volume.Name), nil
	}
	err = s.client.Delete(ctx, volume, client.Preconditions{UID: &volume.UID})
	if client.IgnoreNotFound(err) != nil {
		return farewell{}, fmt.Errorf("delete PersistentVolumeClaim %s: %w", volume.Name, err)
	}
	return over(eventDataDropped, "PersistentVolumeClaim %q is deleted, with all its events.", volume.Name), nil
}
