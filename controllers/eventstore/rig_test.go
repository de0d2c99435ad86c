package eventstore

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/jackc/pgx/v5"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/leftfold/leftfold/api/postgres"
	"github.com/leftfold/leftfold/api/postgres/pgtest"
	"github.com/leftfold/leftfold/api/v1alpha1"
)

// patience bounds every wait for something that has to happen.
const patience = 30 * time.Second

// thisCluster is the identifier of the cluster that the tests run in.
const thisCluster = "cluster-1"

// rig is a namespace with a reconciler whose looks the test calls for one by one.
type rig struct {
	*Reconciler
	namespace string
	events    *recorder
}

func newRig(t *testing.T) *rig {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "eventstore-"}}
	create(t, namespace)
	events := &recorder{}
	return &rig{
		Reconciler: &Reconciler{client: cluster, live: cluster, cluster: thisCluster, events: events},
		namespace:  namespace.Name, events: events,
	}
}

func create(t *testing.T, o client.Object) {
	t.Helper()
	if err := cluster.Create(context.Background(), o); err != nil {
		t.Fatal(err)
	}
}

// recorder keeps events as "Normal Ready: words".
type recorder struct {
	mu   sync.Mutex
	said []string
}

func (r *recorder) Eventf(_, _ runtime.Object, kind, reason, _, note string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, kind+" "+reason+": "+fmt.Sprintf(note, args...))
}

// reasons are the events so far, without their words.
func (r *recorder) reasons() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, text := range r.said {
		head, _, _ := strings.Cut(text, ":")
		out = append(out, head)
	}
	return out
}

func (r *recorder) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.said, "\n")
}

// option changes an EventStore before it is made.
type option func(*v1alpha1.EventStore)

func deletes(s *v1alpha1.EventStore) { s.Spec.DeletionPolicy = v1alpha1.DeletionDelete }

func named(name string) option { return func(s *v1alpha1.EventStore) { s.Name = name } }

func takesOver(owner string) option {
	return func(s *v1alpha1.EventStore) {
		s.Annotations = map[string]string{v1alpha1.AnnotationTakeOverSchema: owner}
	}
}

// onPostgres makes an EventStore "bank" on the schema, by Secret "bank-db".
func (r *rig) onPostgres(t *testing.T, schema string, options ...option) {
	t.Helper()
	store := &v1alpha1.EventStore{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: "bank"},
		Spec: v1alpha1.EventStoreSpec{Postgres: &v1alpha1.PostgresStore{
			ConnectionSecretRef: v1alpha1.SecretKeyReference{Name: "bank-db"}, Schema: schema}},
	}
	for _, change := range options {
		change(store)
	}
	create(t, store)
}

// onSQLite makes an EventStore "bank" with a volume of that size.
func (r *rig) onSQLite(t *testing.T, storage string, options ...option) {
	t.Helper()
	store := &v1alpha1.EventStore{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: "bank"},
		Spec:       v1alpha1.EventStoreSpec{SQLite: &v1alpha1.SQLiteStore{Storage: resource.MustParse(storage)}},
	}
	for _, change := range options {
		change(store)
	}
	create(t, store)
}

// secret makes "bank-db", or changes it.
func (r *rig) secret(t *testing.T, key, url string) {
	t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: "bank-db"}, Data: map[string][]byte{key: []byte(url)}}
	err := cluster.Create(t.Context(), secret)
	if apierrors.IsAlreadyExists(err) {
		err = cluster.Update(t.Context(), secret)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// look has the reconciler look at "bank" once.
func (r *rig) look(t *testing.T) ctrl.Result { t.Helper(); return r.lookAt(t, "bank") }

func (r *rig) lookAt(t *testing.T, name string) ctrl.Result {
	t.Helper()
	result, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: r.namespace, Name: name}})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// get reads "bank"; nil when it is gone.
func (r *rig) get(t *testing.T, names ...string) *v1alpha1.EventStore {
	t.Helper()
	name := append(names, "bank")[0]
	var store v1alpha1.EventStore
	err := cluster.Get(t.Context(), client.ObjectKey{Namespace: r.namespace, Name: name}, &store)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return &store
}

// change edits "bank".
func (r *rig) change(t *testing.T, edit func(*v1alpha1.EventStore)) {
	t.Helper()
	store := r.get(t)
	before := store.DeepCopy()
	edit(store)
	if err := cluster.Patch(t.Context(), store, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}

// remove asks for the deletion of "bank".
func (r *rig) remove(t *testing.T) {
	t.Helper()
	if err := cluster.Delete(t.Context(), r.get(t)); err != nil {
		t.Fatal(err)
	}
}

// wantReason checks the Ready condition, what stands beside it, and what kstatus
// makes of all that.
func wantReason(t *testing.T, store *v1alpha1.EventStore, reason string, computed status.Status) {
	t.Helper()
	ready := meta.FindStatusCondition(store.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil || ready.Reason != reason {
		t.Fatalf("Ready is %+v; want reason %s", ready, reason)
	}
	want := map[status.Status][]string{
		status.CurrentStatus: {"Ready"}, status.InProgressStatus: {"Ready", "Reconciling"}, status.FailedStatus: {"Ready", "Stalled"},
		status.TerminatingStatus: {"Ready", "Reconciling"},
	}[computed]
	var types []string
	for _, c := range store.Status.Conditions {
		types = append(types, c.Type)
		if (c.Status == metav1.ConditionTrue) == (c.Type == "Ready" && computed != status.CurrentStatus) || c.ObservedGeneration != store.Generation {
			t.Errorf("condition %+v at generation %d", c, store.Generation)
		}
	}
	slices.Sort(types)
	if !slices.Equal(types, want) {
		t.Errorf("the conditions are %v, want %v", types, want)
	}
	if store.Status.ObservedGeneration != store.Generation {
		t.Errorf("observedGeneration is %d, want %d", store.Status.ObservedGeneration, store.Generation)
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(store)
	if err != nil {
		t.Fatal(err)
	}
	if result, err := status.Compute(&unstructured.Unstructured{Object: content}); err != nil || result.Status != computed {
		t.Errorf("kstatus computes %+v, %v; want %s", result, err, computed)
	}
}

func messageOf(store *v1alpha1.EventStore) string {
	if ready := meta.FindStatusCondition(store.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
		return ready.Message
	}
	return ""
}

// visit opens the schema as its owner does.
func visit(t *testing.T, schema string) *postgres.Database {
	t.Helper()
	config, err := postgres.ParseURL(pgtest.URL(t), postgres.Network{})
	if err != nil {
		t.Fatal(err)
	}
	db, err := postgres.Open(t.Context(), config, schema)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

// belongsTo makes a schema with all tables that is somebody's.
func belongsTo(t *testing.T, schema string, owner postgres.Owner) {
	t.Helper()
	db := visit(t, schema)
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Claim(t.Context(), owner, ""); err != nil {
		t.Fatal(err)
	}
}

// run runs statements in the schema.
func run(t *testing.T, schema, sql string, args ...any) {
	t.Helper()
	conn := dial(t, schema)
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// is answers a query about the schema.
func is(t *testing.T, schema, query string, args ...any) (yes bool) {
	t.Helper()
	if err := dial(t, schema).QueryRow(t.Context(), query, args...).Scan(&yes); err != nil {
		t.Fatal(err)
	}
	return yes
}

func dial(t *testing.T, schema string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), pgtest.URL(t)+"&search_path="+schema)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func schemaExists(t *testing.T, schema string) bool {
	t.Helper()
	return is(t, "public", "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", schema)
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for !is() {
		select {
		case <-deadline.C:
			t.Fatalf("never: %s", what)
		case <-ticker.C:
		}
	}
}

// storageClass makes a class whose volumes grow.
func storageClass(t *testing.T) string {
	t.Helper()
	grows := true
	class := &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "grows-"}, Provisioner: "example.test/disk", AllowVolumeExpansion: &grows}
	create(t, class)
	return class.Name
}
