package setup

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/controllers/internal/apitest"
	"github.com/leftfold/leftfold/controllers/internal/certificate"
)

// soon is more than anything here takes on two busy cores.
const soon = time.Minute

var server *apitest.Server

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(apitest.Main(m, func(s *apitest.Server) { server = s }))
}

// One operator runs for all that is told here: controllers have names, which a
// process may use once.
func TestTheOperator(t *testing.T) {
	system, namespace := server.Namespace(t), server.Namespace(t)
	o := NewOptions("test")
	o.Namespace, o.LogLevel = system, "error"
	o.HealthAddress, o.MetricsAddress = freeAddress(t), freeAddress(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, server.Config, o) }()
	defer stop()

	create(t, namespace,
		&v1alpha1.EventStore{ObjectMeta: metav1.ObjectMeta{Name: "ledger"}, Spec: v1alpha1.EventStoreSpec{SQLite: &v1alpha1.SQLiteStore{}}},
		&v1alpha1.Runtime{ObjectMeta: metav1.ObjectMeta{Name: "bank"}, Spec: v1alpha1.RuntimeSpec{StoreRef: v1alpha1.LocalReference{Name: "ledger"}}},
		&v1alpha1.Aggregate{ObjectMeta: metav1.ObjectMeta{Name: "account"}, Spec: v1alpha1.AggregateSpec{
			RuntimeRef: v1alpha1.LocalReference{Name: "bank"}, Shards: 1, Events: []v1alpha1.Event{{Name: "Opened"}},
		}})

	t.Run("looks at all kinds", func(t *testing.T) {
		waitReady(t, namespace, "ledger", v1alpha1.ReasonReady, func(s *v1alpha1.EventStore) []metav1.Condition { return s.Status.Conditions })
		waitReady(t, namespace, "bank", v1alpha1.ReasonProgressing, func(r *v1alpha1.Runtime) []metav1.Condition { return r.Status.Conditions })
		waitReady(t, namespace, "account", v1alpha1.ReasonRuntimeNotReady, func(a *v1alpha1.Aggregate) []metav1.Condition { return a.Status.Conditions })
	})
	t.Run("follows the pods", func(t *testing.T) {
		var d appsv1.Deployment
		read(t, namespace, "bank", &d)
		d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1}
		if err := server.Client.Status().Update(t.Context(), &d); err != nil {
			t.Fatal(err)
		}
		waitReady(t, namespace, "bank", v1alpha1.ReasonReady, func(r *v1alpha1.Runtime) []metav1.Condition { return r.Status.Conditions })
	})
	t.Run("puts back what somebody else changed", func(t *testing.T) {
		var s corev1.Service
		read(t, namespace, "bank", &s)
		s.Spec.Selector = map[string]string{"app": "mine"}
		if err := server.Client.Update(t.Context(), &s, client.FieldOwner("somebody")); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the Service is put back", func() bool {
			read(t, namespace, "bank", &s)
			return s.Spec.Selector[v1alpha1.LabelRuntime] == "bank" && len(s.Spec.Selector) == 1
		})
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "bank-identity"}}
		if err := server.Client.Delete(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the certificate is issued again", func() bool {
			return server.Client.Get(t.Context(), client.ObjectKeyFromObject(secret), secret) == nil
		})
	})
	t.Run("keeps its authority in its own namespace", func(t *testing.T) {
		var s corev1.Secret
		read(t, system, certificate.SecretName, &s)
	})
	t.Run("writes nothing when nothing happens", func(t *testing.T) { wantQuiet(t, namespace) })
	t.Run("answers probes", func(t *testing.T) {
		for _, path := range []string{"/livez", "/readyz"} {
			if got := statusOf(t, "http://"+o.HealthAddress+path); got != http.StatusOK {
				t.Errorf("%s answers %d", path, got)
			}
		}
	})
	t.Run("shows metrics to nobody without a name", func(t *testing.T) {
		if got := statusOf(t, "https://"+o.MetricsAddress+"/metrics"); got != http.StatusUnauthorized {
			t.Errorf("/metrics answers %d, want 401", got)
		}
	})
	t.Run("lets an EventStore go", func(t *testing.T) {
		for _, object := range []client.Object{&v1alpha1.EventStore{}, &v1alpha1.Runtime{}, &v1alpha1.Aggregate{}} {
			if err := server.Client.DeleteAllOf(t.Context(), object, client.InNamespace(namespace)); err != nil {
				t.Fatal(err)
			}
		}
		store := &v1alpha1.EventStore{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "ledger"}}
		eventually(t, "the EventStore is gone", func() bool {
			return apierrors.IsNotFound(server.Client.Get(t.Context(), client.ObjectKeyFromObject(store), store))
		})
	})
	t.Run("gives the lease back when it ends", func(t *testing.T) {
		stop()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("it ended with %v", err)
			}
		case <-time.After(soon):
			t.Fatalf("it does not end")
		}
		var lease coordinationv1.Lease
		read(t, system, LeaseName, &lease)
		if lease.Spec.HolderIdentity != nil && *lease.Spec.HolderIdentity != "" {
			t.Errorf("the lease is still held by %q", *lease.Spec.HolderIdentity)
		}
	})
}

func create(t *testing.T, namespace string, objects ...client.Object) {
	t.Helper()
	for _, o := range objects {
		o.SetNamespace(namespace)
		if err := server.Client.Create(t.Context(), o); err != nil {
			t.Fatalf("create %T: %v", o, err)
		}
	}
}

func read(t *testing.T, namespace, name string, object client.Object) {
	t.Helper()
	if err := server.Client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, object); err != nil {
		t.Fatalf("read %T %s: %v", object, name, err)
	}
}

// waitReady waits until the Ready condition of an object has a reason.
func waitReady[T any, P interface {
	*T
	client.Object
}](t *testing.T, namespace, name, reason string, conditions func(P) []metav1.Condition) {
	t.Helper()
	last := ""
	defer func() {
		if t.Failed() {
			t.Logf("last seen: %s", last)
		}
	}()
	eventually(t, fmt.Sprintf("%s is %s", name, reason), func() bool {
		object := P(new(T))
		read(t, namespace, name, object)
		ready := meta.FindStatusCondition(conditions(object), v1alpha1.ConditionReady)
		last = fmt.Sprintf("%+v", ready)
		return ready != nil && ready.Reason == reason
	})
}

// eventually asks until the answer is yes.
func eventually(t *testing.T, what string, yes func() bool) {
	t.Helper()
	deadline := time.After(soon)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !yes() {
		select {
		case <-deadline:
			t.Fatalf("not within %s: %s", soon, what)
		case <-tick.C:
		}
	}
}

// wantQuiet fails when an object of the namespace changes within some seconds.
func wantQuiet(t *testing.T, namespace string) {
	t.Helper()
	const quiet = 4 * time.Second
	ctx, cancel := context.WithTimeout(t.Context(), quiet)
	defer cancel()
	changed := make(chan string)
	for _, list := range []client.ObjectList{
		&v1alpha1.EventStoreList{}, &v1alpha1.RuntimeList{}, &v1alpha1.AggregateList{}, &v1alpha1.ProjectionList{}, &v1alpha1.ShardList{},
		&appsv1.DeploymentList{}, &corev1.ServiceList{}, &corev1.ServiceAccountList{}, &corev1.SecretList{}, &corev1.PersistentVolumeClaimList{},
		&policyv1.PodDisruptionBudgetList{}, &rbacv1.RoleBindingList{}, &corev1.EventList{},
	} {
		if err := server.Client.List(ctx, list, client.InNamespace(namespace)); err != nil {
			t.Fatal(err)
		}
		w, err := server.Client.Watch(ctx, list, client.InNamespace(namespace), &client.ListOptions{
			Raw: &metav1.ListOptions{ResourceVersion: list.GetResourceVersion()},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		go func() {
			for e := range w.ResultChan() {
				if o, is := e.Object.(client.Object); is && e.Type != watch.Bookmark {
					select {
					case changed <- fmt.Sprintf("%s %T %s", e.Type, o, o.GetName()):
					case <-ctx.Done():
					}
				}
			}
		}()
	}
	for {
		select {
		case what := <-changed:
			t.Errorf("while nothing happened: %s", what)
		case <-ctx.Done():
			return
		}
	}
}

func statusOf(t *testing.T, url string) int {
	t.Helper()
	c := http.Client{Timeout: soon, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	response, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

// freeAddress is one that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
