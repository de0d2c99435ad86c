package identity

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// mount is a folder as a mounted Secret has it: the files are links through
// ..data, which is a link that is swapped.
type mount struct {
	t   *testing.T
	dir string
	n   int
}

func newMount(t *testing.T) *mount {
	t.Helper()
	m := &mount{t: t, dir: t.TempDir()}
	for _, name := range []string{CertificateFile, KeyFile, AuthoritiesFile} {
		m.must(os.Symlink(filepath.Join("..data", name), filepath.Join(m.dir, name)))
	}
	return m
}

func (m *mount) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// swap brings new files into the folder at once; nil leaves a file out.
func (m *mount) swap(certificate, key, authorities []byte) {
	m.t.Helper()
	m.n++
	name := "..data_" + strconv.Itoa(m.n)
	m.must(os.Mkdir(filepath.Join(m.dir, name), 0o700))
	for file, text := range map[string][]byte{CertificateFile: certificate, KeyFile: key, AuthoritiesFile: authorities} {
		if text != nil {
			m.must(os.WriteFile(filepath.Join(m.dir, name, file), text, 0o600))
		}
	}
	link := filepath.Join(m.dir, "..data_tmp")
	m.must(os.Symlink(name, link))
	m.must(os.Rename(link, filepath.Join(m.dir, "..data")))
}

func TestAFolderFollowsAMountedSecret(t *testing.T) {
	ca := authority(t, "ca")
	issue := func() (certificate, key []byte) {
		certificate, key, err := ca.Issue(OperatorName, time.Now(), day)
		if err != nil {
			t.Fatal(err)
		}
		return certificate, key
	}
	first, firstKey := issue()
	m := newMount(t)
	if _, err := FromFolder(m.dir); err == nil {
		t.Fatal("an empty folder is no identity")
	}
	m.swap(first, firstKey, ca.CertificatePEM())
	now := time.Now()
	f, err := fromFolder(m.dir, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	parsed := func(text []byte) []byte {
		c, err := ParseCertificates(text)
		if err != nil {
			t.Fatal(err)
		}
		return c[0].Raw
	}
	want := func(text []byte, why string) {
		t.Helper()
		got, err := f.Current()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Certificate.Certificate[0], parsed(text)) {
			t.Error(why)
		}
	}
	second, secondKey := issue()
	m.swap(second, secondKey, ca.CertificatePEM())
	want(first, "the folder is looked at more than once a second")
	now = now.Add(lookEvery)
	want(second, "the change of the link is not seen")

	third, thirdKey := issue()
	m.swap(third, secondKey, ca.CertificatePEM())
	now = now.Add(lookEvery)
	want(second, "a certificate with another's key is in use")
	m.swap(third, nil, ca.CertificatePEM())
	now = now.Add(lookEvery)
	want(second, "the last good certificate is lost when the key is missing")
	m.swap(third, thirdKey, ca.CertificatePEM())
	now = now.Add(lookEvery)
	want(third, "a folder that was mended is not read")

	// Files may also be written in place, as without Kubernetes.
	m.must(os.WriteFile(filepath.Join(m.dir, CertificateFile), first, 0o600))
	now = now.Add(lookEvery)
	want(third, "a folder that is half written is in use")
	m.must(os.WriteFile(filepath.Join(m.dir, KeyFile), firstKey, 0o600))
	now = now.Add(lookEvery)
	want(first, "a change in place is not seen")
}
