package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// event is one line of `go test -json`, as `go doc test2json` and
// `go help buildjson` describe it.
type event struct {
	Action      string
	Package     string
	ImportPath  string // of build-output and build-fail
	Test        string // empty for events of the package itself
	Elapsed     float64
	Output      string
	FailedBuild string // on a package's fail: the build that failed
	Key, Value  string // of attr
}

// outcome is how a test or a package ended.
type outcome string

const (
	unfinished outcome = "unfinished" // its process died first
	passed     outcome = "pass"
	failed     outcome = "fail"
	skipped    outcome = "skip"
)

// testRun is one test or subtest.
type testRun struct {
	pkg, name string
	outcome   outcome
	elapsed   time.Duration
	output    strings.Builder
	// measured is what the test told by T.Attr("measured", ...).
	measured []string
}

// packageRun is one package and what it printed outside of any test.
type packageRun struct {
	name        string
	outcome     outcome
	elapsed     time.Duration
	cached      bool
	failedBuild string
	output      strings.Builder
	tests       []*testRun // in the order in which they began
	byName      map[string]*testRun
}

// Report gathers a run of go test. The zero value is not usable.
type Report struct {
	progress io.Writer
	module   string
	began    time.Time
	packages []*packageRun // in the order in which they began
	byName   map[string]*packageRun
	builds   map[string]*strings.Builder // compiler output by import path
	noise    []string                    // lines that are no events
}

// NewReport prints a line for each package that ends to progress. Package
// names are printed without the module's path.
func NewReport(progress io.Writer, module string) *Report {
	return &Report{
		progress: progress,
		module:   strings.TrimSpace(module),
		began:    time.Now(),
		byName:   map[string]*packageRun{},
		builds:   map[string]*strings.Builder{},
	}
}

// Read takes the stream in until its end. Lines that are no JSON are kept and
// printed with the failures.
func (r *Report) Read(stream io.Reader) error {
	lines := bufio.NewReader(stream)
	for {
		line, err := lines.ReadString('\n')
		if text := strings.TrimSpace(line); text != "" {
			var e event
			if json.Unmarshal([]byte(text), &e) == nil && e.Action != "" {
				r.add(e)
			} else {
				r.noise = append(r.noise, text)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read from go test: %w", err)
		}
	}
}

func (r *Report) add(e event) {
	switch {
	case e.Action == "build-output" || e.Action == "build-fail":
		r.build(e.ImportPath).WriteString(e.Output)
	case e.Package == "":
		if e.Output != "" {
			r.noise = append(r.noise, strings.TrimRight(e.Output, "\n"))
		}
	case e.Test == "":
		r.addToPackage(r.pkg(e.Package), e)
	default:
		r.pkg(e.Package).test(e.Test).add(e)
	}
}

func (r *Report) addToPackage(p *packageRun, e event) {
	switch o := outcome(e.Action); o {
	case passed, failed, skipped:
		p.outcome = o
		p.elapsed = seconds(e.Elapsed)
		p.failedBuild = e.FailedBuild
		fmt.Fprintln(r.progress, r.packageLine(p))
	default:
		if strings.HasPrefix(e.Output, "ok ") && strings.Contains(e.Output, "(cached)") {
			p.cached = true
		}
		p.output.WriteString(e.Output)
	}
}

func (r *Report) pkg(name string) *packageRun {
	p, ok := r.byName[name]
	if !ok {
		p = &packageRun{name: name, outcome: unfinished, byName: map[string]*testRun{}}
		r.byName[name] = p
		r.packages = append(r.packages, p)
	}
	return p
}

func (r *Report) build(importPath string) *strings.Builder {
	b, ok := r.builds[importPath]
	if !ok {
		b = &strings.Builder{}
		r.builds[importPath] = b
	}
	return b
}

func (p *packageRun) test(name string) *testRun {
	t, ok := p.byName[name]
	if !ok {
		t = &testRun{pkg: p.name, name: name, outcome: unfinished}
		p.byName[name] = t
		p.tests = append(p.tests, t)
	}
	return t
}

// count tells how many tests and subtests of the package ended so.
func (p *packageRun) count(o outcome) int {
	n := 0
	for _, t := range p.tests {
		if t.outcome == o {
			n++
		}
	}
	return n
}

// measuredKey is the attribute by which a test tells a figure that readers of the
// run want to see, also when it passed.
const measuredKey = "measured"

func (t *testRun) add(e event) {
	if e.Action == "attr" && e.Key == measuredKey {
		t.measured = append(t.measured, e.Value)
		return
	}
	switch o := outcome(e.Action); o {
	case passed, failed, skipped:
		t.outcome = o
		t.elapsed = seconds(e.Elapsed)
		if o == passed {
			t.output.Reset() // only what went wrong is shown
		}
	default:
		t.output.WriteString(e.Output)
	}
}

func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second))
}
