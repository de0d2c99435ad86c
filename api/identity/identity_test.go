package identity

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const day = 24 * time.Hour

func authority(t *testing.T, name string) *Authority {
	t.Helper()
	a, err := NewAuthority(name, time.Now(), day)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// holder holds a certificate of a for name, and trusts the given authorities; a
// when none is given.
func holder(t *testing.T, a *Authority, name string, validity time.Duration, trusted ...*Authority) *Holder {
	t.Helper()
	if len(trusted) == 0 {
		trusted = []*Authority{a}
	}
	h := NewHolder()
	set(t, h, a, name, validity, trusted...)
	return h
}

func set(t *testing.T, h *Holder, a *Authority, name string, validity time.Duration, trusted ...*Authority) {
	t.Helper()
	certificate, key, err := a.Issue(name, time.Now(), validity)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Set(certificate, key, bundle(trusted...)); err != nil {
		t.Fatal(err)
	}
}

func bundle(authorities ...*Authority) []byte {
	var out []byte
	for _, a := range authorities {
		out = append(out, a.CertificatePEM()...)
	}
	return out
}

// server answers with the caller's name, over TLS with the given source.
func server(t *testing.T, source Source, only ...string) (address string) {
	t.Helper()
	var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto+" "+PeerName(r.TLS))
	})
	if len(only) > 0 {
		h = Only(h, only...)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h, TLSConfig: ServerConfig(source), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.ServeTLS(listener, "", "")
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	return listener.Addr().String()
}

// ask makes one request on a new connection.
func ask(t *testing.T, address string, config *tls.Config) (status int, body string, err error) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

// handshake gives what the side says that ends it: the server is asked first, for
// a client of TLS 1.3 takes itself for connected before the server has judged it.
func handshake(t *testing.T, source Source, config *tls.Config) error {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	served := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			s := tls.Server(conn, ServerConfig(source))
			err = s.HandshakeContext(ctx)
			_ = conn.Close()
		}
		served <- err
	}()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	mine := tls.Client(conn, config).HandshakeContext(ctx)
	_ = conn.Close()
	return errors.Join(<-served, mine)
}

func TestPeersOfOneAuthorityKnowEachOthersNames(t *testing.T) {
	ca := authority(t, "ca")
	pod := RuntimeName("shop", "bank")
	address := server(t, holder(t, ca, pod, day))
	_, body, err := ask(t, address, ClientConfig(holder(t, ca, OperatorName, day), pod))
	if err != nil || body != "HTTP/2.0 "+OperatorName {
		t.Errorf("answered %q, %v", body, err)
	}
}

func TestAHandshakeIsRefused(t *testing.T) {
	ca, other := authority(t, "ca"), authority(t, "other")
	pod := RuntimeName("shop", "bank")
	good := holder(t, ca, pod, day)
	noClient := ClientConfig(good, pod)
	noClient.GetClientCertificate = nil
	old := ClientConfig(good, pod)
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	for name, tt := range map[string]struct {
		server Source
		client *tls.Config
		want   string
	}{
		"to a client without a certificate":                     {good, noClient, "didn't provide a certificate"},
		"to a client whose certificate has expired":             {good, ClientConfig(holder(t, ca, OperatorName, -time.Minute), pod), "expired"},
		"to a client of another authority":                      {good, ClientConfig(holder(t, other, OperatorName, day, ca), pod), "unknown authority"},
		"to a client that has no certificate yet":               {good, ClientConfig(NewHolder(), pod), "no certificate yet"},
		"to a client of an older TLS":                           {good, old, "unsupported versions"},
		"to a server whose certificate has expired":             {holder(t, ca, pod, -time.Minute), ClientConfig(good, pod), "expired"},
		"to a server of another authority":                      {holder(t, other, pod, day, ca), ClientConfig(good, pod), "unknown authority"},
		"to a server of another Runtime":                        {good, ClientConfig(good, RuntimeName("shop", "stock")), `is for "bank.shop.runtime.leftfold", not "stock.shop`},
		"to a server when the client did not say whom it means": {good, ClientConfig(good, ""), "not \"\""},
		"by a server that has no certificate yet":               {NewHolder(), ClientConfig(good, pod), "internal error"},
	} {
		t.Run(name, func(t *testing.T) {
			err := handshake(t, tt.server, tt.client)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the handshake came to %v; want an error with %q", err, tt.want)
			}
		})
	}
}

func TestPlainHTTPReachesNoHandler(t *testing.T) {
	address := server(t, holder(t, authority(t, "ca"), OperatorName, day))
	response, err := http.Get("http://" + address + "/")
	if err != nil {
		return // the connection was closed: refused as well
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusBadRequest {
		t.Errorf("plain HTTP was answered with %s", response.Status)
	}
}

func TestOnlyTheNamedGetThrough(t *testing.T) {
	ca := authority(t, "ca")
	pod, stranger := RuntimeName("shop", "bank"), RuntimeName("other", "bank")
	address := server(t, holder(t, ca, pod, day), OperatorName, pod)
	for name, want := range map[string]int{OperatorName: 200, pod: 200, stranger: 403} {
		status, _, err := ask(t, address, ClientConfig(holder(t, ca, name, day), pod))
		if err != nil || status != want {
			t.Errorf("%s: %d, %v; want %d", name, status, err, want)
		}
	}
}

func TestACertificateOfSeveralNamesIsNobodys(t *testing.T) {
	two := &x509.Certificate{DNSNames: []string{OperatorName, RuntimeName("shop", "bank")}}
	state := &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{two}}}
	if name := PeerName(state); name != "" {
		t.Errorf("it is taken for %q's", name)
	}
}

func TestACertificateThatWasNotVerifiedNamesNobody(t *testing.T) {
	one := &x509.Certificate{DNSNames: []string{OperatorName}}
	state := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{one}}
	if name := PeerName(state); name != "" {
		t.Errorf("it is taken for %q's", name)
	}
	recorder := httptest.NewRecorder()
	Only(http.NotFoundHandler(), OperatorName).ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/", nil))
	if recorder.Code != http.StatusForbidden {
		t.Errorf("a request without TLS was answered with %d", recorder.Code)
	}
}

// Both sides keep talking while one authority takes the other's place, in the
// steps that the package comment names, in whatever order a step reaches them.
func TestAnAuthorityIsReplacedWithoutAnInterruption(t *testing.T) {
	before, after := authority(t, "before"), authority(t, "after")
	pod := RuntimeName("shop", "bank")
	client, peer := holder(t, before, OperatorName, day), holder(t, before, pod, day)
	address := server(t, peer)
	steps := []struct {
		issuer  *Authority
		trusted []*Authority
	}{
		{before, []*Authority{before, after}},
		{after, []*Authority{before, after}},
		{after, []*Authority{after}},
	}
	for i, step := range steps {
		sides := []func(){
			func() { set(t, client, step.issuer, OperatorName, day, step.trusted...) },
			func() { set(t, peer, step.issuer, pod, day, step.trusted...) },
		}
		for n := range sides {
			sides[(i+n)%2]()
			if _, _, err := ask(t, address, ClientConfig(client, pod)); err != nil {
				t.Fatalf("step %d, side %d: %v", i, n, err)
			}
		}
	}
	late := holder(t, before, OperatorName, day, after)
	if _, _, err := ask(t, address, ClientConfig(late, pod)); err == nil {
		t.Error("a certificate of the old authority is still good in the end")
	}
}

func TestAnAuthorityComesBackFromWhatWasStored(t *testing.T) {
	ca, other := authority(t, "ca"), authority(t, "other")
	key, err := ca.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseAuthority(bundle(other, ca), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, _, err := again.Issue(OperatorName, time.Now(), day)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := ParseCertificates(certificate)
	if err != nil {
		t.Fatal(err)
	}
	if !ca.Issued(parsed[0]) || other.Issued(parsed[0]) {
		t.Error("what it issues is not the stored authority's")
	}
	leafKey := func() []byte {
		_, key, err := ca.Issue(OperatorName, time.Now(), day)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}()
	leaf, leafOwnKey, err := ca.Issue(OperatorName, time.Now(), day)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string][2][]byte{
		"a key that fits no certificate":        {ca.CertificatePEM(), leafKey},
		"a certificate that is no authority's":  {leaf, leafOwnKey},
		"no key":                                {ca.CertificatePEM(), nil},
		"a certificate in the place of the key": {ca.CertificatePEM(), ca.CertificatePEM()},
		"no certificate":                        {nil, key},
		"words in the place of the certificate": {[]byte("hello"), key},
	} {
		if _, err := ParseAuthority(tt[0], tt[1]); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestNoCertificateOutlivesItsAuthority(t *testing.T) {
	now := time.Now()
	ca, err := NewAuthority("ca", now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	text, _, err := ca.Issue(OperatorName, now, day)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := ParseCertificates(text)
	if err != nil {
		t.Fatal(err)
	}
	if !leaf[0].NotAfter.Equal(ca.Certificate().NotAfter) {
		t.Errorf("it ends at %s, the authority at %s", leaf[0].NotAfter, ca.Certificate().NotAfter)
	}
	if !leaf[0].NotBefore.Before(now) {
		t.Errorf("it begins at %s: not good for a peer whose clock is behind", leaf[0].NotBefore)
	}
}

func TestAnIssuedCertificateIsNoAuthority(t *testing.T) {
	ca := authority(t, "ca")
	certificate, key, err := ca.Issue(OperatorName, time.Now(), day)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := ParseCertificates(certificate)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := parseKey(key)
	if err != nil {
		t.Fatal(err)
	}
	forger := &Authority{certificate: parsed[0], key: secret}
	// The forged chain is presented whole, and the forger's certificate is genuine.
	forged, forgedKey, err := forger.Issue(RuntimeName("shop", "bank"), time.Now(), day)
	if err != nil {
		t.Fatal(err)
	}
	h := NewHolder()
	if err := h.Set(append(forged, certificate...), forgedKey, ca.CertificatePEM()); err != nil {
		t.Fatal(err)
	}
	pod := RuntimeName("shop", "bank")
	if _, body, err := ask(t, server(t, holder(t, ca, pod, day)), ClientConfig(h, pod)); err == nil {
		t.Errorf("the server takes it: %q", body)
	}
	if _, body, err := ask(t, server(t, h), ClientConfig(holder(t, ca, OperatorName, day), pod)); err == nil {
		t.Errorf("the client takes it: %q", body)
	}
}

func TestAListOfAuthoritiesHoldsNoSecret(t *testing.T) {
	ca := authority(t, "ca")
	key, err := ca.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseCertificates(append(ca.CertificatePEM(), key...)); err == nil {
		t.Error("a private key among certificates goes unnoticed")
	}
	block, _ := pem.Decode(ca.CertificatePEM())
	block.Bytes = bytes.Repeat([]byte{7}, 40)
	if _, err := ParseCertificates(pem.EncodeToMemory(block)); err == nil {
		t.Error("a broken certificate goes unnoticed")
	}
}

func TestAHolderKeepsWhatItHasWhenGivenWhatDoesNotFit(t *testing.T) {
	ca := authority(t, "ca")
	h := holder(t, ca, OperatorName, day)
	good, err := h.Current()
	if err != nil {
		t.Fatal(err)
	}
	certificate, _, err := ca.Issue(OperatorName, time.Now(), day)
	if err != nil {
		t.Fatal(err)
	}
	_, otherKey, err := ca.Issue(OperatorName, time.Now(), day)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Set(certificate, otherKey, ca.CertificatePEM()); err == nil {
		t.Error("a key of another certificate is accepted")
	}
	if now, err := h.Current(); err != nil || now != good {
		t.Errorf("it gives something else now: %v", err)
	}
}
