package certificate

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"slices"
	"time"

	"github.com/leftfold/leftfold/api/identity"
)

// How long what is issued is good, and when it is replaced.
const (
	authorityValidity = 10 * 365 * 24 * time.Hour
	// successorBefore its end an authority gets a successor: an operator that is
	// seldom upgraded, or not running for a year, still does it in time.
	successorBefore = 2 * 365 * 24 * time.Hour
	// trustedBefore is how long a successor is trusted before it signs. Nodes
	// bring a changed Secret into pods within two minutes; a day leaves room for
	// one that is away.
	trustedBefore = 24 * time.Hour
	// leafValidity bounds for how long a stolen key is of use, and how long pods
	// get on without the operator.
	leafValidity = 30 * 24 * time.Hour
)

// Keys of the authority's Secret.
const (
	currentCertificate  = "ca.crt"
	currentKey          = "ca.key"
	nextCertificate     = "next.crt"
	nextKey             = "next.key"
	previousCertificate = "previous.crt"
	promotedTime        = "promoted" // RFC 3339
	digestKeyName       = "digest.key"
)

// authorities are the one that signs, and those that are trusted beside it.
type authorities struct {
	current *identity.Authority
	// next is trusted and will sign; nil most of the time.
	next *identity.Authority
	// previous is trusted and signed before; nil most of the time.
	previous *x509.Certificate
	// promoted is when previous signed last.
	promoted time.Time
	// digestKey makes digests that tell nothing of what they are of.
	digestKey []byte
}

func newAuthorities(now time.Time) (*authorities, error) {
	current, err := newAuthority(now)
	if err != nil {
		return nil, err
	}
	key := make([]byte, sha256.Size)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("make a key for digests: %w", err)
	}
	return &authorities{current: current, digestKey: key}, nil
}

func newAuthority(now time.Time) (*identity.Authority, error) {
	return identity.NewAuthority("leftfold "+now.UTC().Format(time.DateOnly), now, authorityValidity)
}

// parseAuthorities reads what encode gave.
func parseAuthorities(data map[string][]byte) (*authorities, error) {
	a := &authorities{digestKey: data[digestKeyName]}
	if len(a.digestKey) == 0 {
		return nil, fmt.Errorf("%s is missing", digestKeyName)
	}
	var err error
	if a.current, err = identity.ParseAuthority(data[currentCertificate], data[currentKey]); err != nil {
		return nil, fmt.Errorf("%s and %s: %w", currentCertificate, currentKey, err)
	}
	if len(data[nextCertificate]) > 0 {
		if a.next, err = identity.ParseAuthority(data[nextCertificate], data[nextKey]); err != nil {
			return nil, fmt.Errorf("%s and %s: %w", nextCertificate, nextKey, err)
		}
	}
	if len(data[previousCertificate]) > 0 {
		previous, err := identity.ParseCertificates(data[previousCertificate])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", previousCertificate, err)
		}
		a.previous = previous[0]
		if a.promoted, err = time.Parse(time.RFC3339, string(data[promotedTime])); err != nil {
			return nil, fmt.Errorf("%s: %w", promotedTime, err)
		}
	}
	return a, nil
}

// encode gives the content of the Secret.
func (a *authorities) encode() (map[string][]byte, error) {
	key, err := a.current.KeyPEM()
	if err != nil {
		return nil, err
	}
	data := map[string][]byte{
		currentCertificate: a.current.CertificatePEM(), currentKey: key, digestKeyName: a.digestKey,
	}
	if a.next != nil {
		if data[nextKey], err = a.next.KeyPEM(); err != nil {
			return nil, err
		}
		data[nextCertificate] = a.next.CertificatePEM()
	}
	if a.previous != nil {
		data[previousCertificate] = encode(a.previous)
		data[promotedTime] = []byte(a.promoted.UTC().Format(time.RFC3339))
	}
	return data, nil
}

// step gives the authorities that there should be now. It gives a itself when
// nothing is to change. everywhere tells whether all Runtimes trust the next one.
func (a *authorities) step(now time.Time, everywhere bool) (*authorities, error) {
	to, changed := *a, false
	var err error
	switch certificate := a.current.Certificate(); {
	case !now.Before(certificate.NotAfter) && a.next == nil:
		// Nobody trusts what it signed, so there is nothing to keep whole.
		if to.current, err = newAuthority(now); err != nil {
			return nil, err
		}
		changed = true
	case a.next == nil && !now.Before(certificate.NotAfter.Add(-successorBefore)):
		if to.next, err = newAuthority(now); err != nil {
			return nil, err
		}
		changed = true
	case a.next != nil && everywhere && !now.Before(a.next.Certificate().NotBefore.Add(trustedBefore)):
		to.current, to.next, to.previous, to.promoted = a.next, nil, certificate, now
		changed = true
	}
	if to.previous != nil && !now.Before(to.promoted.Add(leafValidity)) {
		to.previous, changed = nil, true
	}
	if !changed {
		return a, nil
	}
	return &to, nil
}

// trusted are the certificates of all that are trusted, as PEM.
func (a *authorities) trusted() []byte {
	trusted := a.current.CertificatePEM()
	if a.next != nil {
		trusted = append(trusted, a.next.CertificatePEM()...)
	}
	if a.previous != nil {
		trusted = append(trusted, encode(a.previous)...)
	}
	return trusted
}

func encode(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// Leaf is a certificate with its key and whom to trust.
type Leaf struct {
	// Data is as in a Secret of type kubernetes.io/tls, with ca.crt.
	Data map[string][]byte
	// RenewAt is when to ask again.
	RenewAt time.Time
}

// leaf gives the certificate of a name: the present one while it will do, with
// whom to trust now; else a new one.
func (a *authorities) leaf(name string, present map[string][]byte, now time.Time) (Leaf, error) {
	certificate, key := present[identity.CertificateFile], present[identity.KeyFile]
	renewAt, ok := a.renewal(name, certificate, key, now)
	if !ok {
		var err error
		if certificate, key, err = a.current.Issue(name, now, leafValidity); err != nil {
			return Leaf{}, err
		}
		if renewAt, ok = a.renewal(name, certificate, key, now); !ok {
			return Leaf{}, fmt.Errorf("the certificate issued for %s ends too soon: the authority ends %s", name, a.current.Certificate().NotAfter)
		}
	}
	return Leaf{RenewAt: renewAt, Data: map[string][]byte{
		identity.CertificateFile: certificate, identity.KeyFile: key, identity.AuthoritiesFile: a.trusted(),
	}}, nil
}

// renewal is when a certificate is to be replaced; false: now.
func (a *authorities) renewal(name string, certificatePEM, keyPEM []byte, now time.Time) (time.Time, bool) {
	pair, err := tls.X509KeyPair(certificatePEM, keyPEM)
	if err != nil {
		return time.Time{}, false
	}
	leaf := pair.Leaf
	if !slices.Equal(leaf.DNSNames, []string{name}) || !a.current.Issued(leaf) {
		return time.Time{}, false
	}
	renewAt := leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) * 2 / 3)
	return renewAt, now.Before(renewAt) && !now.Before(leaf.NotBefore)
}

// trusts tells whether a Secret's data trusts exactly what is trusted now.
func (a *authorities) trusts(data map[string][]byte) bool {
	return bytes.Equal(data[identity.AuthoritiesFile], a.trusted())
}

// digest is a short text that changes with what it is of.
func (a *authorities) digest(text []byte) string {
	mac := hmac.New(sha256.New, a.digestKey)
	mac.Write(text)
	return hex.EncodeToString(mac.Sum(nil)[:16])
}
