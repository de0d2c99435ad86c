package server_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/runtime/control/controltest"
	"github.com/leftfold/leftfold/runtime/definition"
)

// inCluster makes a set one of a cluster's objects, all of one generation.
func inCluster(set *definition.Set, generation int64) *definition.Set {
	mark := func(o metav1.Object) {
		o.SetUID(types.UID("uid-of-" + o.GetName()))
		o.SetGeneration(generation)
		o.SetCreationTimestamp(metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)))
	}
	for _, a := range set.Aggregates {
		mark(a.Object)
	}
	for _, p := range set.Projections {
		mark(p.Object)
	}
	return set
}

// told waits until an object is reported in the way that is wanted.
func told(o *controltest.Operator, object, what string, is func(*leftfoldv1.DefinitionReport) bool) {
	o.Until(object+" reported with "+what, func(s *controltest.Seen) bool {
		r := s.Definitions[object]
		return r != nil && is(r)
	})
}

// reportedAs is a report without words.
func reportedAs(observed, accepted int64, reason string) func(*leftfoldv1.DefinitionReport) bool {
	return func(r *leftfoldv1.DefinitionReport) bool {
		return r.GetObservedGeneration() == observed && r.GetAcceptedGeneration() == accepted && r.GetReason() == reason
	}
}

func TestPodsOfDifferentViewsServeTheNewerOne(t *testing.T) {
	older := func(t *testing.T) *definition.Set { return inCluster(load(t, narrowing(t, 1, 1)), 1) }
	newer := func(t *testing.T) *definition.Set { return inCluster(load(t, narrowing(t, 1, 0)), 2) }
	for _, c := range []struct {
		when          string
		first, second func(*testing.T) *definition.Set
	}{{"the newer view comes last", older, newer}, {"the newer view comes first", newer, older}} {
		t.Run(c.when, func(t *testing.T) {
			f := newFleet(t, postgresPlace(t))
			first, second := f.start(t, c.first(t)), f.start(t, nil)
			a := first.operator(t)
			a.Grant("n0", 0, 0)
			a.Shard("n0", 0, serving)
			if err := second.Apply(t.Context(), c.second(t)); err != nil {
				t.Fatal(err)
			}
			for i, r := range []*managedRig{first, second} {
				eventually(t, func() string {
					if !declares(t, &r.rig, "n0") {
						return fmt.Sprintf("pod %d serves the older definition", i)
					}
					return ""
				})
			}
			// It decides by it, too.
			eventually(t, func() string {
				if a := first.do(t, post("/v1/aggregates/n0/e/Drop", `{}`)); a.status != http.StatusOK {
					return fmt.Sprintf("the command of the newer definition: %d %s", a.status, a.text)
				}
				return ""
			})
			for _, r := range []*managedRig{first, second} {
				told(r.operator(t), "Aggregate/n0", "generation 2 in force", func(r *leftfoldv1.DefinitionReport) bool {
					return r.GetAcceptedGeneration() == 2 && r.GetReason() == "" && r.GetUid() == "uid-of-n0"
				})
			}
		})
	}
}

func TestAPodThatStartsWithoutTheAPIServerServesWhatWasAccepted(t *testing.T) {
	onEachStore(t, func(t *testing.T, p place) {
		f := newFleet(t, p)
		first := f.start(t, inCluster(probe(t), 5))
		grantAll(first.operator(t))
		position := first.add(t, "e-1").str(t, "position")
		first.ok(t, get("/v1/projections/counts/e-1?wait=10s&after="+position))
		if err := first.Stop(); err != nil {
			t.Fatal(err)
		}

		second := f.start(t, nil)
		if second.Ready() {
			t.Error("it is ready before it knows any definition")
		}
		if err := second.ServeStored(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !second.Ready() {
			t.Error("it is not ready")
		}
		o := second.operator(t)
		grantAll(o)
		told(o, "Aggregate/probe", "what was accepted", reportedAs(5, 5, ""))
		told(o, "Projection/counts", "what was accepted", reportedAs(5, 5, ""))
		position = second.add(t, "e-1").str(t, "position")
		if a := second.ok(t, get("/v1/projections/counts/e-1?wait=10s&after="+position)); a.at("row", "count") != "2" {
			t.Errorf("the row is %s", a.text)
		}
		// The API server is back: what it says counts.
		without := inCluster(probe(t), 5)
		without.Projections = nil
		if err := second.Apply(t.Context(), without); err != nil {
			t.Fatal(err)
		}
		o.Until("the projection reported as gone", func(s *controltest.Seen) bool { return s.Definitions["Projection/counts"].GetGone() })
		second.add(t, "e-1")
		if err := second.ServeStored(t.Context()); err != nil {
			t.Fatal(err)
		}
		if a := second.do(t, get("/v1/projections/counts/e-1")); a.status != http.StatusNotFound {
			t.Errorf("the store's view came back over the API server's: %d", a.status)
		}
	})
}

func TestAnotherRuntimesDefinitionsAreNotServedFromTheStore(t *testing.T) {
	f := newFleet(t, postgresPlace(t))
	f.start(t, inCluster(load(t, narrowing(t, 1, 0)), 1)) // of the Runtime pool
	r := f.start(t, nil)
	if err := r.ServeStored(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := r.do(t, get("/v1/aggregates/n0/e")); a.status != http.StatusNotFound || !strings.Contains(a.text, "UnknownName") {
		t.Errorf("an aggregate of another Runtime answers %d %s", a.status, a.text)
	}
}

func TestWhatHasAMistakeNowServesAsItWasAccepted(t *testing.T) {
	onEachStore(t, func(t *testing.T, p place) {
		f := newFleet(t, p)
		r := f.start(t, inCluster(probe(t), 1))
		o := r.operator(t)
		grantAll(o)
		r.add(t, "e-1")
		broken := inCluster(probe(t), 2)
		delete(broken.Aggregates, "probe")
		delete(broken.Projections, "counts")
		for kind, name := range map[string]string{v1alpha1.KindAggregate: "probe", v1alpha1.KindProjection: "counts"} {
			broken.Held = append(broken.Held, definition.Held{
				Kind: kind, Name: name, UID: "uid-of-" + name, Generation: 2, Reason: v1alpha1.ReasonInvalidExpression, Detail: "spec.x: is wrong",
			})
		}
		if err := r.Apply(t.Context(), broken); err != nil {
			t.Fatal(err)
		}
		for _, object := range []string{"Aggregate/probe", "Projection/counts"} {
			told(o, object, "the mistake", func(r *leftfoldv1.DefinitionReport) bool {
				return reportedAs(2, 1, v1alpha1.ReasonInvalidExpression)(r) && r.GetDetail() == "spec.x: is wrong"
			})
		}
		position := r.add(t, "e-1").str(t, "position")
		if a := r.ok(t, get("/v1/projections/counts/e-1?wait=10s&after="+position)); a.at("row", "count") != "2" {
			t.Errorf("the row is %s", a.text)
		}
		if got := count(new(o.Seen()), serving); got != probeShards {
			t.Errorf("%d shards are served", got)
		}
	})
}

func TestAMistakeFromTheStartIsReportedAndServesNothing(t *testing.T) {
	f := newFleet(t, postgresPlace(t))
	set := inCluster(probe(t), 1)
	set.Held = []definition.Held{{Kind: v1alpha1.KindAggregate, Name: "never", UID: "u", Generation: 1, Reason: v1alpha1.ReasonInvalidType, Detail: "why"}}
	r := f.start(t, set)
	o := r.operator(t)
	told(o, "Aggregate/never", "the mistake", reportedAs(1, 0, v1alpha1.ReasonInvalidType))
	told(o, "Aggregate/probe", "no mistake", reportedAs(1, 1, ""))
	if a := r.do(t, get("/v1/aggregates/never/e")); a.status != http.StatusNotFound {
		t.Errorf("it answers %d", a.status)
	}
}

func TestATableThatIsTakenIsReported(t *testing.T) {
	f := newFleet(t, postgresPlace(t))
	set := inCluster(probe(t), 1)
	taken := *set.Projections["counts"].Object
	taken.Name, taken.UID, taken.Spec.Table = "thief", "uid-of-thief", taken.Spec.Table.DeepCopy()
	taken.Spec.Table.Name = "event" // the log's own
	set.Projections["thief"] = &definition.Projection{Object: &taken}
	o := f.start(t, set).operator(t)
	told(o, "Projection/thief", "its reason", reportedAs(1, 0, v1alpha1.ReasonTableNameTaken))
	told(o, "Projection/counts", "no reason", reportedAs(1, 1, ""))
}

// One pod drops an event while another, which has not heard of it, goes on
// writing. Whatever comes first: an event that is there keeps its definition.
func TestAnEventThatAnotherPodWritesKeepsItsDefinition(t *testing.T) {
	const aggregates = 16
	f := newFleet(t, postgresPlace(t))
	owner, other := f.start(t, inCluster(load(t, narrowing(t, aggregates, 0)), 1)), f.start(t, nil)
	o := owner.operator(t)
	for i := range aggregates {
		o.Grant(fmt.Sprintf("n%d", i), 0, 0)
	}
	o.Until("all shards", func(s *controltest.Seen) bool { return count(s, serving) == aggregates })
	var all sync.WaitGroup
	for i := range aggregates {
		all.Go(func() {
			<-time.After(time.Duration(rand.Int64N(int64(2500 * time.Millisecond))))
			_, _ = owner.try(t.Context(), post(fmt.Sprintf("/v1/aggregates/n%d/e/Drop", i), `{}`))
		})
	}
	if err := other.Apply(t.Context(), inCluster(load(t, narrowing(t, aggregates, aggregates)), 2)); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	kept := 0
	seen := other.operator(t)
	for i := range aggregates {
		name := fmt.Sprintf("n%d", i)
		history := func() bool {
			return other.do(t, get("/v1/aggregates/"+name+"/e/events")).status == http.StatusOK
		}
		if history() {
			kept++
		}
		told(seen, "Aggregate/"+name, "what history needs", func(r *leftfoldv1.DefinitionReport) bool {
			if history() {
				return reportedAs(2, 1, v1alpha1.ReasonHistoryNeedsIt)(r)
			}
			return reportedAs(2, 2, "")(r)
		})
		for _, r := range []*managedRig{owner, other} {
			eventually(t, func() string {
				if declares(t, &r.rig, name) != history() {
					return fmt.Sprintf("%s: the event is there: %t, and its definition: %t", name, history(), declares(t, &r.rig, name))
				}
				return ""
			})
		}
	}
	t.Logf("the event was there in %d of %d", kept, aggregates)
}
