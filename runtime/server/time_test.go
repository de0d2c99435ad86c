package server_test

import (
	"net/url"
	"testing"
)

func TestAnEntityIsReadAsItWasAtEachVersionAndTime(t *testing.T) {
	onEachStore(t, func(t *testing.T, p place) {
		r := start(t, p, probe(t))
		// More than a snapshot's worth, so that the past is read from both sides of it.
		for range 3 {
			items := "[1"
			for range 69 {
				items += ",1"
			}
			r.ok(t, post(probePath("past")+"/AddAll", `{"items":`+items+`]}`))
		}
		for _, version := range []string{"1", "69", "70", "71", "139", "210"} {
			a := r.ok(t, get(probePath("past")+"?version="+version))
			if a.at("version") != version || a.at("state", "count") != version {
				t.Errorf("version %s: %s", version, a.text)
			}
		}
		history := r.ok(t, get(probePath("past")+"/events?limit=1000")).list("events")
		if len(history) != 210 {
			t.Fatalf("%d events", len(history))
		}
		// All events of a command have its time, so the last of them is the state then.
		for i, want := range map[int]string{0: "70", 70: "140", 209: "210"} {
			event, _ := history[i].(map[string]any)
			at, _ := event["time"].(string)
			a := r.ok(t, get(probePath("past")+"?at="+url.QueryEscape(at)))
			if a.at("version") != want {
				t.Errorf("at the time of event %d: version %v, want %s", i+1, a.at("version"), want)
			}
		}
	})
}

func TestAHistoryIsReadPageByPage(t *testing.T) {
	onEachStore(t, func(t *testing.T, p place) {
		r := start(t, p, probe(t))
		r.ok(t, post(probePath("paged")+"/AddAll", `{"items":[1,2,3,4,5,6,7]}`))
		var seen []string
		path, after := probePath("paged")+"/events?limit=3", "&after=0"
		for after != "" {
			page := r.ok(t, get(path+after))
			for i := range page.list("events") {
				seen = append(seen, page.str(t, "events", i, "version"))
			}
			after = ""
			if next, more := page.at("next").(string); more {
				after = "&after=" + next
			}
		}
		want := []string{"1", "2", "3", "4", "5", "6", "7"}
		if len(seen) != len(want) {
			t.Fatalf("read %v", seen)
		}
		for i := range want {
			if seen[i] != want[i] {
				t.Fatalf("read %v", seen)
			}
		}
	})
}
