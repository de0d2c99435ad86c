package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// logged is what tells an event of the feed from others.
type logged struct {
	Shard   int
	Seq     int64
	Entity  string
	Version int64
}

// checker takes events as they come and finds gaps, duplicates and disorder.
type checker struct {
	next     map[int]int64
	versions map[string]int64
	count    int
}

func newChecker() *checker { return &checker{next: map[int]int64{}, versions: map[string]int64{}} }

func (c *checker) take(e logged) error {
	if e.Seq != c.next[e.Shard]+1 {
		return fmt.Errorf("shard %d: seq %d follows %d", e.Shard, e.Seq, c.next[e.Shard])
	}
	if e.Version != c.versions[e.Entity]+1 {
		return fmt.Errorf("%s: version %d follows %d", e.Entity, e.Version, c.versions[e.Entity])
	}
	c.next[e.Shard], c.versions[e.Entity] = e.Seq, e.Version
	c.count++
	return nil
}

// write sends commands on several connections until count are answered.
func (r *rig) write(t *testing.T, count int) *sync.WaitGroup {
	var writers sync.WaitGroup
	const connections = 8
	for c := range connections {
		writers.Go(func() {
			for i := range count / connections {
				a, err := r.try(t.Context(), post(probePath(fmt.Sprintf("w-%d-%d", c, i%7))+"/AddAll", `{"items":[1,2]}`))
				if err != nil || a.status != 200 {
					t.Errorf("write: %d %s %v", a.status, a.text, err)
					return
				}
			}
		})
	}
	return &writers
}

func TestPagesOfTheFeedHaveNoGapAndNoDuplicateWhileEventsAreAppended(t *testing.T) {
	onEachStore(t, func(t *testing.T, p place) {
		r := start(t, p, probe(t))
		const commands = 400
		writers := r.write(t, commands)
		check, after := newChecker(), ""
		for limit := 1; check.count < 2*commands && !t.Failed(); limit = limit%37 + 1 {
			page := r.ok(t, get(fmt.Sprintf("/v1/events/probe?limit=%d%s", limit, after)))
			var events struct{ Events []logged }
			if err := json.Unmarshal([]byte(page.text), &events); err != nil {
				t.Fatal(err)
			}
			if len(events.Events) > limit {
				t.Errorf("%d events on a page of %d", len(events.Events), limit)
			}
			for _, e := range events.Events {
				if err := check.take(e); err != nil {
					t.Error(err)
				}
			}
			after = "&after=" + page.str(t, "position")
		}
		writers.Wait()
	})
}

func TestSmallPagesShowEveryShardThoughOneIsBusy(t *testing.T) {
	onEachStore(t, func(t *testing.T, p place) {
		r := start(t, p, probe(t))
		for range 30 {
			r.add(t, "busy")
		}
		quiet := map[string]bool{}
		for i := range 16 {
			r.add(t, fmt.Sprintf("quiet-%d", i))
		}
		after := ""
		for range 30 { // fewer than the busy entity alone would fill
			page := r.ok(t, get("/v1/events/probe?limit=1"+after))
			if e := page.str(t, "events", 0, "entity"); e != "busy" {
				quiet[page.str(t, "events", 0, "shard")] = true
			}
			after = "&after=" + page.str(t, "position")
		}
		if len(quiet) < 3 {
			t.Errorf("after 30 pages of one event only shards %v were seen beside the busy one", quiet)
		}
	})
}

// stream is an open event stream.
type stream struct {
	lines  *bufio.Scanner
	cancel context.CancelFunc
	lastID string
}

func (r *rig) stream(t *testing.T, path string, header ...string) *stream {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Accept", "text/event-stream")
	for i := 0; i+1 < len(header); i += 2 {
		q.Header.Set(header[i], header[i+1])
	}
	response, err := r.client.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	if got := response.Header.Get("Content-Type"); response.StatusCode != 200 || got != "text/event-stream" {
		t.Fatalf("a stream is %d %s", response.StatusCode, got)
	}
	s := &stream{lines: bufio.NewScanner(response.Body), cancel: cancel}
	s.lines.Buffer(nil, 4<<20)
	return s
}

// next gives the next event; false at the end of the stream.
func (s *stream) next(t *testing.T) (e logged, ok bool) {
	t.Helper()
	for s.lines.Scan() {
		line := s.lines.Text()
		if id, found := strings.CutPrefix(line, "id: "); found {
			s.lastID = id
		}
		if data, found := strings.CutPrefix(line, "data: "); found {
			if err := json.Unmarshal([]byte(data), &e); err != nil {
				t.Fatal(err)
			}
			return e, true
		}
	}
	return e, false
}

func TestAStreamFollowsAndResumesWithoutLoss(t *testing.T) {
	onEachStore(t, func(t *testing.T, p place) {
		r := start(t, p, probe(t))
		const commands = 200
		writers := r.write(t, commands)
		seen := map[[2]int64]bool{}
		lastID, sources := "", 0
		for len(seen) < 2*commands && !t.Failed() {
			s := r.stream(t, "/v1/events/probe?limit=20", "Last-Event-ID", lastID)
			sources++
			for range 150 { // then the reader loses its connection
				if len(seen) == 2*commands {
					break
				}
				e, ok := s.next(t)
				if !ok {
					t.Fatal("the stream ended by itself")
				}
				seen[[2]int64{int64(e.Shard), e.Seq}] = true
			}
			s.cancel()
			lastID = s.lastID
		}
		writers.Wait()
		heads := map[int64]int64{}
		for k := range seen {
			heads[k[0]] = max(heads[k[0]], k[1])
		}
		var total int64
		for _, head := range heads {
			total += head
		}
		if total != 2*commands || sources < 2 {
			t.Errorf("seen %d events of heads that sum to %d, over %d connections", len(seen), total, sources)
		}
	})
}

func TestAStreamFromTheEndShowsOnlyWhatComes(t *testing.T) {
	onEachStore(t, func(t *testing.T, p place) {
		r := start(t, p, probe(t))
		r.add(t, "old")
		s := r.stream(t, "/v1/events/probe?after=end")
		r.add(t, "new")
		if e, ok := s.next(t); !ok || e.Entity != "new" {
			t.Errorf("the stream begins with %+v", e)
		}
	})
}
