package eventstore

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/leftfold/leftfold/api/postgres"
	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/controllers/internal/status"
)

// postgres looks at the database, and brings the schema to where it should be.
func (s *scope) postgres(ctx context.Context) (status.Verdict, time.Duration, error) {
	unready := func(err error) (status.Verdict, time.Duration, error) {
		return verdictOf(err, s.cluster), retryPause(s.before.Status.Conditions, s.now), nil
	}
	config, verdict, err := s.connection(ctx)
	if err != nil || config == nil {
		return verdict, 0, err // the Secret is watched
	}
	db, err := s.open(ctx, config)
	if err != nil {
		return unready(err)
	}
	defer db.Close()
	current, err := s.inspect(ctx, db)
	if err != nil {
		return unready(err)
	}
	// Told before anything is done: a status with a version says that the schema
	// may be this EventStore's, which a deletion has to know. Where the last try
	// ended Stalled there is nothing new to tell before this one has ended.
	stalled := meta.IsStatusConditionTrue(s.before.Status.Conditions, v1alpha1.ConditionStalled)
	if s.before.Status.Version == "" || !current && !stalled {
		if err := s.say(ctx, status.Progressing(v1alpha1.ReasonMigrating,
			fmt.Sprintf("The tables of schema %q are being brought up to date.", s.schema()))); err != nil {
			return status.Verdict{}, 0, err
		}
	}
	if err := s.prepare(ctx, db); err != nil {
		return unready(err)
	}
	return status.Ready(fmt.Sprintf("The database answers, and schema %q is up to date.", s.schema())), steadyPause(), nil
}

func (s *scope) schema() string { return s.store.Spec.Postgres.Schema }

// owner is this EventStore, as its schema knows it.
func (s *scope) owner() postgres.Owner {
	return postgres.Owner{Cluster: s.cluster, Namespace: s.store.Namespace, Name: s.store.Name, UID: string(s.store.UID)}
}

// connection reads the Secret. Without a configuration the verdict says why; none
// of its words are from what the Secret holds.
func (s *scope) connection(ctx context.Context) (*pgxpool.Config, status.Verdict, error) {
	reference := s.store.Spec.Postgres.ConnectionSecretRef
	var secret corev1.Secret
	err := s.live.Get(ctx, client.ObjectKey{Namespace: s.store.Namespace, Name: reference.Name}, &secret)
	if apierrors.IsNotFound(err) {
		return nil, status.Progressing(v1alpha1.ReasonSecretNotFound, fmt.Sprintf(
			"spec.postgres.connectionSecretRef: there is no Secret %q in this namespace.", reference.Name)), nil
	}
	if err != nil {
		return nil, status.Verdict{}, fmt.Errorf("read Secret %s: %w", reference.Name, err)
	}
	missing := func(why string) (*pgxpool.Config, status.Verdict, error) {
		return nil, status.Stalled(v1alpha1.ReasonSecretKeyMissing, fmt.Sprintf(
			"spec.postgres.connectionSecretRef: key %q of Secret %q %s.", reference.Key, reference.Name, why)), nil
	}
	url := string(secret.Data[reference.Key])
	switch {
	case url == "":
		return missing("is not there, or empty; it should hold a connection URI such as postgres://user:password@host:5432/database")
	case strings.TrimSpace(url) != url:
		return missing("begins or ends with a space or line break; store the connection URI without it")
	}
	config, err := postgres.ParseURL(url, postgres.Network{})
	if err != nil {
		return missing("holds no connection URI: " + err.Error())
	}
	return config, status.Verdict{}, nil
}

func (s *scope) open(ctx context.Context, config *pgxpool.Config) (*postgres.Database, error) {
	ctx, cancel := context.WithTimeout(ctx, visitTimeout)
	defer cancel()
	return postgres.Open(ctx, config, s.schema())
}

// inspect notes what the database is, makes sure that the schema can become this
// EventStore's, and tells whether it has all tables.
func (s *scope) inspect(ctx context.Context, db *postgres.Database) (current bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, visitTimeout)
	defer cancel()
	connections, err := db.Connections(ctx)
	if err != nil {
		return false, err
	}
	s.store.Status.Version = "PostgreSQL " + db.Facts().Version
	s.store.Status.Connections = ptr.To(int32(connections))
	if err := db.MayClaim(ctx, s.owner(), s.takenOver()); err != nil {
		return false, err
	}
	return db.Current(ctx)
}

// takenOver is the owner whose place this EventStore is to take.
func (s *scope) takenOver() string { return s.store.Annotations[v1alpha1.AnnotationTakeOverSchema] }

// prepare makes the tables, and the schema this EventStore's.
func (s *scope) prepare(ctx context.Context, db *postgres.Database) error {
	ctx, cancel := context.WithTimeout(ctx, migrateTimeout)
	defer cancel()
	migration, err := db.Migrate(ctx)
	if err != nil {
		return err
	}
	claimed, err := db.Claim(ctx, s.owner(), s.takenOver())
	if err != nil {
		return err
	}
	if migration.From != migration.To || claimed {
		log.FromContext(ctx).Info("prepared the schema of an event store", "schema", s.schema(),
			"from", migration.From, "to", migration.To, "claimed", claimed)
	}
	return nil
}
