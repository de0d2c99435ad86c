package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// skew is how far behind the issuer's clock a peer's may be.
const skew = 5 * time.Minute

// Types of PEM blocks.
const (
	certificateBlock = "CERTIFICATE"
	keyBlock         = "PRIVATE KEY"
)

// Authority issues certificates. It is safe for concurrent use.
type Authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewAuthority makes an authority with a key of its own; name is for people who
// look at the certificate. It is good from a few minutes before now until
// validity after it.
func NewAuthority(name string, now time.Time, validity time.Duration) (*Authority, error) {
	template, err := newTemplate(now, now.Add(validity))
	if err != nil {
		return nil, err
	}
	template.Subject = pkix.Name{CommonName: name}
	template.IsCA = true
	template.MaxPathLenZero = true // it issues no further authorities
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the authority's key: %w", err)
	}
	certificate, err := sign(template, template, key, key)
	if err != nil {
		return nil, err
	}
	return &Authority{certificate: certificate, key: key}, nil
}

// ParseAuthority reads an authority from what CertificatePEM and KeyPEM gave. Of
// several certificates, the one that fits the key is taken. Errors: none fits, or
// it is no authority.
func ParseAuthority(certificatePEM, keyPEM []byte) (*Authority, error) {
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, err
	}
	certificates, err := ParseCertificates(certificatePEM)
	if err != nil {
		return nil, err
	}
	for _, c := range certificates {
		if !key.PublicKey.Equal(c.PublicKey) {
			continue
		}
		if !c.IsCA {
			return nil, fmt.Errorf("the certificate of %q is not an authority's", c.Subject.CommonName)
		}
		return &Authority{certificate: c, key: key}, nil
	}
	return nil, errors.New("no certificate fits the private key")
}

// Certificate is the authority's own certificate; it is not to be changed.
func (a *Authority) Certificate() *x509.Certificate { return a.certificate }

// CertificatePEM is what peers have to trust.
func (a *Authority) CertificatePEM() []byte { return encode(certificateBlock, a.certificate.Raw) }

// KeyPEM is the authority's secret.
func (a *Authority) KeyPEM() ([]byte, error) { return encodeKey(a.key) }

// Issue makes a certificate for a DNS name, and its key. It is good from a few
// minutes before now until validity after it, but never longer than the
// authority.
func (a *Authority) Issue(dnsName string, now time.Time, validity time.Duration) (certificatePEM, keyPEM []byte, err error) {
	until := now.Add(validity)
	if until.After(a.certificate.NotAfter) {
		until = a.certificate.NotAfter
	}
	template, err := newTemplate(now, until)
	if err != nil {
		return nil, nil, err
	}
	// The name stands in one place only: a subject could hold 64 characters.
	template.DNSNames = []string{dnsName}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key for %s: %w", dnsName, err)
	}
	certificate, err := sign(template, a.certificate, key, a.key)
	if err != nil {
		return nil, nil, fmt.Errorf("issue a certificate for %s: %w", dnsName, err)
	}
	if keyPEM, err = encodeKey(key); err != nil {
		return nil, nil, err
	}
	return encode(certificateBlock, certificate.Raw), keyPEM, nil
}

// Issued tells whether the authority has signed the certificate.
func (a *Authority) Issued(c *x509.Certificate) bool {
	return c.CheckSignatureFrom(a.certificate) == nil
}

func newTemplate(now, until time.Time) (*x509.Certificate, error) {
	// 159 bits: positive, and within the 20 bytes that RFC 5280 allows.
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 159))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	return &x509.Certificate{
		SerialNumber: serial, NotBefore: now.Add(-skew), NotAfter: until, BasicConstraintsValid: true,
	}, nil
}

func sign(template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return x509.ParseCertificate(der)
}

// ParseCertificates reads all certificates of a PEM text; none is an error, and
// so is anything else in it.
func ParseCertificates(text []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != certificateBlock {
			return nil, fmt.Errorf("a %s stands where certificates belong", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parse a certificate: %w", err)
		}
		out = append(out, c)
	}
	if len(out) == 0 || len(bytes.TrimSpace(text)) > 0 {
		return nil, errors.New("not a list of PEM certificates")
	}
	return out, nil
}

func parseKey(text []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != keyBlock {
		return nil, errors.New("not a PEM private key")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse the private key: %w", err)
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("the private key is a %T, not an ECDSA key", key)
	}
	return ec, nil
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode the private key: %w", err)
	}
	return encode(keyBlock, der), nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// parsePair reads a certificate with its key, and the authorities to trust.
func parsePair(certificatePEM, keyPEM, authoritiesPEM []byte) (*Material, error) {
	pair, err := tls.X509KeyPair(certificatePEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("read the certificate and its key: %w", err)
	}
	authorities, err := ParseCertificates(authoritiesPEM)
	if err != nil {
		return nil, fmt.Errorf("read the authorities: %w", err)
	}
	m := &Material{Certificate: pair, Authorities: x509.NewCertPool()}
	for _, c := range authorities {
		m.Authorities.AddCert(c)
	}
	return m, nil
}
