package server_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leftfold/leftfold/runtime/server"
)

// takesEffect is how soon a change is in force by the contract; the machines of
// tests get some more.
const takesEffect = 5 * time.Second

func TestAChangedAggregateTakesEffectWithoutLosingState(t *testing.T) {
	onEachStore(t, func(t *testing.T, p place) {
		r := start(t, p, probe(t))
		for range 3 {
			r.ok(t, post(probePath("old")+"/AddAll", `{"items":[`+strings.Repeat("1,", 49)+`1]}`)) // snapshots among them
		}
		r.ok(t, post(probePath("old")+"/Add", `{"amount":-50}`))
		// A new field with a new command and event; and what an old event means
		// has changed, so that states are folded anew, past their snapshots.
		changed := manifests(t, "testdata/probe",
			"- {name: note, type: string}", "- {name: note, type: string}\n  - {name: colour, type: string}",
			"  - name: Nothing\n", "  - name: Paint\n    fields:\n    - {name: colour, type: string}\n    emit:\n    - {event: Painted, set: {colour: \"command.colour\"}}\n  - name: Nothing\n",
			"  - name: Grown\n", "  - name: Painted\n    fields:\n    - {name: colour, type: string}\n    apply: {colour: \"event.colour\"}\n  - name: Grown\n",
			`apply: {count: "state.count + event.amount"}`, `apply: {count: "state.count + event.amount * 10"}`,
		)
		if err := r.Apply(t.Context(), load(t, changed)); err != nil {
			t.Fatal(err)
		}
		r.ok(t, post(probePath("old")+"/Paint", `{"colour":"red"}`))
		check := func(r *rig) {
			t.Helper()
			a := r.ok(t, get(probePath("old")))
			if a.at("version") != "152" || a.at("state", "count") != "1000" || a.at("state", "colour") != "red" {
				t.Errorf("after the change: %s", a.text[:min(len(a.text), 300)])
			}
			if a := r.ok(t, get(probePath("old")+"?version=150")); a.at("state", "count") != "1500" {
				t.Errorf("an earlier version after the change: count %v", a.at("state", "count"))
			}
		}
		check(r)
		if a := r.ok(t, get("/v1/definitions")); a.at("aggregates", 0, "generation") != "2" {
			t.Errorf("the generation is %v", a.at("aggregates", 0, "generation"))
		}
		if a := r.ok(t, get("/openapi.json")); !strings.Contains(a.text, "/Paint") {
			t.Error("the description lacks the new command")
		}
		r.stop(t)
		check(start(t, p, load(t, changed)))
	})
}

func TestADefinitionThatHistoryContradictsDoesNotTakeEffect(t *testing.T) {
	changes := map[string][]string{
		"a stored event is removed": {
			"  - name: Grown\n    fields:\n    - {name: text, type: string}\n    apply: {note: \"state.note + event.text\"}\n", "",
			"  - name: Grow\n    fields:\n    - {name: text, type: string}\n    emit:\n    - {event: Grown, set: {text: \"command.text\"}}\n", "",
		},
		"a stored event is renamed": {
			"  - name: Grown\n", "  - name: Enlarged\n", "{event: Grown,", "{event: Enlarged,",
		},
		"a field of a stored event is retyped": {
			"  - name: Grown\n    fields:\n    - {name: text, type: string}\n    apply: {note: \"state.note + event.text\"}",
			"  - name: Grown\n    fields:\n    - {name: text, type: bytes}\n    apply: {note: \"state.note + string(event.text)\"}",
			`{event: Grown, set: {text: "command.text"}}`, `{event: Grown, set: {text: "bytes(command.text)"}}`,
		},
		"a named type in a stored event is retyped": {
			"- {name: weight, type: int, optional: true}", "- {name: weight, type: double, optional: true}",
		},
	}
	onEachStore(t, func(t *testing.T, p place) {
		accepted := probe(t)
		r := start(t, p, accepted)
		r.ok(t, post(probePath("told")+"/Grow", `{"text":"a"}`))
		r.ok(t, post(probePath("told")+"/Record", full))
		var contradicting []string
		serves := func(r *rig) {
			t.Helper()
			r.ok(t, post(probePath("told")+"/Grow", `{"text":"b"}`))
			if a := r.ok(t, get("/v1/definitions")); a.at("aggregates", 0, "generation") != "1" {
				t.Errorf("the generation is %v", a.at("aggregates", 0, "generation"))
			}
		}
		for sentence, replacements := range changes {
			t.Run(sentence, func(t *testing.T) {
				folder := manifests(t, "testdata/probe", replacements...)
				err := r.Apply(t.Context(), load(t, folder))
				if err == nil || !strings.Contains(err.Error(), "HistoryNeedsIt") {
					t.Errorf("applied with %v", err)
				}
				serves(r)
			})
			contradicting = replacements
		}
		r.stop(t)
		again := start(t, p, load(t, manifests(t, "testdata/probe", contradicting...)))
		serves(again)
		position := again.add(t, "told").str(t, "position")
		again.ok(t, get("/v1/projections/counts/told?wait=10s&after="+position))
	})
}

func TestAProjectionOfAStalledAggregateGoesOnAsItWas(t *testing.T) {
	onEachStore(t, func(t *testing.T, p place) {
		r := start(t, p, probe(t))
		r.ok(t, post(probePath("told")+"/Grow", `{"text":"a"}`))
		position := r.add(t, "told").str(t, "position")
		r.ok(t, get("/v1/projections/counts/told?wait=10s&after="+position))
		// The aggregate loses an event that is stored, and so does not change; the
		// projection uses an event that only the changed aggregate has.
		changed := load(t, manifests(t, "testdata/probe",
			"  - name: Grown\n    fields:\n    - {name: text, type: string}\n    apply: {note: \"state.note + event.text\"}\n", "",
			"{event: Grown, set: {text: \"command.text\"}}", "{event: Widened, set: {width: \"size(command.text)\"}}",
			"  - name: Spoiled\n", "  - name: Widened\n    fields:\n    - {name: width, type: int}\n  - name: Spoiled\n",
			"events: [Added]}", "events: [Added, Widened]}",
			"    - {event: Added, set: {count: \"row.count + event.amount\", changed: \"meta.time\"}}\n",
			"    - {event: Added, set: {count: \"row.count + event.amount\", changed: \"meta.time\"}}\n    - {event: Widened, set: {count: \"row.count + event.width\"}}\n",
		))
		serves := func(r *rig, want string) {
			t.Helper()
			position := r.add(t, "told").str(t, "position")
			if a := r.ok(t, get("/v1/projections/counts/told?wait=10s&after="+position)); a.at("row", "count") != want {
				t.Errorf("the row: %s, want %s", a.text, want)
			}
			if a := r.ok(t, get("/v1/definitions")); strings.Contains(a.text, "Widened") {
				t.Error("what is stalled is told to be in force")
			}
		}
		if err := r.Apply(t.Context(), changed); err == nil {
			t.Error("the change took effect")
		}
		serves(r, "2")
		r.stop(t)
		serves(start(t, p, changed), "3")
	})
}

func TestAnotherNumberOfShardsDoesNotTakeEffect(t *testing.T) {
	onEachStore(t, func(t *testing.T, p place) {
		changed := load(t, manifests(t, "testdata/probe", "shards: 4", "shards: 8"))
		r := start(t, p, probe(t))
		r.add(t, "e")
		if err := r.Apply(t.Context(), changed); err == nil || !strings.Contains(err.Error(), "ShardsDiffer") {
			t.Errorf("applied with %v", err)
		}
		r.add(t, "e")
		r.stop(t)
		again := start(t, p, changed)
		if a := again.add(t, "e"); a.at("version") != "3" {
			t.Errorf("after a restart: %s", a.text)
		}
		if shards := again.ok(t, get("/v1/shards")).list("shards"); len(shards) != 4 {
			t.Errorf("%d shards", len(shards))
		}
	})
}

func TestAChangedProjectionIsBuiltBesideTheOldAndTakesOver(t *testing.T) {
	onEachStore(t, func(t *testing.T, p place) {
		r := start(t, p, probe(t))
		for i := range 5 {
			position := r.ok(t, post(probePath(fmt.Sprintf("e-%d", i))+"/AddAll", `{"items":[1,2,3]}`)).str(t, "position")
			r.ok(t, get("/v1/projections/counts?wait=10s&after="+position))
		}
		ctx, cancel := context.WithCancel(t.Context())
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			for ctx.Err() == nil {
				a, err := r.try(ctx, get("/v1/projections/counts"))
				if ctx.Err() == nil && (err != nil || a.status != 200 || len(a.list("rows")) != 5) {
					t.Errorf("while it changes: %d %s %v", a.status, a.text, err)
					return
				}
			}
		}()
		changed := load(t, manifests(t, "testdata/probe",
			"- {name: changed, type: timestamp}", "- {name: changed, type: timestamp}\n    - {name: largest, type: int}",
			`changed: "meta.time"}}`, `changed: "meta.time", largest: "math.greatest(row.largest, event.amount)"}}`,
		))
		begun := time.Now()
		if err := r.Apply(t.Context(), changed); err != nil {
			t.Error(err)
		}
		eventually(t, func() string {
			if a := r.do(t, get("/v1/projections/counts?largest[eq]=3")); a.status != 200 || len(a.list("rows")) != 5 {
				return a.text
			}
			return ""
		})
		if took := time.Since(begun); took > takesEffect {
			t.Errorf("the change took %s", took)
		}
		cancel()
		<-watched
	})
}

func TestChangedFilesTakeEffectAndBrokenOnesDoNot(t *testing.T) {
	folder := manifests(t, "testdata/probe")
	watcher, err := server.NewWatcher([]string{folder})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = watcher.Close() })
	r := start(t, sqlitePlace(t), load(t, folder))
	ctx, cancel := context.WithCancel(t.Context())
	var ended = make(chan struct{})
	go func() {
		defer close(ended)
		watcher.Run(ctx, logger(t), r.Apply)
	}()
	t.Cleanup(func() { cancel(); <-ended })
	r.add(t, "e")

	// Broken YAML first: were it applied or had it ended the watching, the sound
	// change after it would not be seen.
	file := filepath.Join(folder, "probe.yaml")
	sound, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("kind: [\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.add(t, "e")
	begun := time.Now()
	replaced := strings.Replace(string(sound), "  - name: Nothing\n", "  - name: Idle\n", 1)
	temporary := filepath.Join(folder, "probe.yaml.tmp")
	if err := errors.Join(os.WriteFile(temporary, []byte(replaced), 0o600), os.Rename(temporary, file)); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		if a := r.do(t, post(probePath("e")+"/Idle", `{}`)); a.status != 200 {
			return a.text
		}
		return ""
	})
	if took := time.Since(begun); took > takesEffect {
		t.Errorf("the change took %s", took)
	}
	if a := r.add(t, "e"); a.at("version") != "3" {
		t.Errorf("after the change: %s", a.text)
	}
}
