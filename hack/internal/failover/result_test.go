package failover

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leftfold/leftfold/hack/internal/ledger"
	"github.com/leftfold/leftfold/hack/internal/stage"
)

func series(n int) (s Series) {
	for i := range n {
		s = append(s, time.Duration(i+1)*time.Millisecond)
	}
	return s
}

func TestAShareOfASeriesIsWhatSoManyDoNotExceed(t *testing.T) {
	for _, tt := range []struct {
		n     int
		share float64
		want  int // ms
	}{
		{100, .5, 50}, {100, .99, 99}, {100, 1, 100},
		{20, .99, 20}, {1, .5, 1}, {3, .5, 2}, {4, .5, 2}, {1000, .999, 999}, {7, 0, 1}, {0, .99, 0},
	} {
		if got := series(tt.n).At(tt.share); got != time.Duration(tt.want)*time.Millisecond {
			t.Errorf("%v of 1..%d ms is %s, want %d ms", tt.share, tt.n, got, tt.want)
		}
	}
}

func TestARoundTellsWhatBecameOfTheVictimsShards(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	after := func(ms int) time.Time { return at.Add(time.Duration(ms) * time.Millisecond) }
	r := &round{victim: stage.Pod{Name: "bank-1"}, shards: []int{1, 2}}
	got := measure(r, at, []ledger.Gap{
		{Shard: 0, Took: 21 * time.Millisecond}, {Shard: 1, Took: 110 * time.Millisecond}, {Shard: 2, Took: 140 * time.Millisecond},
	}, []time.Time{after(11), after(100), after(120)}, []stage.Said{
		{At: after(1), Verdict: "Dead", Pod: "bank-2"},
		{At: after(8), Verdict: "Dead", Pod: "bank-1"},
		{At: after(9), Verdict: "Recovered", Pod: "bank-1"},
		{At: after(60), FailedOver: true, Shard: 2},
		{At: after(61), FailedOver: true, Shard: 0},
		{At: after(90), Moved: true, Took: 7 * time.Millisecond, Shard: 5},
	})
	ms := time.Millisecond
	want := Sample{
		Shards: 2, Noticed: 8 * ms, Reassigned: []time.Duration{60 * ms}, Written: []time.Duration{100 * ms, 120 * ms},
		Moved: []time.Duration{7 * ms}, Gaps: []time.Duration{21 * ms, 110 * ms, 140 * ms},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTheReportTellsWhichPromisesWereNotKept(t *testing.T) {
	kept := &Result{Fault: &Fault{Title: "one", Promised: Promise{Written: 100 * time.Millisecond}}, Rounds: 3, Written: series(100), Pauses: series(5)}
	broken := &Result{
		Fault:  &Fault{Title: "two <&>", Planned: true, Promised: Promise{Pause: 98 * time.Millisecond, Command: time.Second}},
		Rounds: 1, Pauses: series(100), Commands: series(2000),
	}
	if got := kept.Broke(); len(got) != 0 {
		t.Errorf("all is kept, and it says %q", got)
	}
	if got := strings.Join(broken.Broke(), "; "); got != "the pause of a shard takes 99 ms at p99, 98 ms are promised; a command takes 1980 ms at p99, 1000 ms are promised" {
		t.Errorf("it says %q", got)
	}
	report := &Report{Version: "v1", Machine: "a machine", Command: "make failover", Results: []*Result{kept, broken}}
	var text, page strings.Builder
	if err := errors.Join(report.Text(&text), report.HTML(&page)); err != nil {
		t.Fatal(err)
	}
	for out, n := range map[string]int{text.String(): 2, page.String(): 2} {
		if got := strings.Count(out, "NOT KEPT"); got != n {
			t.Errorf("%d promises are shown as not kept, want %d:\n%s", got, n, out)
		}
	}
	// What a browser gets is a drawing that can be parsed, of as many curves as there
	// are distributions.
	drawings := page.String()
	for range 2 {
		from := strings.Index(drawings, "<svg")
		to := strings.Index(drawings, "</svg>") + len("</svg>")
		decoder, curves := xml.NewDecoder(strings.NewReader(drawings[from:to])), 0
		for {
			token, err := decoder.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%v in %s", err, drawings[from:to])
			}
			if start, ok := token.(xml.StartElement); ok && start.Name.Local == "polyline" {
				curves++
			}
		}
		if curves != 2 {
			t.Errorf("%d curves, want 2", curves)
		}
		drawings = drawings[to:]
	}
	if strings.Contains(page.String(), "two <&>") || !strings.Contains(page.String(), "two &lt;&amp;&gt;") {
		t.Error("text is not escaped")
	}
}
