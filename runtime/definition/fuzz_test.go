package definition

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// FuzzLoad: whatever stands in a manifest, lint says what is wrong with it and
// where, and never falls over. What it calls sound is compiled.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/*/*.yaml", "../../config/samples/*/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("no seeds: %v", err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Add([]byte("[")) // ends before what is expected
	base, err := os.ReadFile("testdata/base.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		l := newLoader()
		if err := l.take(readText("base.yaml", base)); err != nil {
			t.Fatal(err)
		}
		if err := l.take(readText("manifest.yaml", text)); err != nil {
			t.Fatal(err)
		}
		problems := l.finish()
		lines := 1 // as YAML breaks lines
		for _, b := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029"} {
			lines += bytes.Count(text, []byte(b))
		}
		for _, p := range problems {
			switch {
			case p.File != "base.yaml" && p.File != "manifest.yaml":
				t.Errorf("a problem without its file: %+v", p)
			case p.Message == "":
				t.Errorf("a problem that says nothing: %+v", p)
			case p.Line < 1 || p.File == "manifest.yaml" && p.Line > lines:
				t.Errorf("a problem outside of the %d lines: %+v", lines, p)
			}
		}
		if HasErrors(problems) {
			return
		}
		for name, a := range l.set.Aggregates {
			if a.Compiled == nil {
				t.Errorf("no problem, but %s did not compile", name)
			}
		}
		for name, p := range l.set.Projections {
			if p.Compiled == nil {
				t.Errorf("no problem, but %s did not compile", name)
			}
		}
	})
}
