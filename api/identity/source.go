package identity

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Names of the files of a folder with an identity, as in Secrets of type
// kubernetes.io/tls.
const (
	CertificateFile = "tls.crt"
	KeyFile         = "tls.key"
	AuthoritiesFile = "ca.crt"
)

// lookEvery is the least time between two looks at a folder. Handshakes may come
// in bursts; a certificate that is a second late is none too late.
const lookEvery = time.Second

// ErrNoCertificate is what a Holder gives that was given nothing yet.
var ErrNoCertificate = errors.New("there is no certificate yet")

// Material is one's certificate with its key, and whom one trusts.
type Material struct {
	Certificate tls.Certificate
	Authorities *x509.CertPool
}

// Source gives the material of the present moment. It is asked at every
// handshake, and concurrently. Nobody changes what it gives.
type Source interface {
	Current() (*Material, error)
}

// Holder is a Source in memory. Its zero value is empty: ErrNoCertificate.
type Holder struct{ current atomic.Pointer[Material] }

// NewHolder makes an empty Holder.
func NewHolder() *Holder { return &Holder{} }

// Set replaces what the Holder gives. With an error, it stays as it was.
func (h *Holder) Set(certificatePEM, keyPEM, authoritiesPEM []byte) error {
	m, err := parsePair(certificatePEM, keyPEM, authoritiesPEM)
	if err != nil {
		return err
	}
	h.current.Store(m)
	return nil
}

// Current implements Source.
func (h *Holder) Current() (*Material, error) {
	if m := h.current.Load(); m != nil {
		return m, nil
	}
	return nil, ErrNoCertificate
}

// Folder is a Source that reads a mounted Secret and follows its changes.
type Folder struct {
	dir string
	now func() time.Time

	mu      sync.Mutex
	current *Material
	texts   [3][]byte // what current was read from
	looked  time.Time
	told    string // the last failure that was logged
}

// FromFolder reads the three files of a folder, and follows their changes. What
// cannot be read later, or is half written, leaves the last good material in
// force, and is logged once. The error is that of the first reading.
func FromFolder(dir string) (*Folder, error) { return fromFolder(dir, time.Now) }

func fromFolder(dir string, now func() time.Time) (*Folder, error) {
	f := &Folder{dir: dir, now: now}
	if err := f.look(); err != nil {
		return nil, err
	}
	return f, nil
}

// Current implements Source.
func (f *Folder) Current() (*Material, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.now().Sub(f.looked) < lookEvery {
		return f.current, nil
	}
	err := f.look()
	switch {
	case err == nil:
		f.told = ""
	case err.Error() != f.told:
		f.told = err.Error()
		slog.Warn("the certificate in the folder cannot be read; the one before stays in use", "folder", f.dir, "error", err)
	}
	return f.current, nil
}

// look reads the files and compares them with what they were: three small files,
// and times of change are too coarse to go by. A mounted Secret may be swapped
// between two of them; then the pair does not fit, or the next look finds another
// text.
func (f *Folder) look() error {
	f.looked = f.now()
	var texts [3][]byte
	for i, name := range []string{CertificateFile, KeyFile, AuthoritiesFile} {
		var err error
		if texts[i], err = os.ReadFile(filepath.Join(f.dir, name)); err != nil {
			return err
		}
	}
	if f.current != nil && slices.EqualFunc(texts[:], f.texts[:], bytes.Equal) {
		return nil
	}
	m, err := parsePair(texts[0], texts[1], texts[2])
	if err != nil {
		return fmt.Errorf("folder %s: %w", f.dir, err)
	}
	f.current, f.texts = m, texts
	return nil
}
