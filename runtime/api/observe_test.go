package api

import (
	"sync"
	"testing"
	"time"

	"github.com/leftfold/leftfold/runtime/problem"
)

// heard is what an observer was told.
type heard struct {
	mu       sync.Mutex
	levels   map[string]int64
	refusals map[problem.Limit]int
}

func hear(c *Config) *heard {
	h := &heard{levels: map[string]int64{}, refusals: map[problem.Limit]int{}}
	c.Observer = Observer{
		Refused: func(by problem.Limit) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.refusals[by]++
		},
		Connections: change[int](h, "connections"), Calls: change[int](h, "calls"), Streams: change[int](h, "streams"),
		BodyBytes: change[int64](h, "bodyBytes"), AnswerBytes: change[int64](h, "answerBytes"),
	}
	return h
}

func change[T int | int64](h *heard, level string) func(T) {
	return func(delta T) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.levels[level] += int64(delta)
	}
}

func (h *heard) level(name string) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.levels[name]
}

// wantRefusals holds the refusals to these, and no others.
func (h *heard) wantRefusals(t *testing.T, by problem.Limit, times int) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.refusals[by] != times || len(h.refusals) != min(times, 1) {
		t.Errorf("told of refusals %v, want %d by %s", h.refusals, times, by)
	}
}

// wantRest waits until a level is 0: a server ends a call after its answer.
func (h *heard) wantRest(t *testing.T, levels ...string) {
	t.Helper()
	for _, name := range levels {
		for deadline := time.Now().Add(10 * time.Second); h.level(name) != 0; <-time.After(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("%s: %d at rest", name, h.level(name))
				break
			}
		}
	}
}
