package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
)

// ServerConfig is mutual TLS 1.3 for a server of HTTP/2: a handshake succeeds
// only with a client whose certificate is of a trusted authority. Which names may
// do what is for Only.
func ServerConfig(source Source) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{"h2"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			m, err := source.Current()
			if err != nil {
				return nil, err
			}
			return &tls.Config{
				MinVersion: tls.VersionTLS13,
				NextProtos: []string{"h2"},
				Certificates: []tls.Certificate{
					m.Certificate,
				},
				ClientAuth: tls.RequireAndVerifyClientCert,
				ClientCAs:  m.Authorities,
				// A resumed session would outlive the trust in its authority.
				SessionTicketsDisabled: true,
			}, nil
		},
	}
}

// ClientConfig is mutual TLS 1.3 for a client of HTTP/2 that talks to the peer of
// that name, at whatever address.
func ClientConfig(source Source, serverName string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{"h2"},
		ServerName: serverName,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			m, err := source.Current()
			if err != nil {
				return nil, err
			}
			return &m.Certificate, nil
		},
		// The library's own verification knows a fixed pool of authorities only.
		// VerifyConnection does the same with the present one, and cannot be
		// left out: it is called for every connection.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			m, err := source.Current()
			if err != nil {
				return err
			}
			return verifyServer(m.Authorities, state.PeerCertificates, serverName)
		},
	}
}

// verifyServer checks a server's chain, its name, and that it is no other name's
// as well.
func verifyServer(authorities *x509.CertPool, chain []*x509.Certificate, name string) error {
	if len(chain) == 0 {
		return errors.New("the server has no certificate")
	}
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: authorities, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: err}
	}
	if got := nameOf(chain[0]); name == "" || got != name {
		return &tls.CertificateVerificationError{
			UnverifiedCertificates: chain, Err: fmt.Errorf("the certificate is for %q, not %q", got, name),
		}
	}
	return nil
}

// PeerName is the name in the verified certificate of a server's client; "" when
// there is none.
func PeerName(state *tls.ConnectionState) string {
	if state == nil || len(state.VerifiedChains) == 0 || len(state.VerifiedChains[0]) == 0 {
		return ""
	}
	return nameOf(state.VerifiedChains[0][0])
}

// nameOf is the certificate's name, if it has exactly one.
func nameOf(c *x509.Certificate) string {
	if len(c.DNSNames) != 1 {
		return ""
	}
	return c.DNSNames[0]
}

// Only lets callers of these names through, and answers 403 to all others.
func Only(h http.Handler, names ...string) http.Handler {
	names = slices.Clone(names)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name := PeerName(r.TLS); name == "" || !slices.Contains(names, name) {
			http.Error(w, "this is not for you", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}
