package server_test

import (
	"testing"
)

func TestARestartKeepsEventsAndRememberedAnswers(t *testing.T) {
	onEachStore(t, func(t *testing.T, p place) {
		set := probe(t)
		keyed := func(command, body, key string, header ...string) request {
			return post(probePath("kept")+"/"+command, body, append([]string{"Idempotency-Key", key}, header...)...)
		}
		cases := []struct {
			sentence string
			request
			status int
		}{
			{"a success", keyed("Add", `{"amount":3}`, "a"), 200},
			{"a rejection", keyed("Take", `{"amount":5}`, "b"), 409},
			{"an empty success", keyed("Nothing", `{}`, "c"), 200},
			{"a version mismatch", keyed("Add", `{"amount":1}`, "d", "If-Match", `"9"`), 412},
		}
		first := start(t, p, set)
		answers := make([]answer, len(cases))
		for i, c := range cases {
			if answers[i] = first.do(t, c.request); answers[i].status != c.status {
				t.Fatalf("%s: %d %s", c.sentence, answers[i].status, answers[i].text)
			}
		}
		// What the answers depended on changes, so that deciding again would show.
		changed := first.ok(t, post(probePath("kept")+"/Add", `{"amount":100}`))
		before := first.ok(t, get(probePath("kept")))
		first.stop(t)

		second := start(t, p, set)
		for i, c := range cases {
			again := second.do(t, c.request)
			if again.status != c.status || again.header.Get("Idempotent-Replay") != "true" || again.text != answers[i].text {
				t.Errorf("%s after the restart: %d %v\n got %s\nwant %s", c.sentence, again.status, again.header, again.text, answers[i].text)
			}
		}
		if after := second.ok(t, get(probePath("kept"))); after.text != before.text || after.at("version") != changed.at("version") {
			t.Errorf("the state after the restart:\n got %s\nwant %s", after.text, before.text)
		}
		position := changed.str(t, "position")
		if row := second.ok(t, get("/v1/projections/counts/kept?after="+position+"&wait=10s")); row.at("row", "count") != "103" {
			t.Errorf("the row after the restart: %s", row.text)
		}
	})
}
