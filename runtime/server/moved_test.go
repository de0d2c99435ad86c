package server_test

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A stream that waits for a shard's next commit must notice that the shard has
// gone elsewhere, and look there.
func TestAStreamGoesOnWhenItsShardsMoveToAnotherServer(t *testing.T) {
	p := postgresPlace(t)
	first := start(t, p, probe(t))
	first.add(t, "e-0")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, first.URL()+"/v1/events/probe?after=end", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "text/event-stream")
	response, err := first.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	lines := bufio.NewScanner(response.Body)
	if !lines.Scan() { // the checkpoint: it waits now, or will in a moment
		t.Fatal(lines.Err())
	}
	second := start(t, p, probe(t))
	second.add(t, "e-0")
	sent := time.Now()
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "data:") {
			// A stream that only wakes to send its comment needs up to 15 s.
			if took := time.Since(sent); took > 5*time.Second {
				t.Errorf("the event came after %s", took)
			}
			return
		}
	}
	t.Errorf("the stream ended: %v", lines.Err())
}
