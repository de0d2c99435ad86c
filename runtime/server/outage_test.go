package server_test

import (
	"fmt"
	"testing"

	"github.com/leftfold/leftfold/api/postgres/pgtest"
)

func TestAnOutageOfTheDatabaseEndsWithoutLossOrRepetition(t *testing.T) {
	database := pgtest.Start(t)
	r := start(t, place{url: database.URL()}, probe(t))
	const entities = 8
	for i := range entities {
		r.add(t, fmt.Sprintf("e-%d", i))
	}
	if err := database.Crash(); err != nil {
		t.Fatal(err)
	}
	down := post(probePath("e-0")+"/Add", `{"amount":1}`, "Idempotency-Key", "down")
	answered := make(chan answer, 1)
	go func() { // it may be held until the database is back, or be refused before
		a, err := r.try(t.Context(), down)
		if err != nil {
			t.Error(err)
		}
		answered <- a
	}()
	if a := r.do(t, get(probePath("e-1")+"?version=1")); a.status != 503 || a.at("reason") != "NotAttempted" {
		t.Errorf("a read of the past meanwhile: %d %s", a.status, a.text)
	}
	row{status: 503, reason: "NotAttempted", request: get("/v1/projections/counts")}.run(t, r)
	row{status: 503, reason: "NotAttempted", request: get("/v1/projections/counts/e-1")}.run(t, r)
	row{status: 504, reason: "OutcomeUnknown", request: post("/v1/projections/counts:retry", "{}")}.run(t, r)
	if err := database.Restart(); err != nil {
		t.Fatal(err)
	}
	if a := <-answered; a.status != 200 && a.at("reason") != "NotAttempted" && a.at("reason") != "OutcomeUnknown" {
		t.Errorf("a command meanwhile: %d %s", a.status, a.text)
	}
	eventually(t, func() string {
		a := r.do(t, down)
		if a.status != 200 {
			return a.text
		}
		if a.at("version") != "2" {
			t.Fatalf("the command ran more than once: %s", a.text)
		}
		return ""
	})
	for i := range entities {
		position := r.add(t, fmt.Sprintf("e-%d", i)).str(t, "position")
		want := map[bool]string{true: "3", false: "2"}[i == 0]
		eventually(t, func() string { // a pool with more dead connections than attempts answers 503
			a := r.do(t, get(fmt.Sprintf("/v1/projections/counts/e-%d?wait=10s&after=%s", i, position)))
			if a.status == 503 && a.at("reason") == "NotAttempted" {
				return a.text
			}
			if a.at("row", "count") != want {
				t.Fatalf("the row of e-%d: %d %s", i, a.status, a.text)
			}
			return ""
		})
	}
}
