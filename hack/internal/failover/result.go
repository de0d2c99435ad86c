package failover

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/leftfold/leftfold/hack/internal/history"
)

// Sample is one round.
type Sample struct {
	// Shards is how many the victim owned.
	Shards int
	// Noticed is from the fault to the operator's verdict; 0: it gave none.
	Noticed time.Duration
	// Reassigned and Written are from the fault, for each shard of the victim's, as
	// far as they are known; Moved and Pauses are of all planned moves, Gaps of all
	// shards, Commands the latencies of all commands that were answered in the round.
	Reassigned, Written, Moved, Pauses, Gaps, Commands []time.Duration
}

func (s Sample) String() string {
	return fmt.Sprintf("%d shards, noticed %s, reassigned %s, written %s, %d moved in %s, longest pause %s, longest gap %s",
		s.Shards, ms(s.Noticed), ms(longest(s.Reassigned)), ms(longest(s.Written)), len(s.Moved), ms(longest(s.Moved)),
		ms(longest(s.Pauses)), ms(longest(s.Gaps)))
}

// Result is all rounds of a fault.
type Result struct {
	Fault                                                       *Fault
	Rounds                                                      int
	Noticed, Reassigned, Written, Moved, Pauses, Gaps, Commands Series
	// Accepted commands wrote events, Refused ones did not: none was lost, none
	// happened twice. Unanswered were told to try again (429, 503, 504), Broken lost
	// their connection; each of them was settled under its key.
	Accepted, Refused, Unanswered, Broken int
	Judged                                history.Counts
}

func (r *Result) add(s Sample) {
	r.Rounds++
	if s.Noticed > 0 {
		r.Noticed = append(r.Noticed, s.Noticed)
	}
	r.Reassigned = append(r.Reassigned, s.Reassigned...)
	r.Written = append(r.Written, s.Written...)
	r.Moved = append(r.Moved, s.Moved...)
	r.Pauses = append(r.Pauses, s.Pauses...)
	r.Gaps = append(r.Gaps, s.Gaps...)
	r.Commands = append(r.Commands, s.Commands...)
}

func (r *Result) sort() {
	for _, s := range []Series{r.Noticed, r.Reassigned, r.Written, r.Moved, r.Pauses, r.Gaps, r.Commands} {
		slices.Sort(s)
	}
}

// Summary is a line about it all.
func (r *Result) Summary() string {
	var parts []string
	for _, row := range r.Rows() {
		parts = append(parts, fmt.Sprintf("%s %s (median), %s (longest)", row.What, ms(row.Series.At(.5)), ms(row.Series.At(1))))
	}
	return strings.Join(append(parts, r.Judgement()), "; ")
}

// Broke tells which promises were not kept, in words; nothing when all were.
func (r *Result) Broke() []string {
	var broken []string
	for _, p := range []struct {
		what     string
		series   Series
		promised time.Duration
	}{
		{"the first write after the fault", r.Written, r.Fault.Promised.Written},
		{"the pause of a shard", r.Pauses, r.Fault.Promised.Pause},
		{"a command", r.Commands, r.Fault.Promised.Command},
	} {
		if p.promised > 0 && p.series.At(0.99) > p.promised {
			broken = append(broken, fmt.Sprintf("%s takes %s at p99, %s are promised", p.what, ms(p.series.At(0.99)), ms(p.promised)))
		}
	}
	return broken
}

// Series is durations, in order of length.
type Series []time.Duration

// At gives the duration that so large a share of all does not exceed; 0 of none.
func (s Series) At(share float64) time.Duration {
	if len(s) == 0 {
		return 0
	}
	// The smallest of which it is true: of 20 values the p99 is the largest.
	i := int(share * float64(len(s)))
	if float64(i) == share*float64(len(s)) && i > 0 {
		i--
	}
	return s[min(i, len(s)-1)]
}

func longest(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	return slices.Max(d)
}

func ms(d time.Duration) string {
	return fmt.Sprintf("%.0f ms", float64(d)/float64(time.Millisecond))
}
