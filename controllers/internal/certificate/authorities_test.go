package certificate

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leftfold/leftfold/api/identity"
)

var start = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

const bank = "bank.money.runtime.leftfold"

func begin(t *testing.T) *authorities {
	t.Helper()
	a, err := newAuthorities(start)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *authorities) mustStep(t *testing.T, now time.Time, everywhere bool) *authorities {
	t.Helper()
	to, err := a.step(now, everywhere)
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func (a *authorities) mustLeaf(t *testing.T, present map[string][]byte, now time.Time) Leaf {
	t.Helper()
	leaf, err := a.leaf(bank, present, now)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

func TestTheAuthorityIsTurnedOverInSteps(t *testing.T) {
	a := begin(t)
	due := a.current.Certificate().NotAfter.Add(-successorBefore)
	if got := a.mustStep(t, due.Add(-time.Second), false); got != a {
		t.Errorf("there is a successor before its time")
	}

	first := a.mustStep(t, due, false)
	if first.next == nil || first.current != a.current || first.previous != nil {
		t.Fatalf("step 1: want a successor that signs nothing, got %+v", first)
	}
	if got := first.mustStep(t, due.Add(trustedBefore), false); got != first {
		t.Errorf("step 2 was made before everybody trusts the successor")
	}
	if got := first.mustStep(t, due.Add(trustedBefore/2), true); got != first {
		t.Errorf("step 2 was made before nodes had time to bring it into pods")
	}

	second := first.mustStep(t, due.Add(trustedBefore), true)
	if second.current != first.next || second.next != nil || !second.previous.Equal(a.current.Certificate()) {
		t.Fatalf("step 2: want the successor to sign and the one before to be trusted, got %+v", second)
	}
	if got := second.mustStep(t, second.promoted.Add(leafValidity-time.Second), false); got != second {
		t.Errorf("step 3 was made while certificates of the one before are good")
	}

	third := second.mustStep(t, second.promoted.Add(leafValidity), false)
	if third.previous != nil || third.current != second.current {
		t.Errorf("step 3: want the one before to be forgotten, got %+v", third)
	}
}

// A peer may be one step behind, for nodes bring Secrets into pods at their own
// pace; all must be able to talk to each other all the same.
func TestPeersAStepApartTrustEachOther(t *testing.T) {
	a := begin(t)
	now := a.current.Certificate().NotAfter.Add(-successorBefore)
	one := a.mustStep(t, now, false)
	later := now.Add(trustedBefore)
	two := one.mustStep(t, later, true)
	end := later.Add(leafValidity)
	three := two.mustStep(t, end, false)
	for _, pair := range []struct {
		name         string
		older, newer *authorities
		at           time.Time
	}{
		{"while there comes to be a successor", a, one, now},
		{"while the successor begins to sign", one, two, later},
		{"while the one before is forgotten", two, three, end.Add(-time.Second)},
	} {
		t.Run(pair.name, func(t *testing.T) {
			older, newer := pair.older.mustLeaf(t, nil, pair.at), pair.newer.mustLeaf(t, nil, pair.at)
			wantTrusts(t, "the older trusts the newer", older, newer, pair.at)
			wantTrusts(t, "the newer trusts the older", newer, older, pair.at)
		})
	}
}

func wantTrusts(t *testing.T, what string, one, other Leaf, at time.Time) {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(one.Data[identity.AuthoritiesFile]) {
		t.Fatal("no authorities")
	}
	_, err := parse(t, other).Verify(x509.VerifyOptions{Roots: roots, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, DNSName: bank})
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

func parse(t *testing.T, leaf Leaf) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(leaf.Data[identity.CertificateFile])
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func TestAnAuthorityThatHasEndedIsMadeAnew(t *testing.T) {
	a := begin(t)
	got := a.mustStep(t, a.current.Certificate().NotAfter, false)
	if got.current == a.current || got.next != nil || got.previous != nil {
		t.Errorf("got %+v, want another authority alone", got)
	}
	if !bytes.Equal(got.digestKey, a.digestKey) {
		t.Errorf("the key of digests changed, and would replace all pods")
	}
}

func TestACertificateIsKeptWhileItWillDo(t *testing.T) {
	a := begin(t)
	present := a.mustLeaf(t, nil, start)
	for _, c := range []struct {
		name string
		leaf func() (*authorities, map[string][]byte, time.Time)
		kept bool
	}{
		{"it is young", func() (*authorities, map[string][]byte, time.Time) {
			return a, present.Data, start.Add(19 * 24 * time.Hour)
		}, true},
		{"a successor is to be trusted as well", func() (*authorities, map[string][]byte, time.Time) {
			to := *a
			to.next = begin(t).current
			return &to, present.Data, start
		}, true},
		{"two thirds of its time are over", func() (*authorities, map[string][]byte, time.Time) {
			return a, present.Data, present.RenewAt
		}, false},
		{"another authority signs", func() (*authorities, map[string][]byte, time.Time) {
			return begin(t), present.Data, start
		}, false},
		{"it is another's", func() (*authorities, map[string][]byte, time.Time) {
			other, err := a.leaf("another", nil, start)
			if err != nil {
				t.Fatal(err)
			}
			return a, other.Data, start
		}, false},
		{"its key does not fit", func() (*authorities, map[string][]byte, time.Time) {
			broken := a.mustLeaf(t, nil, start).Data
			broken[identity.KeyFile] = present.Data[identity.KeyFile]
			return a, broken, start
		}, false},
		{"it cannot be read", func() (*authorities, map[string][]byte, time.Time) {
			return a, map[string][]byte{identity.CertificateFile: []byte("none")}, start
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			from, before, now := c.leaf()
			leaf := from.mustLeaf(t, before, now)
			if kept := bytes.Equal(leaf.Data[identity.CertificateFile], before[identity.CertificateFile]); kept != c.kept {
				t.Errorf("kept: %t, want %t", kept, c.kept)
			}
			if !from.trusts(leaf.Data) {
				t.Errorf("it does not say whom to trust now")
			}
			if !leaf.RenewAt.After(now) {
				t.Errorf("it is to be renewed at %s, which is past %s", leaf.RenewAt, now)
			}
		})
	}
}

func TestAuthoritiesAreReadAsTheyWereWritten(t *testing.T) {
	a := begin(t)
	full := *a
	full.next, full.previous, full.promoted = begin(t).current, begin(t).current.Certificate(), start
	for _, want := range []*authorities{a, &full} {
		data, err := want.encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseAuthorities(data)
		if err != nil {
			t.Fatal(err)
		}
		again, err := got.encode()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(data, again); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	for key := range map[string]bool{currentCertificate: true, currentKey: true, nextKey: true, promotedTime: true, digestKeyName: true} {
		data, err := full.encode()
		if err != nil {
			t.Fatal(err)
		}
		delete(data, key)
		if _, err := parseAuthorities(data); err == nil {
			t.Errorf("a Secret without %s was read", key)
		}
	}
}

func TestADigestTellsNothing(t *testing.T) {
	a, other := begin(t), begin(t)
	text := []byte("postgres://secret")
	if first, second := a.digest(text), a.digest(text); first != second {
		t.Errorf("it is another each time")
	}
	if a.digest(text) == a.digest([]byte("postgres://other")) {
		t.Errorf("it is the same for another text")
	}
	if a.digest(text) == other.digest(text) {
		t.Errorf("it can be guessed without the key")
	}
}
