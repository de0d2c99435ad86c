package eventstore

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/go-cmp/cmp"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/leftfold/leftfold/api/postgres"
	"github.com/leftfold/leftfold/api/postgres/pgtest"
)

// password stands in every connection of these tests that is not to work.
const password = "hunter-two"

// with is the URL of the tests' server with a setting for its sessions.
func with(t *testing.T, setting string) string {
	t.Helper()
	return pgtest.URL(t) + "&options=" + strings.ReplaceAll(url.QueryEscape("-c "+setting), "+", "%20")
}

// elsewhere is the URL of the tests' server for a database that it has not.
func elsewhere(t *testing.T) string {
	t.Helper()
	u, err := url.Parse(pgtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/no-such-database"
	return u.String()
}

func TestWhatIsFoundBehindAPostgresStoreBecomesItsStatus(t *testing.T) {
	const (
		watched = time.Duration(0)
		soon    = time.Second
		calm    = 30 * time.Second
	)
	other := postgres.Owner{Cluster: "cluster-2", Namespace: "team", Name: "bank"}
	neighbour := postgres.Owner{Cluster: thisCluster, Namespace: "team", Name: "shop"}
	for name, test := range map[string]struct {
		key, url string                            // of the Secret; no key: there is none
		schema   func(t *testing.T, schema string) // before the first look
		options  []option
		reason   string
		computed status.Status
		message  []string
		again    time.Duration // the least before the next look
	}{
		"a database that answers and is safe": {
			key: "uri", url: pgtest.URL(t), reason: "Ready", computed: status.CurrentStatus, message: []string{"up to date"}, again: calm},
		"no Secret": {
			reason: "SecretNotFound", computed: status.InProgressStatus, message: []string{"spec.postgres.connectionSecretRef", `"bank-db"`}, again: watched},
		"a Secret without the key": {
			key: "url", url: pgtest.URL(t), reason: "SecretKeyMissing", computed: status.FailedStatus, message: []string{`key "uri"`, `"bank-db"`}, again: watched},
		"a Secret whose key is empty": {
			key: "uri", reason: "SecretKeyMissing", computed: status.FailedStatus, message: []string{"empty"}, again: watched},
		"a Secret with something else": {
			key: "uri", url: password, reason: "SecretKeyMissing", computed: status.FailedStatus, message: []string{"no connection URI"}, again: watched},
		"a password that is not encoded": {
			key: "uri", url: "postgres://u:" + password + "@x@h/d", reason: "SecretKeyMissing", computed: status.FailedStatus, message: []string{"percent-encoded"}, again: watched},
		"a line break behind the URI": {
			key: "uri", url: pgtest.URL(t) + "\n", reason: "SecretKeyMissing", computed: status.FailedStatus, message: []string{"line break"}, again: watched},
		"no server": {
			key: "uri", url: "postgres://u:" + password + "@127.0.0.1:1/d", reason: "StoreUnreachable", computed: status.InProgressStatus, message: []string{"refused"}, again: soon},
		"no such host": {
			key: "uri", url: "postgres://u:" + password + "@db.invalid/d", reason: "StoreUnreachable", computed: status.InProgressStatus, message: []string{"db.invalid"}, again: soon},
		"no such database": {
			key: "uri", url: elsewhere(t), reason: "StoreUnreachable", computed: status.InProgressStatus, message: []string{"no-such-database"}, again: soon},
		"a server that loses what it acknowledged": {
			key: "uri", url: with(t, "synchronous_commit=off"), reason: "StoreUnsuitable", computed: status.FailedStatus,
			message: []string{"synchronous_commit is off", "ALTER ROLE ... SET synchronous_commit = on"}, again: soon},
		"a server that is read only": {
			key: "uri", url: with(t, "default_transaction_read_only=on"), reason: "StoreUnsuitable", computed: status.FailedStatus,
			message: []string{"transaction_read_only is on"}, again: soon},
		"a schema of somebody else's tables": {
			key: "uri", url: pgtest.URL(t),
			schema: func(t *testing.T, schema string) {
				run(t, schema, fmt.Sprintf("CREATE SCHEMA %s; CREATE TABLE %s.event (mine text)", schema, schema))
			},
			reason: "StoreUnsuitable", computed: status.FailedStatus, message: []string{`"event"`, "schema of its own"}, again: soon},
		"a schema of another cluster's": {
			key: "uri", url: pgtest.URL(t), schema: func(t *testing.T, schema string) { belongsTo(t, schema, other) },
			reason: "SchemaInUse", computed: status.FailedStatus,
			message: []string{"another cluster's", "leftfold.io/take-over-schema=cluster-2/team/bank"}, again: soon},
		"a schema of another EventStore here": {
			key: "uri", url: pgtest.URL(t), schema: func(t *testing.T, schema string) { belongsTo(t, schema, neighbour) },
			reason: "SchemaInUse", computed: status.FailedStatus, message: []string{"this cluster's team/shop"}, again: soon},
		"a schema whose place is taken from somebody else": {
			key: "uri", url: pgtest.URL(t), schema: func(t *testing.T, schema string) { belongsTo(t, schema, other) },
			options: []option{takesOver(neighbour.String())}, reason: "SchemaInUse", computed: status.FailedStatus, again: soon},
		"a schema that is taken over": {
			key: "uri", url: pgtest.URL(t), schema: func(t *testing.T, schema string) { belongsTo(t, schema, other) },
			options: []option{takesOver(other.String())}, reason: "Ready", computed: status.CurrentStatus, again: calm},
		"a schema of too new a release": {
			key: "uri", url: pgtest.URL(t),
			schema: func(t *testing.T, schema string) {
				if _, err := visit(t, schema).Migrate(t.Context()); err != nil {
					t.Fatal(err)
				}
				run(t, schema, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (900, true); UPDATE compatibility SET minimum_version = 800")
			},
			reason: "SchemaTooNew", computed: status.FailedStatus, message: []string{"version 900", "version 800 and later"}, again: soon},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, schema := newRig(t), pgtest.Schema(t)
			if test.schema != nil {
				test.schema(t, schema)
			}
			if test.key != "" {
				r.secret(t, test.key, test.url)
			}
			r.onPostgres(t, schema, test.options...)
			if got := r.get(t).Status.ObservedGeneration; got != -1 {
				t.Errorf("before the first look observedGeneration is %d, want -1", got)
			}
			result := r.look(t)
			first := r.get(t)
			wantReason(t, first, test.reason, test.computed)
			for _, words := range test.message {
				if !strings.Contains(messageOf(first), words) {
					t.Errorf("the message is %q; want %q in it", messageOf(first), words)
				}
			}
			if told := messageOf(first) + r.events.text(); strings.Contains(told, password) || strings.Contains(told, "\n\n") {
				t.Errorf("the password is told: %s", told)
			}
			if result.RequeueAfter < test.again || result.RequeueAfter > 2*test.again {
				t.Errorf("the next look is after %v; want %v to twice that", result.RequeueAfter, test.again)
			}
			events := len(r.events.reasons())
			r.look(t)
			if second := r.get(t); second.ResourceVersion != first.ResourceVersion || len(r.events.reasons()) != events {
				t.Errorf("a second look wrote something: %s\nevents: %v", cmp.Diff(first, second), r.events.reasons())
			}
		})
	}
}

func TestAReadyPostgresStoreTellsItsVersionAndItsConnections(t *testing.T) {
	r := newRig(t)
	r.secret(t, "uri", pgtest.URL(t))
	r.onPostgres(t, pgtest.Schema(t))
	r.look(t)
	found := r.get(t).Status
	if !regexp.MustCompile(`^PostgreSQL \d+(\.\d+|beta\d+|rc\d+)$`).MatchString(found.Version) {
		t.Errorf("the version is %q", found.Version)
	}
	if found.Connections == nil || *found.Connections < 10 {
		t.Errorf("the connections are %v", found.Connections)
	}
}

func TestAStoreFollowsItsDatabaseAndTellsPeopleOfEachChangeOnce(t *testing.T) {
	r, schema := newRig(t), pgtest.Schema(t)
	r.onPostgres(t, schema)
	steps := []struct {
		url, reason string
		computed    status.Status
	}{
		{"postgres://u@127.0.0.1:1/d", "StoreUnreachable", status.InProgressStatus},
		{"no URI", "SecretKeyMissing", status.FailedStatus},
		{with(t, "synchronous_commit=local"), "StoreUnsuitable", status.FailedStatus},
		{pgtest.URL(t), "Ready", status.CurrentStatus},
		{"postgres://u@127.0.0.1:1/d", "StoreUnreachable", status.InProgressStatus},
		{pgtest.URL(t), "Ready", status.CurrentStatus},
	}
	for _, step := range steps {
		r.secret(t, "uri", step.url)
		r.look(t)
		r.look(t)
		wantReason(t, r.get(t), step.reason, step.computed)
	}
	want := []string{"Normal StoreUnreachable", "Warning SecretKeyMissing", "Warning StoreUnsuitable",
		"Normal Migrating", "Normal Ready", "Normal StoreUnreachable", "Normal Ready"}
	if diff := cmp.Diff(want, r.events.reasons()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if version := r.get(t).Status.Version; !strings.HasPrefix(version, "PostgreSQL") {
		t.Errorf("the version is %q", version)
	}
}

func TestAMigrationIsToldOfWhileItLasts(t *testing.T) {
	r, schema := newRig(t), pgtest.Schema(t)
	run(t, schema, "CREATE SCHEMA "+schema)
	// Whoever makes the same table first holds up the migration.
	conn := dial(t, schema)
	if _, err := conn.Exec(t.Context(), "BEGIN; CREATE TABLE aggregate (id integer)"); err != nil {
		t.Fatal(err)
	}
	r.secret(t, "uri", pgtest.URL(t))
	r.onPostgres(t, schema)
	ended := make(chan error, 1)
	go func() {
		_, err := r.Reconcile(context.Background(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: r.namespace, Name: "bank"}})
		ended <- err
	}()
	eventually(t, "the status says Migrating", func() bool { return len(r.get(t).Status.Conditions) > 0 })
	wantReason(t, r.get(t), "Migrating", status.InProgressStatus)
	if _, err := conn.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	wantReason(t, r.get(t), "Ready", status.CurrentStatus)
}

func TestTwoEventStoresOfOneSchemaDoNotBothBecomeReady(t *testing.T) {
	r, schema := newRig(t), pgtest.Schema(t)
	r.secret(t, "uri", pgtest.URL(t))
	r.onPostgres(t, schema)
	r.onPostgres(t, schema, named("second"))
	r.look(t)
	r.lookAt(t, "second")
	wantReason(t, r.get(t), "Ready", status.CurrentStatus)
	wantReason(t, r.get(t, "second"), "SchemaInUse", status.FailedStatus)
	// Once the first has gone, the second has it.
	r.remove(t)
	r.look(t)
	r.lookAt(t, "second")
	wantReason(t, r.get(t, "second"), "Ready", status.CurrentStatus)
}

func TestAStoreThatIsThereTouchesNoSchemaOfAnother(t *testing.T) {
	r, schema := newRig(t), pgtest.Schema(t)
	run(t, schema, "CREATE SCHEMA "+schema)
	run(t, schema, `CREATE TABLE owner (one_row boolean PRIMARY KEY DEFAULT true, owner text, uid text);
		INSERT INTO owner (owner, uid) VALUES ('cluster-2/team/bank', '')`)
	r.secret(t, "uri", pgtest.URL(t))
	r.onPostgres(t, schema)
	r.look(t)
	wantReason(t, r.get(t), "SchemaInUse", status.FailedStatus)
	if !is(t, schema, "SELECT count(*) = 1 FROM pg_tables WHERE schemaname = $1", schema) {
		t.Error("the schema was migrated")
	}
}
