package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// lifetime of certificates: longer than anybody leaves a test cluster running.
const lifetime = 365 * 24 * time.Hour

// authority issues the certificates of one cluster. Its key is never written.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	folder      string
}

// subject is whom a certificate is for.
type subject struct {
	// file is the name of the pair of files.
	file string
	// user and group are what Kubernetes takes from the certificate.
	user, group string
	names       []string
	addresses   []netip.Addr
}

// newAuthority makes a certificate authority and writes ca.crt.
func newAuthority(folder string) (*authority, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "local cluster"},
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	if err := complete(template); err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	a := &authority{certificate: certificate, key: key, folder: folder}
	return a, a.write("ca.crt", "CERTIFICATE", der)
}

// issue writes a pair, good for a server and for a client.
func (a *authority) issue(s subject) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: s.user},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    s.names,
	}
	if s.group != "" {
		template.Subject.Organization = []string{s.group}
	}
	for _, address := range s.addresses {
		template.IPAddresses = append(template.IPAddresses, net.IP(address.AsSlice()))
	}
	if err := complete(template); err != nil {
		return err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return fmt.Errorf("certificate of %s: %w", s.user, err)
	}
	if err := a.write(s.file+".crt", "CERTIFICATE", der); err != nil {
		return err
	}
	return a.writeKey(s.file+".key", key)
}

func (a *authority) writeKey(file string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return a.write(file, "EC PRIVATE KEY", der)
}

// issueTokenKey writes the pair that service account tokens are signed with.
func (a *authority) issueTokenKey() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	if err := a.write("tokens.pub", "PUBLIC KEY", der); err != nil {
		return err
	}
	return a.writeKey("tokens.key", key)
}

func (a *authority) write(file, kind string, der []byte) error {
	content := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	return os.WriteFile(filepath.Join(a.folder, file), content, 0o600)
}

// complete fills in what all certificates have.
func complete(template *x509.Certificate) error {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return err
	}
	template.SerialNumber = serial
	// The clocks are one machine's; an hour covers a step of it.
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = time.Now().Add(lifetime)
	return nil
}

// issueAll writes the certificates of every component.
func (c *Cluster) issueAll() error {
	a, err := newAuthority(c.pki())
	if err != nil {
		return err
	}
	local := netip.MustParseAddr("127.0.0.1")
	subjects := []subject{
		{file: "etcd", user: "etcd", names: []string{"localhost"}, addresses: []netip.Addr{local}},
		{
			file: "apiserver", user: "kube-apiserver",
			names:     []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"},
			addresses: []netip.Addr{local, c.plan.host(), c.plan.apiService()},
		},
		{file: "apiserver-kubelet", user: "kube-apiserver", group: "system:masters"},
		{file: "admin", user: "admin", group: "system:masters"},
		{file: "controller-manager", user: "system:kube-controller-manager", addresses: []netip.Addr{local}},
		{file: "scheduler", user: "system:kube-scheduler", addresses: []netip.Addr{local}},
		{file: "proxy", user: "system:kube-proxy"},
	}
	for _, node := range c.plan.nodes() {
		subjects = append(subjects, subject{
			file: node.Name, user: "system:node:" + node.Name, group: "system:nodes",
			names: []string{node.Name}, addresses: []netip.Addr{node.Address},
		})
	}
	for _, s := range subjects {
		if err := a.issue(s); err != nil {
			return err
		}
	}
	return a.issueTokenKey()
}
