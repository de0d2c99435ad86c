package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/leftfold/leftfold/runtime/api"
)

// record writes an event of about so many bytes.
func (r *rig) record(t *testing.T, entity string, number, bytes int) {
	t.Helper()
	body := fmt.Sprintf(`{"number":%d,"ratio":1,"blob":%q,"moment":"2026-01-01T00:00:00Z","pause":"1s","parts":[],"flags":{}}`, number, strings.Repeat("QUJD", bytes/4))
	r.ok(t, post(probePath(entity)+"/Record", body))
}

// weight holds a page to its bytes: it may pass them with its last event only.
func weight(t *testing.T, a answer, largest int) {
	t.Helper()
	if most := api.PageBytes + largest + 64<<10; len(a.text) > most {
		t.Errorf("a page has %d bytes, want at most %d", len(a.text), most)
	}
}

func TestPagesOfLargeEventsEndAtTheirBytesAndLoseNothing(t *testing.T) {
	onEachStore(t, func(t *testing.T, p place) {
		r := start(t, p, probe(t))
		const large, count = 300_000, 9
		for i := range count {
			r.record(t, "large", i, large)
			r.record(t, fmt.Sprint("other-", i), i, large)
		}
		// Some small ones behind them.
		for range 5 {
			r.add(t, "large")
		}
		t.Run("of an entity", func(t *testing.T) {
			seen, pages, path := 0, 0, probePath("large")+"/events?limit=1000"
			for after := "&after=0"; after != ""; pages++ {
				a := r.ok(t, get(path+after))
				weight(t, a, large)
				for i := range a.list("events") {
					seen++
					if v := a.str(t, "events", i, "version"); v != itoa(int64(seen)) {
						t.Fatalf("version %s follows %d", v, seen-1)
					}
				}
				after = ""
				if next, more := a.at("next").(string); more {
					after = "&after=" + next
				}
				if len(a.list("events")) == 0 {
					t.Errorf("page %d has no event", pages)
				}
			}
			if seen != count+5 || pages != 3 {
				t.Errorf("%d events on %d pages, want %d on 3", seen, pages, count+5)
			}
		})
		t.Run("of an aggregate", func(t *testing.T) {
			check, after := newChecker(), ""
			for {
				a := r.ok(t, get("/v1/events/probe?limit=1000"+after))
				weight(t, a, large)
				if len(a.list("events")) == 0 {
					break
				}
				for i := range a.list("events") {
					if err := check.take(loggedAt(t, a, i)); err != nil {
						t.Fatal(err)
					}
				}
				after = "&after=" + a.str(t, "position")
			}
			if check.count != 2*count+5 {
				t.Errorf("%d events, want %d", check.count, 2*count+5)
			}
		})
		t.Run("of a stream", func(t *testing.T) {
			s := r.stream(t, "/v1/events/probe?limit=1000")
			check := newChecker()
			for range 2*count + 5 {
				e, ok := s.next(t)
				if !ok {
					t.Fatalf("the stream ended after %d events", check.count)
				}
				if err := check.take(e); err != nil {
					t.Fatal(err)
				}
			}
		})
		t.Run("of events that nearly fill one, the second of which passes it", func(t *testing.T) {
			for i := range 4 {
				r.record(t, "huge", i, 1_040_000)
			}
			for after, more := range map[string]bool{"0": true, "2": false} {
				a := r.ok(t, get(probePath("huge")+"/events?limit=1000&after="+after))
				if n := len(a.list("events")); n != 2 || (a.at("next") != nil) != more {
					t.Errorf("after %s: %d events, next %v", after, n, a.at("next"))
				}
			}
		})
		if a := r.do(t, get(probePath("nobody")+"/events")); a.status != http.StatusNotFound {
			t.Errorf("an entity without events: %d %s", a.status, a.text)
		}
	})
}

// loggedAt is an event of a page of the feed.
func loggedAt(t *testing.T, a answer, i int) logged {
	t.Helper()
	number := func(name string) (n int64) {
		if _, err := fmt.Sscan(a.str(t, "events", i, name), &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	return logged{Shard: int(number("shard")), Seq: number("seq"), Entity: a.str(t, "events", i, "entity"), Version: number("version")}
}
