package ledger

import (
	"testing"
	"time"
)

func TestAPauseIsWhatCallersWaitForAMove(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }
	// Each but one answer takes 10 ms, and the next is asked for 40 ms after it.
	p := &Pulse{beats: [][]beat{
		{{at(0), at(10)}, {at(50), at(60)}, {at(100), at(190)}, {at(230), at(240)}, {at(280), at(290)}},
		{{at(0), at(10)}},
	}}
	for name, tt := range map[string]struct{ ordered, done, want int }{
		"somebody waits": {80, 180, 110}, // from the order to the answer
		"the old owner has answered after the order": {55, 180, 130}, // from its answer
		"nobody asked meanwhile":                     {65, 80, 105},  // from 65 to 80, and from 100 to 190
		"it had to be asked for once it was done":    {245, 270, 35}, // from 245 to 270, and from 280 to 290
		"the old owner answers last thing":           {185, 200, 20}, // from 190 to 200, and from 230 to 240
	} {
		t.Run(name, func(t *testing.T) {
			got, err := p.Pause(0, at(tt.ordered), at(tt.done))
			if err != nil || got != time.Duration(tt.want)*time.Millisecond {
				t.Errorf("it is %s, %v; want %d ms", got, err, tt.want)
			}
		})
	}
	for name, tt := range map[string]struct{ shard, ordered, done int }{
		"nothing after it":            {0, 295, 300},
		"nothing after it was done":   {0, 285, 300},
		"nothing before it":           {0, 5, 8},
		"one answer, and none before": {1, 5, 8},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := p.Pause(tt.shard, at(tt.ordered), at(tt.done)); err == nil {
				t.Errorf("there are no two answers around it, and it is %s", got)
			}
		})
	}
}
