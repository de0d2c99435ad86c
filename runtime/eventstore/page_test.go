package eventstore

import (
	"context"
	"encoding/json"
	"testing"
)

func TestAPageAsksForWhatItHasRoomFor(t *testing.T) {
	of := func(bytes int) Event { return Event{Data: make(json.RawMessage, bytes)} }
	for name, tt := range map[string]struct {
		within int // 0: no bound
		have   []int
		limit  int
		want   int
	}{
		"without a bound for all":                     {0, nil, 1000, 1000},
		"and for all that are missing":                {0, []int{1 << 20}, 1000, 999},
		"with one for some of unknown size":           {1000, nil, 1000, firstAsk},
		"but for no more than are wanted":             {1000, nil, 7, 7},
		"then for those that fit by what came":        {1000, []int{100, 100}, 1000, 9},
		"but for no more than are missing":            {1000, []int{10, 10}, 5, 3},
		"for one when the next may be the last":       {1000, []int{900}, 1000, 1},
		"for none when its bytes are reached":         {1000, []int{600, 400}, 1000, 0},
		"for none when it has as many as are wanted":  {1000, []int{1, 1}, 2, 0},
		"and events without data are of unknown size": {1000, []int{0}, 1000, firstAsk},
	} {
		ctx := t.Context()
		if tt.within > 0 {
			ctx = Within(ctx, tt.within)
		}
		p := NewPage(ctx)
		for _, bytes := range tt.have {
			p.Add(of(bytes))
		}
		if got := p.Ask(tt.limit); got != tt.want {
			t.Errorf("it asks %s: %d, want %d", name, got, tt.want)
		}
	}
	ctx := Within(t.Context(), 1000)
	NewPage(ctx).Add(of(250))
	for name, next := range map[string]context.Context{"the next page": ctx, "a page with another bound": Within(ctx, 1000)} {
		if got := NewPage(next).Ask(1000); got != 5 {
			t.Errorf("%s asks for %d events, want 5 by the size of those before", name, got)
		}
	}
	if got := NewPage(Within(t.Context(), 1000)).Ask(1000); got != firstAsk {
		t.Errorf("a page that knows of none before asks for %d, want %d", got, firstAsk)
	}
}
