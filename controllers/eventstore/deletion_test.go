package eventstore

import (
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/leftfold/leftfold/api/postgres"
	"github.com/leftfold/leftfold/api/postgres/pgtest"
	"github.com/leftfold/leftfold/api/v1alpha1"
)

const nowhere = "postgres://u:" + password + "@127.0.0.1:1/d"

// inUse is an EventStore that is Ready on a schema with an aggregate in it.
func inUse(t *testing.T, options ...option) (*rig, string) {
	t.Helper()
	r, schema := newRig(t), pgtest.Schema(t)
	r.secret(t, "uri", pgtest.URL(t))
	r.onPostgres(t, schema, options...)
	r.look(t)
	wantReason(t, r.get(t), "Ready", status.CurrentStatus)
	run(t, schema, "INSERT INTO aggregate (name, shards) VALUES ('account', 4)")
	return r, schema
}

// beat makes the heartbeats of a pod that old.
func beat(t *testing.T, schema string, age time.Duration) {
	t.Helper()
	run(t, schema, `INSERT INTO member VALUES ('a', 'bank', '', clock_timestamp() - $1::interval)
		ON CONFLICT (incarnation) DO UPDATE SET heartbeat = excluded.heartbeat`, age)
}

func (r *rig) deleteSecret(t *testing.T) {
	t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: "bank-db"}}
	if err := cluster.Delete(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) wantGone(t *testing.T, event string) {
	t.Helper()
	if store := r.get(t); store != nil {
		t.Fatalf("it is still there, with %+v", store.Status.Conditions)
	}
	if said := r.events.reasons(); event != "" && said[len(said)-1] != event {
		t.Errorf("the events are %v, want %q at the end", said, event)
	}
	if strings.Contains(r.events.text(), password) {
		t.Errorf("the password is told: %s", r.events.text())
	}
}

// wantWaiting: it is being deleted, and says what it waits for.
func (r *rig) wantWaiting(t *testing.T, words ...string) {
	t.Helper()
	store := r.get(t)
	if store == nil {
		t.Fatal("it is gone")
	}
	wantReason(t, store, "Deleting", status.TerminatingStatus)
	for _, w := range words {
		if !strings.Contains(messageOf(store), w) {
			t.Errorf("the message is %q; want %q in it", messageOf(store), w)
		}
	}
	if strings.Contains(messageOf(store), password) {
		t.Errorf("the password is told: %s", messageOf(store))
	}
	// A second look finds the same, and writes nothing.
	if again := r.look(t); again.RequeueAfter == 0 {
		t.Error("nobody would look again")
	}
	if second := r.get(t); second.ResourceVersion != store.ResourceVersion {
		t.Error("a second look wrote something")
	}
}

func TestRetainKeepsTheDataForWhomeverNamesTheSchemaNext(t *testing.T) {
	for name, next := range map[string]option{
		"for an EventStore of the same name": named("bank"),
		"for one of another name":            named("savings"),
	} {
		t.Run(name, func(t *testing.T) {
			r, schema := inUse(t)
			beat(t, schema, 0) // Retain waits for no pod
			r.remove(t)
			r.look(t)
			r.wantGone(t, "Normal DataKept")
			store := &v1alpha1.EventStore{}
			next(store)
			r.onPostgres(t, schema, next)
			r.lookAt(t, store.Name)
			wantReason(t, r.get(t, store.Name), "Ready", status.CurrentStatus)
			if !is(t, schema, "SELECT count(*) = 1 FROM aggregate") {
				t.Error("the data are gone")
			}
		})
	}
}

func TestRetainWaitsForADatabaseOnlyForAWhile(t *testing.T) {
	r, _ := inUse(t)
	r.secret(t, "uri", nowhere)
	r.remove(t)
	r.look(t)
	r.wantWaiting(t, "mark", "refused")
	store := r.get(t)
	s := &scope{Reconciler: r.Reconciler, store: store, before: store.DeepCopy(), now: store.DeletionTimestamp.Add(markTimeout)}
	if _, err := s.leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.wantGone(t, "Warning DataLeft")
	if want := "leftfold.io/take-over-schema=" + thisCluster + "/" + r.namespace + "/bank"; !strings.Contains(r.events.text(), want) {
		t.Errorf("nobody is told of %s:\n%s", want, r.events.text())
	}
}

func TestDeleteDropsTheSchema(t *testing.T) {
	r, schema := inUse(t, deletes)
	r.remove(t)
	r.look(t)
	r.wantGone(t, "Normal DataDropped")
	if schemaExists(t, schema) {
		t.Error("the schema is still there")
	}
}

func TestDeleteWaitsUntilNoPodUsesTheSchema(t *testing.T) {
	r, schema := inUse(t, deletes)
	beat(t, schema, 0)
	r.remove(t)
	r.look(t)
	r.wantWaiting(t, "Runtime bank", "Retain")
	if !is(t, schema, "SELECT count(*) = 1 FROM aggregate") {
		t.Fatal("the data are gone")
	}
	beat(t, schema, time.Minute)
	r.look(t)
	r.wantGone(t, "Normal DataDropped")
	if schemaExists(t, schema) {
		t.Error("the schema is still there")
	}
}

func TestDeleteEndsWhateverHappens(t *testing.T) {
	retain := func(s *v1alpha1.EventStore) { s.Spec.DeletionPolicy = v1alpha1.DeletionRetain }
	for name, test := range map[string]struct {
		trouble func(*testing.T, *rig, string) // before the deletion
		waits   []string                       // what it says then; empty: it does not wait
		remedy  func(*testing.T, *rig)
		event   string
		kept    bool
	}{
		"when the Secret has gone before it": {
			trouble: func(t *testing.T, r *rig, _ string) { r.deleteSecret(t) },
			event:   "Warning DataLeft", kept: true},
		"when the Secret goes while pods use the schema": {
			trouble: func(t *testing.T, r *rig, schema string) { beat(t, schema, 0) },
			waits:   []string{"Runtime bank"}, remedy: func(t *testing.T, r *rig) { r.deleteSecret(t) },
			event: "Warning DataLeft", kept: true},
		"when the Secret is broken": {
			trouble: func(t *testing.T, r *rig, _ string) { r.secret(t, "uri", password) },
			event:   "Warning DataLeft", kept: true},
		"when the policy becomes Retain while pods use the schema": {
			trouble: func(t *testing.T, _ *rig, schema string) { beat(t, schema, 0) },
			waits:   []string{"Retain"}, remedy: func(t *testing.T, r *rig) { r.change(t, retain) },
			event: "Normal DataKept", kept: true},
		"when the database is away and the Secret goes": {
			trouble: func(t *testing.T, r *rig, _ string) { r.secret(t, "uri", nowhere) },
			waits:   []string{"refused", "Retain"}, remedy: func(t *testing.T, r *rig) { r.deleteSecret(t) },
			event: "Warning DataLeft", kept: true},
		"when the database is away and comes back": {
			trouble: func(t *testing.T, r *rig, _ string) { r.secret(t, "uri", nowhere) },
			waits:   []string{"refused"}, remedy: func(t *testing.T, r *rig) { r.secret(t, "uri", pgtest.URL(t)) },
			event: "Normal DataDropped"},
		"when the database may not be written": {
			trouble: func(t *testing.T, r *rig, _ string) {
				r.secret(t, "uri", with(t, "default_transaction_read_only=on"))
			},
			waits: []string{"transaction_read_only"}, remedy: func(t *testing.T, r *rig) { r.secret(t, "uri", pgtest.URL(t)) },
			event: "Normal DataDropped"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, schema := inUse(t, deletes)
			test.trouble(t, r, schema)
			r.remove(t)
			r.look(t)
			if test.waits != nil {
				r.wantWaiting(t, test.waits...)
				test.remedy(t, r)
				r.look(t)
			}
			r.wantGone(t, test.event)
			if kept := schemaExists(t, schema); kept != test.kept {
				t.Errorf("the schema is there: %v, want %v", kept, test.kept)
			}
		})
	}
}

func TestAnEventStoreThatNeverHadItsSchemaLeavesItAlone(t *testing.T) {
	other := postgres.Owner{Cluster: "cluster-2", Namespace: "team", Name: "bank"}
	for name, test := range map[string]struct {
		url    string
		reason string
	}{
		"as its database never answered": {nowhere, "StoreUnreachable"},
		"as the schema is another's":     {pgtest.URL(t), "SchemaInUse"},
	} {
		t.Run(name, func(t *testing.T) {
			r, schema := newRig(t), pgtest.Schema(t)
			belongsTo(t, schema, other)
			r.secret(t, "uri", test.url)
			r.onPostgres(t, schema, deletes)
			r.look(t)
			if message := messageOf(r.get(t)); message == "" {
				t.Fatal("it was not looked at")
			}
			r.remove(t)
			r.look(t)
			r.wantGone(t, "")
			if !is(t, schema, "SELECT owner = $1 FROM owner", other.String()) {
				t.Error("the schema is not the other's any more")
			}
		})
	}
}

func TestAnEventStoreThatWasNeverLookedAtGoesAtOnce(t *testing.T) {
	r := newRig(t)
	r.onPostgres(t, pgtest.Schema(t), deletes)
	r.remove(t)
	r.look(t)
	r.wantGone(t, "")
}

func TestAnotherFinalizerIsNotOurs(t *testing.T) {
	const theirs = "example.test/backup"
	r, schema := inUse(t, deletes)
	r.change(t, func(s *v1alpha1.EventStore) { s.Finalizers = append(s.Finalizers, theirs) })
	r.remove(t)
	r.look(t)
	r.look(t)
	if store := r.get(t); store == nil || strings.Join(store.Finalizers, " ") != theirs {
		t.Fatalf("what is left: %+v", store)
	}
	if schemaExists(t, schema) {
		t.Error("the schema is still there")
	}
	r.change(t, func(s *v1alpha1.EventStore) { s.Finalizers = nil })
	r.wantGone(t, "Normal DataDropped")
}
