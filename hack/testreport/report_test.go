package main

import (
	"errors"
	"strings"
	"testing"
)

// stream builds what go test -json prints, one event a line.
func stream(lines ...string) string { return strings.Join(lines, "\n") + "\n" }

const (
	runA    = `{"Action":"run","Package":"example.test/m/p","Test":"TestA"}`
	passA   = `{"Action":"pass","Package":"example.test/m/p","Test":"TestA","Elapsed":0.7}`
	sayA    = `{"Action":"output","Package":"example.test/m/p","Test":"TestA","Output":"    a_test.go:7: no database here\n"}`
	skipA   = `{"Action":"skip","Package":"example.test/m/p","Test":"TestA","Elapsed":0}`
	failA   = `{"Action":"fail","Package":"example.test/m/p","Test":"TestA","Elapsed":0.1}`
	passPkg = `{"Action":"pass","Package":"example.test/m/p","Elapsed":0.9}`
	failPkg = `{"Action":"fail","Package":"example.test/m/p","Elapsed":0.9}`
)

func TestSummary(t *testing.T) {
	tests := map[string]struct {
		stream   string
		noSkip   bool
		goTest   error
		success  bool
		contains []string
		lacks    []string
	}{
		"a run in which all tests pass is a success and names the slow ones": {
			stream: stream(runA, passA, passPkg), noSkip: true, success: true,
			contains: []string{"1 passed, 0 failed", "slowest tests:", "p TestA", "PASSED"},
			lacks:    []string{"SKIPPED"},
		},
		"a skipped test is named with its reason and does not fail the run": {
			stream: stream(runA, sayA, skipA, passPkg), success: true,
			contains: []string{"1 SKIPPED", "p TestA: a_test.go:7: no database here", "PASSED"},
		},
		"a skipped test fails the run where nothing may be skipped": {
			stream: stream(runA, sayA, skipA, passPkg), noSkip: true,
			contains: []string{"no database here", "FAILED: 1 skipped where nothing may be skipped"},
		},
		"a skip without a word is still named": {
			stream: stream(runA, skipA, passPkg), success: true,
			contains: []string{"p TestA: no reason given"},
		},
		"what a test measured is shown although it passed": {
			stream: stream(runA,
				`{"Action":"attr","Package":"example.test/m/p","Test":"TestA","Key":"measured","Value":"longest pause 80ms"}`,
				`{"Action":"attr","Package":"example.test/m/p","Test":"TestA","Key":"owner","Value":"nobody"}`,
				passA, passPkg),
			success: true, contains: []string{"measured:\n  TestA: longest pause 80ms\n", "PASSED"}, lacks: []string{"nobody"},
		},
		"a failed test is shown in full": {
			stream: stream(runA, sayA, failA, failPkg), goTest: errors.New("exit status 1"),
			contains: []string{"---- fail: p TestA", "    a_test.go:7: no database here", "FAILED: 1 failed; go test: exit status 1"},
		},
		"a parent that failed only through a subtest is not repeated": {
			stream: stream(runA,
				`{"Action":"run","Package":"example.test/m/p","Test":"TestA/child"}`,
				`{"Action":"output","Package":"example.test/m/p","Test":"TestA/child","Output":"    a_test.go:9: want 1, got 2\n"}`,
				`{"Action":"fail","Package":"example.test/m/p","Test":"TestA/child","Elapsed":0}`,
				`{"Action":"output","Package":"example.test/m/p","Test":"TestA","Output":"--- FAIL: TestA (0.10s)\n"}`,
				failA, failPkg),
			contains: []string{"---- fail: p TestA/child", "want 1, got 2", "FAILED: 2 failed"},
			lacks:    []string{"---- fail: p TestA\n"},
		},
		"a test whose process died counts as failed": {
			stream:   stream(runA, sayA, failPkg),
			contains: []string{"---- unfinished: p TestA", "no database here", "FAILED: 1 failed"},
		},
		"a package that does not build is shown with what the compiler said": {
			stream: stream(
				`{"ImportPath":"example.test/m/p [example.test/m/p.test]","Action":"build-output","Output":"p/p.go:3:1: undefined: x\n"}`,
				`{"ImportPath":"example.test/m/p [example.test/m/p.test]","Action":"build-fail"}`,
				`{"Action":"fail","Package":"example.test/m/p","Elapsed":0,"FailedBuild":"example.test/m/p [example.test/m/p.test]"}`),
			contains: []string{"p/p.go:3:1: undefined: x", "does not build", "FAILED: 1 broken packages"},
		},
		"a package that fails outside of its tests fails the run": {
			stream: stream(runA, passA,
				`{"Action":"output","Package":"example.test/m/p","Output":"found leaked goroutines\n"}`, failPkg),
			contains: []string{"---- fail: package p", "found leaked goroutines", "FAILED: 1 broken packages"},
		},
		"a stream that breaks off before a package ended fails the run": {
			stream:   stream(runA, passA),
			contains: []string{"FAILED: 1 broken packages"},
		},
		"a failed go test fails the run even when every event is fine": {
			stream: stream(runA, passA, passPkg), goTest: errors.New("exit status 2"),
			contains: []string{"FAILED: go test: exit status 2"},
		},
		"a run without any test fails": {
			stream:   stream(`{"Action":"skip","Package":"example.test/m/p","Elapsed":0}`),
			contains: []string{"0 packages with tests, 1 without", "FAILED: no test ran"},
		},
		"lines that are no events are printed": {
			stream: stream("go: downloading something", runA, passA, passPkg), success: true,
			contains: []string{"go: downloading something"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			report := NewReport(&out, "example.test/m\n")
			if err := report.Read(strings.NewReader(test.stream)); err != nil {
				t.Fatalf("read: %v", err)
			}
			if got := report.Summarize(&out, test.noSkip, test.goTest); got != test.success {
				t.Errorf("success: want %v, got %v", test.success, got)
			}
			for _, want := range test.contains {
				if !strings.Contains(out.String(), want) {
					t.Errorf("want %q in:\n%s", want, out.String())
				}
			}
			for _, not := range test.lacks {
				if strings.Contains(out.String(), not) {
					t.Errorf("want no %q in:\n%s", not, out.String())
				}
			}
		})
	}
}
