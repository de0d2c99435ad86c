package eventstore

import (
	"strings"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// volume is the claim of "bank"; nil when there is none, or it is going.
func (r *rig) volume(t *testing.T) *corev1.PersistentVolumeClaim {
	t.Helper()
	var claim corev1.PersistentVolumeClaim
	err := cluster.Get(t.Context(), client.ObjectKey{Namespace: r.namespace, Name: "bank-data"}, &claim)
	if apierrors.IsNotFound(err) || !claim.DeletionTimestamp.IsZero() {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return &claim
}

func sizeOf(claim *corev1.PersistentVolumeClaim) string {
	return claim.Spec.Resources.Requests.Storage().String()
}

// bind gives the claim a volume, as a provisioner does.
func (r *rig) bind(t *testing.T) {
	t.Helper()
	claim := r.volume(t)
	claim.Status.Phase = corev1.ClaimBound
	claim.Status.Capacity = claim.Spec.Resources.Requests
	if err := cluster.Status().Update(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
}

func TestAnSQLiteStoreHasAVolumeOfItsSize(t *testing.T) {
	for name, test := range map[string]struct {
		storage, want string
		options       []option
		owned         bool
	}{
		"kept by default":               {"1Gi", "1Gi", nil, false},
		"that goes with it":             {"1Gi", "1Gi", []option{deletes}, true},
		"that is written another way":   {"1024Mi", "1Gi", nil, false},
		"that is no power of any thing": {"1500M", "1500M", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.onSQLite(t, test.storage, test.options...)
			r.look(t)
			store, claim := r.get(t), r.volume(t)
			wantReason(t, store, "Ready", status.CurrentStatus)
			if store.Status.Version != "SQLite" || store.Status.Connections != nil {
				t.Errorf("version %q, connections %v", store.Status.Version, store.Status.Connections)
			}
			if sizeOf(claim) != test.want || len(claim.Spec.AccessModes) != 1 || claim.Spec.AccessModes[0] != corev1.ReadWriteOncePod {
				t.Errorf("the claim has %s and %v; want %s, ReadWriteOncePod", sizeOf(claim), claim.Spec.AccessModes, test.want)
			}
			if owned := len(claim.OwnerReferences) == 1 && claim.OwnerReferences[0].UID == store.UID; owned != test.owned {
				t.Errorf("the owners are %v", claim.OwnerReferences)
			}
			r.look(t)
			if r.get(t).ResourceVersion != store.ResourceVersion || r.volume(t).ResourceVersion != claim.ResourceVersion {
				t.Error("a second look wrote something")
			}
		})
	}
}

func TestTheOwnerOfAVolumeFollowsThePolicy(t *testing.T) {
	r := newRig(t)
	r.onSQLite(t, "1Gi")
	for _, step := range []struct {
		policy v1alpha1.DeletionPolicy
		owners int
	}{{v1alpha1.DeletionRetain, 0}, {v1alpha1.DeletionDelete, 1}, {v1alpha1.DeletionRetain, 0}} {
		r.change(t, func(s *v1alpha1.EventStore) { s.Spec.DeletionPolicy = step.policy })
		r.look(t)
		if owners := r.volume(t).OwnerReferences; len(owners) != step.owners {
			t.Errorf("with %s the owners are %v", step.policy, owners)
		}
	}
}

func TestAVolumeGrowsWhereItsClassLetsIt(t *testing.T) {
	grows := storageClass(t)
	r := newRig(t)
	// As a default class would have been set on it.
	create(t, &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: "bank-data", Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.FieldManager}},
		Spec: corev1.PersistentVolumeClaimSpec{
			StorageClassName: &grows,
			AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:        corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	})
	r.bind(t)
	r.onSQLite(t, "2Gi")
	r.look(t)
	wantReason(t, r.get(t), "Ready", status.CurrentStatus)
	if size := sizeOf(r.volume(t)); size != "2Gi" {
		t.Errorf("its size is %s, want 2Gi", size)
	}
}

func TestAVolumeThatCannotGrowStallsItsStoreAndNamesTheField(t *testing.T) {
	r := newRig(t)
	r.onSQLite(t, "1Gi")
	r.look(t)
	r.bind(t)
	r.change(t, func(s *v1alpha1.EventStore) { s.Spec.SQLite.Storage = resource.MustParse("2Gi") })
	r.look(t)
	store := r.get(t)
	wantReason(t, store, "StoreUnsuitable", status.FailedStatus)
	if !strings.Contains(messageOf(store), "spec.sqlite.storage") {
		t.Errorf("the message is %q", messageOf(store))
	}
	r.look(t)
	if r.get(t).ResourceVersion != store.ResourceVersion {
		t.Error("a second look wrote something")
	}
}

func TestAKeptVolumeIsFoundAgain(t *testing.T) {
	r := newRig(t)
	r.onSQLite(t, "2Gi")
	r.look(t)
	uid := r.volume(t).UID
	r.remove(t)
	r.look(t)
	r.wantGone(t, "Normal DataKept")
	if claim := r.volume(t); claim == nil || len(claim.OwnerReferences) != 0 {
		t.Fatalf("the claim is %+v; want it there, without owners", claim)
	}
	r.onSQLite(t, "1Gi")
	r.look(t)
	wantReason(t, r.get(t), "Ready", status.CurrentStatus)
	if claim := r.volume(t); claim.UID != uid || sizeOf(claim) != "2Gi" {
		t.Errorf("the claim is %s with %s; want %s, 2Gi", claim.UID, sizeOf(claim), uid)
	}
}

func TestWhatTheLastPolicySaysHappensToTheVolume(t *testing.T) {
	for name, test := range map[string]struct {
		made, last v1alpha1.DeletionPolicy
		kept       bool
	}{
		"Delete":                             {v1alpha1.DeletionDelete, v1alpha1.DeletionDelete, false},
		"Delete, which nobody has looked at": {v1alpha1.DeletionRetain, v1alpha1.DeletionDelete, false},
		"Retain":                             {v1alpha1.DeletionRetain, v1alpha1.DeletionRetain, true},
		"Retain, which nobody has looked at": {v1alpha1.DeletionDelete, v1alpha1.DeletionRetain, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.onSQLite(t, "1Gi", func(s *v1alpha1.EventStore) { s.Spec.DeletionPolicy = test.made })
			r.look(t)
			r.change(t, func(s *v1alpha1.EventStore) { s.Spec.DeletionPolicy = test.last })
			r.remove(t)
			r.look(t)
			event := "Normal DataDropped"
			if test.kept {
				event = "Normal DataKept"
			}
			r.wantGone(t, event)
			claim := r.volume(t)
			if (claim != nil) != test.kept || claim != nil && len(claim.OwnerReferences) > 0 {
				t.Errorf("the claim is %+v", claim)
			}
		})
	}
}

func TestAVolumeThatSomebodyElseMadeIsNotTaken(t *testing.T) {
	r := newRig(t)
	create(t, &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: "bank-data"},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	})
	r.onSQLite(t, "1Gi", deletes)
	r.look(t)
	store := r.get(t)
	wantReason(t, store, "StoreUnsuitable", status.FailedStatus)
	if !strings.Contains(messageOf(store), "app.kubernetes.io/managed-by=leftfold-operator") {
		t.Errorf("the message is %q", messageOf(store))
	}
	r.remove(t)
	r.look(t)
	r.wantGone(t, "")
	if r.volume(t) == nil {
		t.Error("the other's claim was deleted")
	}
}

func TestAStoreWaitsForTheVolumeOfTheOneBeforeItToGo(t *testing.T) {
	r := newRig(t)
	r.onSQLite(t, "1Gi", deletes)
	r.look(t)
	held := r.volume(t)
	held.Finalizers = append(held.Finalizers, "example.test/mounted")
	if err := cluster.Update(t.Context(), held); err != nil {
		t.Fatal(err)
	}
	r.remove(t)
	r.look(t)
	r.onSQLite(t, "1Gi")
	r.look(t)
	wantReason(t, r.get(t), "Progressing", status.InProgressStatus)
	if err := cluster.Get(t.Context(), client.ObjectKeyFromObject(held), held); err != nil {
		t.Fatal(err)
	}
	uid := held.UID
	held.Finalizers = nil
	if err := cluster.Update(t.Context(), held); err != nil {
		t.Fatal(err)
	}
	r.look(t)
	wantReason(t, r.get(t), "Ready", status.CurrentStatus)
	if r.volume(t).UID == uid {
		t.Error("it is the old volume")
	}
}

func TestAVolumeThatIsLostIsToldOf(t *testing.T) {
	r := newRig(t)
	r.onSQLite(t, "1Gi")
	r.look(t)
	claim := r.volume(t)
	claim.Status.Phase = corev1.ClaimLost
	if err := cluster.Status().Update(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	r.look(t)
	wantReason(t, r.get(t), "StoreUnsuitable", status.FailedStatus)
}
