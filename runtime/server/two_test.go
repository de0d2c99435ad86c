package server_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leftfold/leftfold/runtime/server"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// states counts the shards by the state that a server tells.
func (r *rig) states(t *testing.T) map[string]int {
	t.Helper()
	out := map[string]int{}
	a := r.ok(t, get("/v1/shards"))
	for i := range a.list("shards") {
		out[a.str(t, "shards", i, "state")]++
	}
	return out
}

func (r *rig) epochs(t *testing.T) string {
	t.Helper()
	a := r.ok(t, get("/v1/shards"))
	var out []string
	for i := range a.list("shards") {
		out = append(out, a.str(t, "shards", i, "epoch"))
	}
	return strings.Join(out, " ")
}

func TestASecondServerTakesTheShardsAndGivesThemBack(t *testing.T) {
	p := postgresPlace(t)
	first := start(t, p, probe(t), func(c *server.Config) { c.HoldFor = 300 * time.Millisecond })
	acknowledged := map[string]int{}
	write := func(r *rig, entity string) {
		t.Helper()
		r.add(t, entity)
		acknowledged[entity]++
	}
	for i := range 12 {
		write(first, fmt.Sprintf("e-%d", i))
	}

	second := start(t, p, probe(t))
	if got := second.states(t); got["serving"] != 4 {
		t.Fatalf("the second serves %v", got)
	}
	eventually(t, func() string {
		if got := first.states(t); got["remote"] != 4 {
			return fmt.Sprintf("the first says %v", got)
		}
		return ""
	})
	for i := range 12 {
		write(second, fmt.Sprintf("e-%d", i))
	}
	row{status: 503, reason: "NotAttempted", request: addTo("e-1")}.run(t, first)
	// What the second wrote is seen by the first, in rows and in history.
	position := second.add(t, "e-0").str(t, "position")
	acknowledged["e-0"]++
	if a := first.ok(t, get("/v1/projections/counts/e-0?wait=10s&after="+position)); a.at("row", "count") != "3" {
		t.Errorf("the row through the first: %s", a.text)
	}
	if a := first.ok(t, get(probePath("e-0")+"?version=3")); a.at("state", "count") != "3" {
		t.Errorf("the history through the first: %s", a.text)
	}
	// Over several rechecks and attempts of the first nobody claims again.
	epochs := second.epochs(t)
	for until := time.Now().Add(2500 * time.Millisecond); time.Now().Before(until); {
		write(second, "e-2")
	}
	if got := second.epochs(t); got != epochs {
		t.Errorf("epochs went from %s to %s: the two fight", epochs, got)
	}

	// The second has changed the definition; who takes over goes on under it.
	changed := load(t, manifests(t, "testdata/probe", "  - name: Nothing\n", "  - name: Idle\n"))
	if err := second.Apply(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	second.stop(t)
	begun := time.Now()
	eventually(t, func() string {
		if got := first.states(t); got["serving"] != 4 {
			return fmt.Sprintf("the first says %v", got)
		}
		return ""
	})
	t.Logf("the first serves all shards %s after the second has stopped", time.Since(begun).Round(time.Millisecond))
	for entity, count := range acknowledged {
		if a := first.ok(t, get(probePath(entity))); a.at("version") != strconv.Itoa(count) {
			t.Errorf("%s: %d commands were acknowledged, there are %v", entity, count, a.at("version"))
		}
	}
	first.ok(t, post(probePath("e-1")+"/Idle", `{}`))
	position = first.add(t, "e-1").str(t, "position")
	first.ok(t, get("/v1/projections/counts/e-1?wait=10s&after="+position))
	if got := first.metric(t, `leftfold_failovers_total{reason="OwnerGone"}`); got != "4" {
		t.Errorf("failovers_total is %q", got)
	}
}

func TestCallersSeeOnlyLatencyWhileShardsMove(t *testing.T) {
	p := postgresPlace(t)
	first := start(t, p, probe(t))
	second := start(t, p, probe(t))
	var writers sync.WaitGroup
	stopped := make(chan struct{})
	for c := range 4 {
		writers.Go(func() {
			entity := fmt.Sprintf("moving-%d", c)
			for i := 1; ; i++ {
				select {
				case <-stopped:
					return
				default:
				}
				a, err := first.try(t.Context(), post(probePath(entity)+"/Add", `{"amount":1}`, "Idempotency-Key", itoa(int64(i))))
				if err != nil || a.status != 200 || a.at("version") != itoa(int64(i)) {
					t.Errorf("%s, command %d: %d %s %v", entity, i, a.status, a.text, err)
					return
				}
			}
		})
	}
	second.stop(t) // the callers of the first were held until now
	eventually(t, func() string {
		for c := range 4 {
			if a := first.do(t, get(probePath(fmt.Sprintf("moving-%d", c)))); a.status != 200 {
				return a.text
			}
		}
		return ""
	})
	close(stopped)
	writers.Wait()
}
