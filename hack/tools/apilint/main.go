// Command apilint holds the API types to the conventions of Kubernetes with
// kube-api-linter, as a program of its own: golangci-lint would have to be
// rebuilt to take it in as a plugin.
//
//	apilint [-C DIR] PACKAGE...
//
// It prints what it finds, one finding a line, and exits 1 when a finding is not
// among the exceptions, or when an exception excuses nothing any more; 2 when
// it cannot look.
package main

import (
	"flag"
	"fmt"
	"go/token"
	"os"
	"sort"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/checker"
	"golang.org/x/tools/go/packages"
	"sigs.k8s.io/kube-api-linter/pkg/plugin/base"
	_ "sigs.k8s.io/kube-api-linter/pkg/registration"
)

func main() {
	dir := flag.String("C", ".", "the folder of the module to look at")
	flag.Parse()
	unexcused, err := run(*dir, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "apilint:", err)
		os.Exit(2)
	}
	if unexcused > 0 {
		fmt.Fprintf(os.Stderr, "apilint: %d findings; fix them, or add an exception with its reason to hack/tools/apilint/rules.go\n", unexcused)
		os.Exit(1)
	}
}

// finding is one thing that an analyzer said.
type finding struct {
	position token.Position
	linter   string
	message  string
}

// run prints every finding that no exception excuses and every exception that
// excuses none, and returns how many there were.
func run(dir string, patterns []string) (int, error) {
	findings, err := analyze(dir, patterns)
	if err != nil {
		return 0, err
	}
	used := map[string]bool{}
	unexcused := 0
	for _, f := range findings {
		if excuse := excuse(f); excuse != "" {
			used[excuse] = true
			continue
		}
		fmt.Printf("%s: %s: %s\n", f.position, f.linter, f.message)
		unexcused++
	}
	for _, e := range exceptions {
		for _, field := range e.fields {
			if !used[e.linter+" "+field] {
				fmt.Printf("rules.go: the exception of %s for %s excuses nothing: remove it\n", e.linter, field)
				unexcused++
			}
		}
	}
	return unexcused, nil
}

func analyze(dir string, patterns []string) ([]finding, error) {
	linter, err := base.New(settings)
	if err != nil {
		return nil, err
	}
	analyzers, err := linter.BuildAnalyzers()
	if err != nil {
		return nil, err
	}
	loaded, err := packages.Load(&packages.Config{Mode: packages.LoadAllSyntax, Dir: dir}, patterns...)
	if err != nil {
		return nil, err
	}
	if packages.PrintErrors(loaded) > 0 {
		return nil, fmt.Errorf("the packages do not compile")
	}
	graph, err := checker.Analyze(analyzers, loaded, nil)
	if err != nil {
		return nil, err
	}
	return collect(graph, analyzers)
}

// collect returns what the analyzers said of the packages asked for, in the
// order of the source, each thing once.
func collect(graph *checker.Graph, analyzers []*analysis.Analyzer) ([]finding, error) {
	asked := map[*analysis.Analyzer]bool{}
	for _, a := range analyzers {
		asked[a] = true
	}
	seen := map[finding]bool{}
	var findings []finding
	for action := range graph.All() {
		if action.Err != nil {
			return nil, fmt.Errorf("%s: %w", action.Analyzer.Name, action.Err)
		}
		if !action.IsRoot || !asked[action.Analyzer] {
			continue
		}
		for _, d := range action.Diagnostics {
			f := finding{action.Package.Fset.Position(d.Pos), action.Analyzer.Name, d.Message}
			if !seen[f] {
				seen[f] = true
				findings = append(findings, f)
			}
		}
	}
	sort.Slice(findings, func(i, j int) bool {
		a, b := findings[i], findings[j]
		if a.position.Filename != b.position.Filename {
			return a.position.Filename < b.position.Filename
		}
		if a.position.Line != b.position.Line {
			return a.position.Line < b.position.Line
		}
		return a.linter < b.linter
	})
	return findings, nil
}
