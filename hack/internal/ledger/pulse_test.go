package ledger

import (
	"testing"
	"time"
)

func TestTheGapAroundATimeIsTheLongestThatTouchesIt(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }
	p := &Pulse{acks: [][]time.Time{{at(0), at(900), at(1000), at(1040), at(1120), at(1150), at(1900)}, {at(0)}}}
	for _, tt := range []struct{ from, to, took, resumed int }{
		{1010, 1030, 40, 1040},
		{1010, 1060, 80, 1120},
		{1041, 1119, 80, 1120},
		{1040, 1120, 80, 1120}, // what ends at its begin touches it, what begins at its end does not
		{950, 960, 100, 1000},
		{1125, 1200, 750, 1900},
	} {
		got, err := p.GapAround(0, at(tt.from), at(tt.to))
		if err != nil || got.Took != time.Duration(tt.took)*time.Millisecond || !got.Resumed.Equal(at(tt.resumed)) {
			t.Errorf("from %d to %d it is %+v, %v; want %d ms that end at %d", tt.from, tt.to, got, err, tt.took, tt.resumed)
		}
	}
	for _, tt := range []struct{ shard, from, to int }{{0, 1950, 2000}, {1, 0, 10}} {
		if got, err := p.GapAround(tt.shard, at(tt.from), at(tt.to)); err == nil {
			t.Errorf("shard %d has no write after %d, and it is %+v", tt.shard, tt.from, got)
		}
	}
}
