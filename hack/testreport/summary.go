package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// slowestShown is how many of the slowest tests are named: enough to see what
// a run's time goes to, few enough to be read.
const slowestShown = 8

// slowEnough keeps tests that nobody waits for out of that list.
const slowEnough = 500 * time.Millisecond

// Summarize writes skips, failures, the slowest tests and the totals to w and
// tells whether the run counts as a success. With noSkip a skipped test does
// not. goTest is what the process of go test ended with.
func (r *Report) Summarize(w io.Writer, noSkip bool, goTest error) bool {
	totals := r.totals()
	r.writeMeasured(w)
	r.writeSlowest(w)
	r.writeSkips(w, noSkip)
	r.writeFailures(w)

	var verdicts []string
	if bad := totals[failed] + totals[unfinished]; bad > 0 {
		verdicts = append(verdicts, fmt.Sprintf("%d failed", bad))
	}
	if n := len(r.brokenPackages()); n > 0 {
		verdicts = append(verdicts, fmt.Sprintf("%d broken packages", n))
	}
	if noSkip && totals[skipped] > 0 {
		verdicts = append(verdicts, fmt.Sprintf("%d skipped where nothing may be skipped", totals[skipped]))
	}
	if totals[passed]+totals[failed]+totals[skipped]+totals[unfinished] == 0 {
		verdicts = append(verdicts, "no test ran")
	}
	if goTest != nil {
		verdicts = append(verdicts, "go test: "+goTest.Error())
	}

	withTests, without := r.packageCounts()
	fmt.Fprintf(w, "\n%d packages with tests, %d without; %d passed, %d failed, %d unfinished, %d skipped (subtests counted) in %s\n",
		withTests, without, totals[passed], totals[failed], totals[unfinished], totals[skipped], time.Since(r.began).Round(time.Second))
	if len(verdicts) > 0 {
		fmt.Fprintf(w, "FAILED: %s\n", strings.Join(verdicts, "; "))
		return false
	}
	fmt.Fprintln(w, "PASSED")
	return true
}

func (r *Report) totals() map[outcome]int {
	totals := map[outcome]int{}
	for _, p := range r.packages {
		for _, o := range []outcome{passed, failed, skipped, unfinished} {
			totals[o] += p.count(o)
		}
	}
	return totals
}

func (r *Report) packageCounts() (withTests, without int) {
	for _, p := range r.packages {
		if len(p.tests) > 0 || p.outcome == failed {
			withTests++
		} else {
			without++
		}
	}
	return withTests, without
}

// brokenPackages failed, or never ended, without a failed test to show for it:
// a build error, a TestMain, a panic outside of a test, a timeout.
func (r *Report) brokenPackages() []*packageRun {
	var broken []*packageRun
	for _, p := range r.packages {
		ended := p.outcome == passed || p.outcome == skipped
		if !ended && p.count(failed) == 0 {
			broken = append(broken, p)
		}
	}
	return broken
}

func (r *Report) packageLine(p *packageRun) string {
	name := r.short(p.name)
	switch {
	case p.failedBuild != "":
		return fmt.Sprintf("FAIL  %-46s does not build", name)
	case len(p.tests) == 0 && p.outcome == skipped:
		return fmt.Sprintf("-     %-46s no tests", name)
	}
	mark := "ok   "
	if p.outcome == failed {
		mark = "FAIL "
	}
	line := fmt.Sprintf("%s %-46s %5d passed %8s", mark, name, p.count(passed), p.elapsed.Round(10*time.Millisecond))
	for _, o := range []outcome{failed, unfinished, skipped} {
		if n := p.count(o); n > 0 {
			line += fmt.Sprintf("  %d %s", n, map[outcome]string{failed: "failed", unfinished: "unfinished", skipped: "SKIPPED"}[o])
		}
	}
	if p.cached {
		line += "  (cached)"
	}
	return line
}

// short cuts the module's path off a package's name.
func (r *Report) short(pkg string) string {
	if r.module == "" {
		return pkg
	}
	if pkg == r.module {
		return "."
	}
	return strings.TrimPrefix(pkg, r.module+"/")
}

func (r *Report) writeMeasured(w io.Writer) {
	heading := "\nmeasured:\n"
	for _, p := range r.packages {
		for _, t := range p.tests {
			for _, figure := range t.measured {
				fmt.Fprintf(w, "%s  %s: %s\n", heading, t.name, figure)
				heading = ""
			}
		}
	}
}

func (r *Report) writeSlowest(w io.Writer) {
	var slow []*testRun
	for _, p := range r.packages {
		for _, t := range p.tests {
			// A parent's time is its subtests' time; the top level tells enough.
			if !strings.Contains(t.name, "/") && t.elapsed >= slowEnough {
				slow = append(slow, t)
			}
		}
	}
	slices.SortStableFunc(slow, func(a, b *testRun) int { return cmp.Compare(b.elapsed, a.elapsed) })
	if len(slow) > slowestShown {
		slow = slow[:slowestShown]
	}
	if len(slow) == 0 {
		return
	}
	fmt.Fprintln(w, "\nslowest tests:")
	for _, t := range slow {
		fmt.Fprintf(w, "  %8s  %s %s\n", t.elapsed.Round(10*time.Millisecond), r.short(t.pkg), t.name)
	}
}

func (r *Report) writeSkips(w io.Writer, noSkip bool) {
	var skips []*testRun
	for _, p := range r.packages {
		for _, t := range p.tests {
			if t.outcome == skipped {
				skips = append(skips, t)
			}
		}
	}
	if len(skips) == 0 {
		return
	}
	heading := "these tests did NOT run"
	if noSkip {
		heading += ", and here that is a failure"
	}
	fmt.Fprintf(w, "\n!!!! %d SKIPPED: %s\n", len(skips), heading)
	for _, t := range skips {
		fmt.Fprintf(w, "!!!! %s %s: %s\n", r.short(t.pkg), t.name, reason(t.output.String()))
	}
}

// reason is what a test said before it skipped itself, on one line.
func reason(output string) string {
	words := strings.Fields(strings.Join(said(output), " "))
	if len(words) == 0 {
		return "no reason given"
	}
	return strings.Join(words, " ")
}

// said drops the lines with which go test frames a test's own output.
func said(output string) []string {
	var lines []string
	for line := range strings.Lines(output) {
		text := strings.TrimSpace(line)
		if strings.HasPrefix(text, "=== ") || strings.HasPrefix(text, "--- ") {
			continue
		}
		lines = append(lines, strings.TrimRight(line, "\n"))
	}
	return lines
}

func (r *Report) writeFailures(w io.Writer) {
	for _, p := range r.packages {
		for _, t := range p.tests {
			if t.outcome != failed && t.outcome != unfinished {
				continue
			}
			lines := said(t.output.String())
			if len(lines) == 0 && t.outcome == failed && p.hasFailedChild(t.name) {
				continue // failed only because a subtest did, which is shown itself
			}
			writeBlock(w, fmt.Sprintf("%s: %s %s", t.outcome, r.short(t.pkg), t.name), lines)
		}
	}
	for _, p := range r.brokenPackages() {
		lines := said(p.output.String())
		if b, ok := r.builds[p.failedBuild]; ok {
			lines = append(said(b.String()), lines...)
		}
		writeBlock(w, fmt.Sprintf("%s: package %s", p.outcome, r.short(p.name)), lines)
	}
	if len(r.noise) > 0 {
		writeBlock(w, "go test also said", r.noise)
	}
}

func (p *packageRun) hasFailedChild(parent string) bool {
	return slices.ContainsFunc(p.tests, func(t *testRun) bool {
		return strings.HasPrefix(t.name, parent+"/") && t.outcome == failed
	})
}

func writeBlock(w io.Writer, heading string, lines []string) {
	fmt.Fprintf(w, "\n---- %s\n", heading)
	for _, line := range lines {
		fmt.Fprintln(w, line)
	}
}
