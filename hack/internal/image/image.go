// Package image makes container images from static binaries without a registry
// and without a builder: an archive that containerd, Docker and the local cluster
// import. The same binary gives the same archive, byte for byte.
//
// An image holds one binary and nothing else. What a program needs beside itself
// (time zones, templates) is compiled into it; certificates are mounted.
package image

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// User is who the program runs as: nobody's number, and not root, as the
// restricted pod security profile demands.
const User = "65532:65532"

// Write makes the archive at path from a static binary, which becomes
// /<base name of the binary>, the entry point. The archive appears whole or not
// at all. A binary that needs a dynamic loader is refused: it would not start.
func Write(path, reference, binary string) error {
	tag, err := name.NewTag(reference)
	if err != nil {
		return fmt.Errorf("name of the image: %w", err)
	}
	if err := checkStatic(binary); err != nil {
		return err
	}
	content, err := os.ReadFile(binary)
	if err != nil {
		return err
	}
	built, err := build("/"+filepath.Base(binary), content)
	if err != nil {
		return fmt.Errorf("image %s: %w", reference, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	part := path + ".part"
	defer os.Remove(part)
	if err := tarball.WriteToFile(part, tag, built); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Rename(part, path)
}

func build(entrypoint string, content []byte) (v1.Image, error) {
	var files bytes.Buffer
	archive := tar.NewWriter(&files)
	// No times and no owners of this machine: they would make each build differ.
	header := &tar.Header{
		Name: entrypoint[1:], Typeflag: tar.TypeReg, Mode: 0o555, Size: int64(len(content)),
		ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR,
	}
	if err := archive.WriteHeader(header); err != nil {
		return nil, err
	}
	if _, err := archive.Write(content); err != nil {
		return nil, err
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(files.Bytes())), nil
	})
	if err != nil {
		return nil, err
	}
	with, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	config, err := with.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.Architecture, config.OS = runtime.GOARCH, "linux"
	config.Config = v1.Config{Entrypoint: []string{entrypoint}, User: User, WorkingDir: "/"}
	return mutate.ConfigFile(with, config)
}

// Identity tells what an archive holds: the name of its image, and the digest
// of its configuration, which changes with anything in the image.
func Identity(path string) (reference, digest string, err error) {
	manifest, err := tarball.LoadManifest(func() (io.ReadCloser, error) { return os.Open(path) })
	if err != nil {
		return "", "", fmt.Errorf("%s is not an image archive: %w", path, err)
	}
	if len(manifest) != 1 || len(manifest[0].RepoTags) != 1 {
		return "", "", fmt.Errorf("%s holds several images or names; one of each is wanted", path)
	}
	return manifest[0].RepoTags[0], manifest[0].Config, nil
}

func checkStatic(binary string) error {
	file, err := elf.Open(binary)
	if err != nil {
		var access *fs.PathError
		if errors.As(err, &access) {
			return err
		}
		return fmt.Errorf("%s is not a Linux binary: %w", binary, err)
	}
	defer file.Close()
	for _, program := range file.Progs {
		if program.Type == elf.PT_INTERP {
			return fmt.Errorf("%s is not static (it asks for a dynamic loader): build it with CGO_ENABLED=0", binary)
		}
	}
	return nil
}
