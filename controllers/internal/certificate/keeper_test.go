package certificate

import (
	"bytes"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/leftfold/leftfold/api/identity"
	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/controllers/internal/apitest"
)

var server *apitest.Server

func TestMain(m *testing.M) {
	os.Exit(apitest.Main(m, func(s *apitest.Server) { server = s }))
}

// keep makes a Keeper in a namespace, whose clock is now.
func keep(namespace string, now *time.Time) (*Keeper, *identity.Holder) {
	holder := identity.NewHolder()
	return NewKeeper(Config{
		Client: server.Client, Reader: server.Client, Namespace: namespace, Holder: holder,
		Now: func() time.Time { return *now },
	}), holder
}

func look(t *testing.T, k *Keeper) {
	t.Helper()
	if err := k.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func secret(t *testing.T, namespace string) *corev1.Secret {
	t.Helper()
	var s corev1.Secret
	if err := server.Client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: SecretName}, &s); err != nil {
		t.Fatal(err)
	}
	return &s
}

func TestTheNextLeaderHasTheSameAuthority(t *testing.T) {
	namespace, now := server.Namespace(t), time.Now()
	first, holder := keep(namespace, &now)
	look(t, first)
	if _, err := holder.Current(); err != nil {
		t.Errorf("the operator has no certificate: %v", err)
	}
	second, _ := keep(namespace, &now)
	leaf, err := second.Leaf(t.Context(), "money", "bank", nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := secret(t, namespace).Data[currentCertificate]; !bytes.Equal(leaf.Data[identity.AuthoritiesFile], want) {
		t.Errorf("another authority is trusted")
	}
}

func TestALookAtASoundAuthorityWritesNothing(t *testing.T) {
	namespace, now := server.Namespace(t), time.Now()
	k, _ := keep(namespace, &now)
	look(t, k)
	before := secret(t, namespace).ResourceVersion
	look(t, k)
	if after := secret(t, namespace).ResourceVersion; after != before {
		t.Errorf("the Secret was written again")
	}
}

func TestAnAuthorityWhoseSecretIsDeletedIsWrittenAgain(t *testing.T) {
	namespace, now := server.Namespace(t), time.Now()
	k, _ := keep(namespace, &now)
	look(t, k)
	before := secret(t, namespace)
	if err := server.Client.Delete(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	look(t, k)
	if after := secret(t, namespace); !bytes.Equal(before.Data[currentKey], after.Data[currentKey]) {
		t.Errorf("it is another authority, which no pod trusts")
	}
}

func TestASecretThatCannotBeReadIsNamed(t *testing.T) {
	namespace, now := server.Namespace(t), time.Now()
	broken := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: SecretName}, Data: map[string][]byte{currentKey: []byte("none")}}
	if err := server.Client.Create(t.Context(), broken); err != nil {
		t.Fatal(err)
	}
	k, _ := keep(namespace, &now)
	if err := k.Look(t.Context()); err == nil || !bytes.Contains([]byte(err.Error()), []byte(namespace+"/"+SecretName)) {
		t.Errorf("error %v does not name the Secret", err)
	}
	if !bytes.Equal(secret(t, namespace).Data[currentKey], []byte("none")) {
		t.Errorf("what an administrator put there was overwritten")
	}
}

func TestASuccessorSignsWhenAllRuntimesTrustIt(t *testing.T) {
	namespace, now := server.Namespace(t), time.Now()
	k, holder := keep(namespace, &now)
	look(t, k)
	runtime := &v1alpha1.Runtime{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "bank"},
		Spec:       v1alpha1.RuntimeSpec{StoreRef: v1alpha1.LocalReference{Name: "ledger"}},
	}
	leaf, err := k.Leaf(t.Context(), namespace, "bank", nil)
	if err != nil {
		t.Fatal(err)
	}
	pods := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: v1alpha1.IdentitySecretName("bank")}, Data: leaf.Data}
	for _, o := range []client.Object{runtime, pods} {
		if err := server.Client.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	drain(k)

	now = k.authorities.current.Certificate().NotAfter.Add(-successorBefore)
	look(t, k)
	if !drain(k) {
		t.Errorf("nobody is told that there is a successor")
	}
	now = now.Add(2 * trustedBefore)
	look(t, k)
	if k.authorities.next == nil {
		t.Fatalf("the successor signs though the pods of a Runtime do not trust it")
	}
	if leaf, err = k.Leaf(t.Context(), namespace, "bank", leaf.Data); err != nil {
		t.Fatal(err)
	}
	pods.Data = leaf.Data
	if err := server.Client.Update(t.Context(), pods); err != nil {
		t.Fatal(err)
	}
	before, err := holder.Current()
	if err != nil {
		t.Fatal(err)
	}
	look(t, k)
	if k.authorities.next != nil || k.authorities.previous == nil {
		t.Errorf("the successor does not sign though all trust it")
	}
	if !drain(k) {
		t.Errorf("nobody is told that the successor signs")
	}
	after, err := holder.Current()
	if err != nil {
		t.Fatal(err)
	}
	if !k.authorities.current.Issued(after.Certificate.Leaf) || k.authorities.current.Issued(before.Certificate.Leaf) {
		t.Errorf("the operator's own certificate is not the successor's")
	}
}

// drain tells whether the Keeper had told of a change.
func drain(k *Keeper) bool {
	select {
	case <-k.Changes():
		return true
	default:
		return false
	}
}
