package runtime

import (
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/controllers/shard"
)

func TestARuntimeBecomesReady(t *testing.T) {
	r := newRig(t)
	r.store("ledger")
	r.bank()
	r.reconcile()
	r.want(v1alpha1.ReasonProgressing, status.InProgressStatus)
	get[corev1.Service](r, "bank")
	get[corev1.ServiceAccount](r, "bank")
	get[corev1.Secret](r, "bank-identity")
	get[policyv1.PodDisruptionBudget](r, "bank")
	get[rbacv1.RoleBinding](r, "bank")
	r.deploymentIs(3, 3, 1)
	r.reconcile()
	r.want(v1alpha1.ReasonPodsNotReady, status.InProgressStatus, "1 of 3 pods are ready")
	r.deploymentIs(3, 3, 3)
	r.views[r.key("bank")] = shard.View{Surveyed: true, Shards: []shard.Shard{{Aggregate: "a", Pod: "bank-x"}, {Aggregate: "a", Number: 1, Pod: "bank-y"}, {Aggregate: "a", Number: 2}}}
	r.reconcile()
	r.want(v1alpha1.ReasonReady, status.CurrentStatus, "3 of 3 pods are ready")
	got := get[v1alpha1.Runtime](r, "bank").Status
	got.Conditions, got.ObservedGeneration = nil, 0
	want := v1alpha1.RuntimeStatus{Replicas: new(int32(3)), ReadyReplicas: new(int32(3)), Shards: new(int32(2)), Selector: "leftfold.io/runtime=bank"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	wantTold := []string{"Normal Progressing the pods are being looked at", "Normal PodsNotReady 1 of 3 pods are ready", "Normal Ready 3 of 3 pods are ready"}
	if diff := cmp.Diff(wantTold, r.told()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestAnotherLookWritesNothing(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*v1alpha1.Runtime)
	}{
		{"of a plain Runtime", func(*v1alpha1.Runtime) {}},
		{"of a Runtime with every field of the overlay", func(runtime *v1alpha1.Runtime) {
			runtime.Spec.Pod = overlay()
			runtime.Spec.Resources = resources()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.store("ledger")
			r.bank(c.change)
			r.reconcile()
			r.deploymentIs(3, 3, 3)
			r.reconcile()
			before := r.versions()
			r.client.Writes()
			for range 3 {
				r.reconcile()
			}
			if n := r.client.Writes(); n != 0 {
				t.Errorf("%d calls to write, want none", n)
			}
			if diff := cmp.Diff(before, r.versions()); diff != "" {
				t.Errorf("versions (-before +after):\n%s", diff)
			}
		})
	}
}

func TestWhatKeepsARuntimeFromBeingReady(t *testing.T) {
	exceeded := appsv1.DeploymentCondition{
		Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded", Message: "ReplicaSet \"bank-1\" has timed out progressing",
	}
	for _, c := range []struct {
		name    string
		arrange func(*rig)
		reason  string
		kstatus status.Status
		words   []string
		// pods: there is a Deployment.
		pods bool
	}{
		{
			name:    "its store is not there",
			arrange: func(r *rig) { r.bank() },
			reason:  v1alpha1.ReasonStoreNotFound, kstatus: status.InProgressStatus, words: []string{"spec.storeRef.name", `"ledger"`},
		}, {
			name: "its store is not ready",
			arrange: func(r *rig) {
				r.store("ledger")
				r.storeIs("ledger", metav1.ConditionFalse, v1alpha1.ReasonStoreUnreachable)
				r.bank()
			},
			reason: v1alpha1.ReasonStoreNotReady, kstatus: status.InProgressStatus, words: []string{`EventStore "ledger"`, "words about StoreUnreachable"},
		}, {
			name: "it asks for more pods than can open an SQLite file",
			arrange: func(r *rig) {
				r.create(&v1alpha1.EventStore{ObjectMeta: metav1.ObjectMeta{Name: "ledger"}, Spec: v1alpha1.EventStoreSpec{SQLite: &v1alpha1.SQLiteStore{}}})
				r.bank()
			},
			reason: v1alpha1.ReasonSingleReplicaStore, kstatus: status.FailedStatus, words: []string{"spec.replicas", "replicas: 1"},
		}, {
			name: "its pods would open more connections than the database allows",
			arrange: func(r *rig) {
				r.store("ledger")
				store := get[v1alpha1.EventStore](r, "ledger")
				store.Status.Connections = new(int32(60))
				if err := server.Client.Status().Update(r.Context(), store); err != nil {
					r.Fatal(err)
				}
				r.bank()
			},
			reason: v1alpha1.ReasonTooManyConnections, kstatus: status.FailedStatus, words: []string{"spec.replicas", "allows 60", "replicas: 2"},
		}, {
			name: "somebody else has a Service of its name",
			arrange: func(r *rig) {
				r.store("ledger")
				r.create(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "bank"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 1}}}})
				r.bank()
			},
			reason: v1alpha1.ReasonNameTaken, kstatus: status.FailedStatus, words: []string{`Service "bank"`},
		}, {
			name: "the API server refuses the pods that it asks for",
			arrange: func(r *rig) {
				r.store("ledger")
				r.bank(func(runtime *v1alpha1.Runtime) { runtime.Spec.Pod.Labels = map[string]string{"team": "not a label"} })
			},
			reason: v1alpha1.ReasonRefused, kstatus: status.FailedStatus, words: []string{"spec.template.labels", "not a label"},
		}, {
			name: "pods are being replaced",
			arrange: func(r *rig) {
				r.store("ledger")
				r.bank()
				r.reconcile()
				r.deploymentIs(4, 1, 3)
			},
			reason: v1alpha1.ReasonRollingOut, kstatus: status.InProgressStatus, words: []string{"1 of 3 pods are of the newest revision"}, pods: true,
		}, {
			name: "an old pod has yet to go",
			arrange: func(r *rig) {
				r.store("ledger")
				r.bank()
				r.reconcile()
				r.deploymentIs(4, 3, 4)
			},
			reason: v1alpha1.ReasonRollingOut, kstatus: status.InProgressStatus, words: []string{"1 pods of an older revision"}, pods: true,
		}, {
			name: "pods do not start, so that somebody has to look",
			arrange: func(r *rig) {
				r.store("ledger")
				r.bank()
				r.reconcile()
				r.deploymentIs(3, 3, 0, exceeded)
				r.pod("bank-1", corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: "there is no such image"})
			},
			reason: v1alpha1.ReasonPodsNotReady, kstatus: status.FailedStatus,
			words: []string{"0 of 3 pods are ready", "timed out", "pod bank-1: ErrImagePull: there is no such image"}, pods: true,
		}, {
			name: "a quota does not let pods be made",
			arrange: func(r *rig) {
				r.store("ledger")
				r.bank()
				r.reconcile()
				r.deploymentIs(0, 0, 0, appsv1.DeploymentCondition{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Message: "exceeded quota"})
			},
			reason: v1alpha1.ReasonPodsNotReady, kstatus: status.InProgressStatus, words: []string{"exceeded quota"}, pods: true,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			c.arrange(r)
			r.reconcile()
			r.want(c.reason, c.kstatus, c.words...)
			r.client.Writes()
			r.reconcile()
			if n := r.client.Writes(); n != 0 && c.reason != v1alpha1.ReasonRefused {
				t.Errorf("%d calls to write on another look, want none", n)
			}
			if c.pods {
				get[appsv1.Deployment](r, "bank")
			} else {
				absent[appsv1.Deployment](r, "bank")
			}
		})
	}
}

// pod makes a pod of the bank that waits.
func (r *rig) pod(name string, waits corev1.ContainerStateWaiting) {
	r.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: v1alpha1.RuntimeLabels("bank")},
		Spec:       corev1.PodSpec{ServiceAccountName: "bank", AutomountServiceAccountToken: new(false), Containers: []corev1.Container{{Name: "runtime", Image: "leftfold:1"}}},
	}
	r.create(pod)
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "runtime", State: corev1.ContainerState{Waiting: &waits}}}
	if err := server.Client.Status().Update(r.Context(), pod); err != nil {
		r.Fatal(err)
	}
}

func TestPodsAreKeptWhateverIsWrong(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*rig)
		reason string
		// follows: changes of the spec are still carried out.
		follows bool
	}{
		{"the store does not answer for a while", func(r *rig) {
			r.storeIs("ledger", metav1.ConditionFalse, v1alpha1.ReasonStoreUnreachable)
		}, v1alpha1.ReasonStoreNotReady, true},
		{"the Secret of the store is gone", func(r *rig) {
			if err := server.Client.Delete(r.Context(), get[corev1.Secret](r, "ledger-db")); err != nil {
				r.Fatal(err)
			}
			r.storeIs("ledger", metav1.ConditionFalse, v1alpha1.ReasonSecretNotFound)
		}, v1alpha1.ReasonStoreNotReady, true},
		{"the store is gone", func(r *rig) {
			if err := server.Client.Delete(r.Context(), get[v1alpha1.EventStore](r, "ledger")); err != nil {
				r.Fatal(err)
			}
		}, v1alpha1.ReasonStoreNotFound, false},
		{"the new spec names a store that is not there", func(r *rig) {
			change(r, "bank", func(runtime *v1alpha1.Runtime) { runtime.Spec.StoreRef.Name = "other" })
		}, v1alpha1.ReasonStoreNotFound, false},
		{"the API server refuses the new spec", func(r *rig) {
			change(r, "bank", func(runtime *v1alpha1.Runtime) { runtime.Spec.Pod.Labels = map[string]string{"team": "not a label"} })
		}, v1alpha1.ReasonRefused, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.store("ledger")
			r.bank()
			r.reconcile()
			r.deploymentIs(3, 3, 3)
			r.reconcile()
			before := get[appsv1.Deployment](r, "bank")
			c.change(r)
			change(r, "bank", func(runtime *v1alpha1.Runtime) { runtime.Spec.Replicas = new(int32(4)) })
			r.reconcile()
			after := get[appsv1.Deployment](r, "bank")
			if before.UID != after.UID {
				t.Errorf("the Deployment was made anew")
			}
			if diff := cmp.Diff(before.Spec.Template, after.Spec.Template); diff != "" {
				t.Errorf("pods would be replaced (-before +after):\n%s", diff)
			}
			if followed := *after.Spec.Replicas == 4; followed != c.follows {
				t.Errorf("replicas are %d", *after.Spec.Replicas)
			}
			if got := get[v1alpha1.Runtime](r, "bank").Status.Conditions; len(got) == 0 || got[0].Reason != c.reason {
				t.Errorf("conditions are %+v, want %s", got, c.reason)
			}
		})
	}
}

func TestEditsOfTheOperatorsFieldsArePutBack(t *testing.T) {
	r := newRig(t)
	r.store("ledger")
	r.bank()
	r.reconcile()
	want := get[appsv1.Deployment](r, "bank")
	change(r, "bank", func(d *appsv1.Deployment) {
		d.Spec.Replicas = new(int32(9))
		d.Spec.Template.Spec.Containers[0].Image = "another:1"
		d.Spec.Template.Spec.Containers[0].Args = nil
		d.Annotations = map[string]string{"somebody.example/note": "kept"}
	})
	change(r, "bank", func(s *corev1.Service) { s.Spec.Ports[0].TargetPort.StrVal = "operations" })
	change(r, "bank", func(b *policyv1.PodDisruptionBudget) { b.Spec.MaxUnavailable.IntVal = 3 })
	change(r, "bank", func(b *rbacv1.RoleBinding) { b.Subjects = nil })
	change(r, "bank-identity", func(s *corev1.Secret) { s.Data["ca.crt"] = []byte("mine") })
	r.reconcile()
	d := get[appsv1.Deployment](r, "bank")
	if diff := cmp.Diff(want.Spec, d.Spec); diff != "" {
		t.Errorf("Deployment (-want +got):\n%s", diff)
	}
	if d.Annotations["somebody.example/note"] != "kept" {
		t.Errorf("what is not the operator's is gone: %v", d.Annotations)
	}
	if got := get[corev1.Service](r, "bank").Spec.Ports[0].TargetPort.StrVal; got != "http" {
		t.Errorf("the Service leads to %q", got)
	}
	if got := get[policyv1.PodDisruptionBudget](r, "bank").Spec.MaxUnavailable.IntVal; got != 1 {
		t.Errorf("the budget lets %d pods be away", got)
	}
	if got := get[rbacv1.RoleBinding](r, "bank").Subjects; len(got) != 1 || got[0].Name != "bank" {
		t.Errorf("the role is bound to %+v", got)
	}
	if got := string(get[corev1.Secret](r, "bank-identity").Data["ca.crt"]); got == "mine" {
		t.Errorf("the authorities are not put back")
	}
}

func TestWhatTheSpecDoesNotSayAnyMoreGoes(t *testing.T) {
	r := newRig(t)
	r.store("ledger")
	r.bank(func(runtime *v1alpha1.Runtime) {
		runtime.Spec.Pod.NodeSelector = map[string]string{"disk": "fast"}
		runtime.Spec.Pod.Env = []corev1.EnvVar{{Name: "MINE", Value: "1"}}
	})
	r.reconcile()
	change(r, "bank", func(runtime *v1alpha1.Runtime) { runtime.Spec.Pod = v1alpha1.PodOverlay{} })
	r.reconcile()
	pod := get[appsv1.Deployment](r, "bank").Spec.Template.Spec
	if len(pod.NodeSelector) > 0 {
		t.Errorf("nodeSelector is still %v", pod.NodeSelector)
	}
	for _, variable := range pod.Containers[0].Env {
		if variable.Name == "MINE" {
			t.Errorf("the variable is still there")
		}
	}
}

func TestAChangedConnectionReplacesPods(t *testing.T) {
	r := newRig(t)
	r.store("ledger")
	r.bank()
	r.reconcile()
	before := get[appsv1.Deployment](r, "bank").Spec.Template.Annotations[v1alpha1.AnnotationStoreDigest]
	change(r, "ledger-db", func(s *corev1.Secret) { s.Data["other"] = []byte("of no interest") })
	r.reconcile()
	if got := get[appsv1.Deployment](r, "bank").Spec.Template.Annotations[v1alpha1.AnnotationStoreDigest]; got != before {
		t.Errorf("another key of the Secret replaces pods")
	}
	change(r, "ledger-db", func(s *corev1.Secret) { s.Data["uri"] = []byte("postgres://elsewhere/bank") })
	r.reconcile()
	if got := get[appsv1.Deployment](r, "bank").Spec.Template.Annotations[v1alpha1.AnnotationStoreDigest]; got == before || got == "" {
		t.Errorf("the digest is %q, and was %q", got, before)
	}
}

func TestCertificatesAreRenewedBeforeTheyEnd(t *testing.T) {
	r := newRig(t)
	r.store("ledger")
	r.bank()
	again := r.reconcile().RequeueAfter
	if again < 19*24*time.Hour || again > 20*24*time.Hour {
		t.Errorf("it is looked at again after %s, want just under 20 days", again)
	}
	before := get[corev1.Secret](r, "bank-identity")
	r.now = r.now.Add(again + time.Second)
	// Whatever else is the matter.
	r.storeIs("ledger", metav1.ConditionFalse, v1alpha1.ReasonStoreUnreachable)
	r.reconcile()
	after := get[corev1.Secret](r, "bank-identity")
	if string(before.Data["tls.crt"]) == string(after.Data["tls.crt"]) {
		t.Errorf("the certificate is the same")
	}
	if string(before.Data["ca.crt"]) != string(after.Data["ca.crt"]) {
		t.Errorf("the authority is another")
	}
}

func TestABindingToAnotherRoleIsMadeAnew(t *testing.T) {
	r := newRig(t)
	r.store("ledger")
	r.bank()
	r.reconcile()
	r.Role = Role{Kind: "Role", Name: "elsewhere"}
	r.reconcile()
	got := get[rbacv1.RoleBinding](r, "bank").RoleRef
	if got.Kind != "Role" || got.Name != "elsewhere" {
		t.Errorf("the binding is to %+v", got)
	}
}

func TestAnAccountOfTheUsersTakesThePlaceOfTheOperators(t *testing.T) {
	r := newRig(t)
	r.store("ledger")
	r.bank()
	r.reconcile()
	r.deploymentIs(3, 3, 3)
	change(r, "bank", func(runtime *v1alpha1.Runtime) { runtime.Spec.Pod.ServiceAccountName = "teller" })
	r.reconcile()
	if got := get[rbacv1.RoleBinding](r, "bank").Subjects[0].Name; got != "teller" {
		t.Errorf("the role is bound to %q", got)
	}
	if got := get[appsv1.Deployment](r, "bank").Spec.Template.Spec.ServiceAccountName; got != "teller" {
		t.Errorf("pods run as %q", got)
	}
	get[corev1.ServiceAccount](r, "bank") // pods that run still use it
	r.deploymentIs(3, 3, 3)
	r.reconcile()
	absent[corev1.ServiceAccount](r, "bank")
}

func TestEverythingGoesWithTheRuntime(t *testing.T) {
	r := newRig(t)
	r.store("ledger")
	r.bank()
	r.reconcile()
	runtime := get[v1alpha1.Runtime](r, "bank")
	if len(runtime.Finalizers) > 0 {
		t.Errorf("finalizers %v would hold up a deletion", runtime.Finalizers)
	}
	for _, o := range []metav1.Object{
		get[appsv1.Deployment](r, "bank"), get[corev1.Service](r, "bank"), get[corev1.ServiceAccount](r, "bank"),
		get[corev1.Secret](r, "bank-identity"), get[policyv1.PodDisruptionBudget](r, "bank"), get[rbacv1.RoleBinding](r, "bank"),
	} {
		if !metav1.IsControlledBy(o, runtime) {
			t.Errorf("%T %s is not the Runtime's", o, o.GetName())
		}
	}
	if err := server.Client.Delete(t.Context(), runtime); err != nil {
		t.Fatal(err)
	}
	r.reconcile() // it is gone
}
