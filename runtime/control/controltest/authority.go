package controltest

import (
	"testing"
	"time"

	"github.com/leftfold/leftfold/api/identity"
)

// Authority issues identities as the operator would.
type Authority struct {
	t      testing.TB
	issuer *identity.Authority
}

// NewAuthority makes an authority for one test.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	issuer, err := identity.NewAuthority("test", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return &Authority{t: t, issuer: issuer}
}

// Identity is a certificate for the name, and trust in the authority.
func (a *Authority) Identity(name string) identity.Source {
	a.t.Helper()
	holder := identity.NewHolder()
	certificate, key, err := a.issuer.Issue(name, time.Now(), time.Hour)
	if err == nil {
		err = holder.Set(certificate, key, a.issuer.CertificatePEM())
	}
	if err != nil {
		a.t.Fatal(err)
	}
	return holder
}
