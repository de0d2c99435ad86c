package failover

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is what a run found, with what it ran on.
type Report struct {
	// Version is Leftfold's, Machine what it ran on, Command how to do it again.
	Version, Machine, Command string
	Began                     time.Time
	Took                      time.Duration
	Results                   []*Result
}

// Load says what callers did.
func (r *Report) Load() string {
	return fmt.Sprintf("%d connections and %d readers that rest for %s between two calls, and a deposit in every shard, each %s after the last, or %s where nothing fails",
		connections, readers, rests, pulseEvery, restfulPulse)
}

// Text prints the distributions.
func (r *Report) Text(out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(cells ...string) { _, _ = fmt.Fprintln(t, strings.Join(cells, "\t")) }
	row("FAULT", "ROUNDS", "OF", "N", "P50", "P90", "P99", "MAX", "PROMISED P99", "")
	for _, result := range r.Results {
		for i, s := range result.Rows() {
			title, rounds := "", ""
			if i == 0 {
				title, rounds = result.Fault.Title, fmt.Sprint(result.Rounds)
			}
			row(title, rounds, s.What, fmt.Sprint(len(s.Series)), ms(s.Series.At(.5)), ms(s.Series.At(.9)), ms(s.Series.At(.99)), ms(s.Series.At(1)), s.Limit(), s.Verdict())
		}
		row("", "", result.Judgement())
	}
	return t.Flush()
}

// Row is one distribution and what is promised of it.
type Row struct {
	What     string
	Series   Series
	Promised time.Duration
}

// Limit is the promise in words.
func (r Row) Limit() string {
	if r.Promised == 0 {
		return ""
	}
	return ms(r.Promised)
}

// Verdict tells whether it was kept.
func (r Row) Verdict() string {
	switch {
	case r.Promised == 0:
		return ""
	case r.Series.At(.99) > r.Promised:
		return "NOT KEPT"
	}
	return "kept"
}

// Rows are the distributions that say something about the fault.
func (r *Result) Rows() []Row {
	var rows []Row
	if !r.Fault.Planned {
		rows = append(rows, Row{What: "noticed", Series: r.Noticed}, Row{What: "reassigned", Series: r.Reassigned},
			Row{What: "written", Series: r.Written, Promised: r.Fault.Promised.Written})
	}
	rows = append(rows, Row{What: "moved", Series: r.Moved}, Row{What: "pause", Series: r.Pauses, Promised: r.Fault.Promised.Pause},
		Row{What: "gap", Series: r.Gaps}, Row{What: "command", Series: r.Commands, Promised: r.Fault.Promised.Command})
	return slices.DeleteFunc(rows, func(row Row) bool { return len(row.Series) == 0 })
}

// Judgement tells what the checkers looked at.
func (r *Result) Judgement() string {
	return fmt.Sprintf("%d accepted, %d refused by rule, %d told to try again, %d connections lost; nothing lost or doubled; %d reads and %d rows fit",
		r.Accepted, r.Refused, r.Unanswered, r.Broken, r.Judged.Reads+r.Judged.Past, r.Judged.Rows)
}

//go:embed report.html
var page string

// HTML writes a page with a plot of each distribution; it needs nothing but itself.
func (r *Report) HTML(out io.Writer) error {
	t, err := template.New("report").Funcs(template.FuncMap{"ms": ms, "plot": plot}).Parse(page)
	if err != nil {
		return err
	}
	return t.Execute(out, r)
}
