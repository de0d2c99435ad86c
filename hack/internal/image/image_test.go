package image

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func TestSameBinaryGivesTheSameArchive(t *testing.T) {
	binary := compile(t)
	first, second := filepath.Join(t.TempDir(), "a.tar"), filepath.Join(t.TempDir(), "b.tar")
	for _, path := range []string{first, second} {
		if err := Write(path, "sample:dev", binary); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(read(t, first), read(t, second)) {
		t.Error("two archives of one binary differ")
	}
}

func TestImageRunsTheBinaryAsNobody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sample.tar")
	if err := Write(path, "sample:dev", compile(t)); err != nil {
		t.Fatal(err)
	}
	built, err := tarball.ImageFromPath(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	config, err := built.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if got := config.Config.User; got != "65532:65532" {
		t.Errorf("user is %q", got)
	}
	if got := strings.Join(config.Config.Entrypoint, " "); got != "/sample" {
		t.Errorf("entry point is %q", got)
	}
	want, err := built.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	reference, digest, err := Identity(path)
	if err != nil {
		t.Fatal(err)
	}
	if reference != "sample:dev" || digest != want.String() {
		t.Errorf("Identity = %s, %s; want sample:dev, %s", reference, digest, want)
	}
}

func TestWriteRefusesWhatCannotRun(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, reference, binary, complaint string }{
		{"a script", "sample:dev", script, "not a Linux binary"},
		{"a binary with a dynamic loader", "sample:dev", shell, "not static"},
		{"a file that is not there", "sample:dev", script + "x", "no such file"},
		{"a name that is none", "Sample:dev", script, "name of the image"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "out.tar")
			err := Write(path, c.reference, c.binary)
			if err == nil || !strings.Contains(err.Error(), c.complaint) {
				t.Errorf("Write: %v; want %q in it", err, c.complaint)
			}
			if _, err := os.Stat(path); err == nil {
				t.Error("an archive was left")
			}
		})
	}
}

// compile builds the smallest program there is, statically.
func compile(t *testing.T) string {
	t.Helper()
	source := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "sample")
	cmd := exec.Command("go", "build", "-trimpath", "-o", binary, source)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return binary
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
