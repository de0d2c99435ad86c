package eventstore

import (
	"context"
	"strings"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/leftfold/leftfold/api/postgres/pgtest"
	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/controllers/internal/index"
)

// managed is a rig whose reconciler runs by itself, in a manager.
func managed(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	again := true // the tests of a run each make one of the name
	mgr, err := ctrl.NewManager(restConfig, ctrl.Options{
		Scheme:     scheme,
		Cache:      cache.Options{DefaultNamespaces: map[string]cache.Config{r.namespace: {}}},
		Metrics:    server.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: &again},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := index.Add(ctx, mgr.GetFieldIndexer()); err != nil {
		t.Fatal(err)
	}
	if err := SetupWithManager(mgr, Options{Cluster: thisCluster, Events: r.events}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return r
}

// becomes waits until "bank" is Ready for the reason.
func (r *rig) becomes(t *testing.T, reason string) {
	t.Helper()
	eventually(t, "the reason is "+reason, func() bool {
		ready := meta.FindStatusCondition(r.get(t).Status.Conditions, v1alpha1.ConditionReady)
		return ready != nil && ready.Reason == reason
	})
}

func TestAPostgresStoreFollowsItsSecretByTheWatch(t *testing.T) {
	r, schema := managed(t), pgtest.Schema(t)
	r.onPostgres(t, schema)
	r.becomes(t, "SecretNotFound")
	r.secret(t, "url", pgtest.URL(t))
	r.becomes(t, "SecretKeyMissing")
	r.secret(t, "uri", pgtest.URL(t))
	r.becomes(t, "Ready")
	r.deleteSecret(t)
	r.becomes(t, "SecretNotFound")
	r.secret(t, "uri", pgtest.URL(t))
	r.becomes(t, "Ready")
	r.remove(t)
	eventually(t, "it is gone", func() bool { return r.get(t) == nil })
}

func TestADatabaseThatComesBackIsNoticedWithoutAnybodysHelp(t *testing.T) {
	server := pgtest.Start(t)
	if err := server.Crash(); err != nil {
		t.Fatal(err)
	}
	r := managed(t)
	r.secret(t, "uri", server.URL())
	r.onPostgres(t, "leftfold")
	r.becomes(t, "StoreUnreachable")
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	r.becomes(t, "Ready")
}

func TestAnAnnotationTakesASchemaOver(t *testing.T) {
	r, schema := managed(t), pgtest.Schema(t)
	r.secret(t, "uri", pgtest.URL(t))
	other := (&scope{Reconciler: &Reconciler{cluster: "cluster-2"}, store: &v1alpha1.EventStore{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "bank"}}}).owner()
	belongsTo(t, schema, other)
	r.onPostgres(t, schema)
	r.becomes(t, "SchemaInUse")
	// What the message says is what helps.
	_, annotation, found := strings.Cut(messageOf(r.get(t)), "annotate this one with ")
	annotation, _, _ = strings.Cut(annotation, " ")
	name, value, ok := strings.Cut(annotation, "=")
	if !found || !ok {
		t.Fatalf("the message is %q", messageOf(r.get(t)))
	}
	r.change(t, func(s *v1alpha1.EventStore) { s.Annotations = map[string]string{name: value} })
	r.becomes(t, "Ready")
	wantReason(t, r.get(t), "Ready", status.CurrentStatus)
}

func TestAVolumeThatIsDeletedIsMadeAgain(t *testing.T) {
	r := managed(t)
	r.onSQLite(t, "1Gi")
	r.becomes(t, "Ready")
	before := r.volume(t)
	// Nothing here takes the protection off that Kubernetes gives every claim.
	if err := cluster.Patch(t.Context(), before.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Delete(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	eventually(t, "there is another", func() bool {
		now := r.volume(t)
		return now != nil && now.UID != before.UID
	})
}

func TestAClusterGoesByTheUIDOfItsSystemNamespace(t *testing.T) {
	var system corev1.Namespace
	if err := cluster.Get(t.Context(), client.ObjectKey{Name: "kube-system"}, &system); err != nil {
		t.Fatal(err)
	}
	if got, err := Cluster(t.Context(), cluster); err != nil || got == "" || got != string(system.UID) {
		t.Errorf("got %q, %v; want %q", got, err, system.UID)
	}
}

func TestWithoutAClusterNoReconcilerIsMade(t *testing.T) {
	if err := SetupWithManager(nil, Options{}); err == nil {
		t.Error("one was made, which would mark schemas as nobody's")
	}
}
