package server_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// narrowing declares aggregates of which those below dropped declare no event
// Dropped, and no command for it.
func narrowing(t *testing.T, aggregates, dropped int) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(`
apiVersion: leftfold.io/v1alpha1
kind: EventStore
metadata: {name: store}
spec: {sqlite: {storage: 1Gi}}
---
apiVersion: leftfold.io/v1alpha1
kind: Runtime
metadata: {name: pool}
spec: {storeRef: {name: store}}
`)
	for i := range aggregates {
		command, event := "  - {name: Drop, emit: [{event: Dropped}]}\n", "  - {name: Dropped, apply: {count: state.count + 1}}\n"
		if i < dropped {
			command, event = "", ""
		}
		_, _ = fmt.Fprintf(&b, `---
apiVersion: leftfold.io/v1alpha1
kind: Aggregate
metadata: {name: n%d}
spec:
  runtimeRef: {name: pool}
  shards: 1
  state: [{name: count, type: int}]
  commands:
  - {name: Add, emit: [{event: Added}]}
%s  events:
  - {name: Added, apply: {count: state.count + 1}}
%s`, i, command, event)
	}
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "all.yaml"), []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return folder
}

// An event that comes between the look at history and the change must not be
// left without a definition. When it comes is a matter of chance, so there are
// many rounds; without the second look about one in twenty fails.
func TestAnEventThatIsWrittenWhileItsDefinitionGoesIsKeptReadable(t *testing.T) {
	const rounds = 40
	onEachStore(t, func(t *testing.T, p place) {
		r := start(t, p, load(t, narrowing(t, rounds, 0)))
		kept := 0
		for i := range rounds {
			set := load(t, narrowing(t, rounds, i+1))
			var both sync.WaitGroup
			// An aggregate that was brought back stays stalled, and says so each time.
			both.Go(func() { _ = r.Apply(t.Context(), set) })
			both.Go(func() {
				<-time.After(time.Duration(rand.Int64N(int64(60 * time.Millisecond))))
				_, _ = r.try(t.Context(), post(fmt.Sprintf("/v1/aggregates/n%d/e/Drop", i), `{}`))
			})
			both.Wait()
			name := fmt.Sprintf("n%d", i)
			switch a := r.do(t, get("/v1/aggregates/"+name+"/e")); {
			case a.status == http.StatusOK && !declares(t, r, name):
				t.Errorf("round %d: the event is there, and its definition is gone", i)
			case a.status == http.StatusOK:
				kept++
			case a.status != http.StatusNotFound:
				t.Errorf("round %d: reading the entity answers %d", i, a.status)
			}
		}
		t.Logf("the event was there in %d rounds of %d", kept, rounds)
	})
}

// declares reports whether the definition in force declares event Dropped.
func declares(t *testing.T, r *rig, aggregate string) bool {
	t.Helper()
	a := r.ok(t, get("/v1/definitions"))
	for i := range a.list("aggregates") {
		if a.at("aggregates", i, "name") == aggregate {
			return len(a.list("aggregates", i, "spec", "events")) == 2
		}
	}
	return false
}
