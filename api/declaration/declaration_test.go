package declaration_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/leftfold/leftfold/api/declaration"
	"github.com/leftfold/leftfold/api/v1alpha1"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func meta(name string, age time.Duration) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name), Generation: 1, CreationTimestamp: metav1.NewTime(noon.Add(-age))}
}

func runtime(name, store string) *v1alpha1.Runtime {
	return &v1alpha1.Runtime{ObjectMeta: meta(name, 0), Spec: v1alpha1.RuntimeSpec{StoreRef: v1alpha1.LocalReference{Name: store}}}
}

// counter counts Added events.
func counter(name, runtime string) *v1alpha1.Aggregate {
	return &v1alpha1.Aggregate{ObjectMeta: meta(name, 0), Spec: v1alpha1.AggregateSpec{
		RuntimeRef: v1alpha1.LocalReference{Name: runtime}, Shards: 1,
		State:    []v1alpha1.Field{{Name: "count", Type: "int"}},
		Commands: []v1alpha1.Command{{Name: "Add", Emit: []v1alpha1.Emission{{Event: "Added"}}}},
		Events:   []v1alpha1.Event{{Name: "Added", Apply: map[string]v1alpha1.Expression{"count": "state.count + 1"}}},
	}}
}

// totals has a row an entity of the aggregate.
func totals(name, aggregate string, age time.Duration) *v1alpha1.Projection {
	return &v1alpha1.Projection{ObjectMeta: meta(name, age), Spec: v1alpha1.ProjectionSpec{
		Sources: []v1alpha1.Source{{Aggregate: aggregate}},
		Table: &v1alpha1.Table{
			Name: "totals", Key: v1alpha1.Key{Name: "entity", Type: "string", Value: "meta.entity"},
			Columns: []v1alpha1.Column{{Name: "total", Type: "int"}},
			Apply:   []v1alpha1.Rule{{Event: "Added", Set: map[string]v1alpha1.Expression{"total": "row.total + 1"}}},
		},
	}}
}

// sound is a namespace without a mistake.
func sound() *declaration.Namespace {
	return &declaration.Namespace{
		Stores:      map[string]*v1alpha1.EventStore{"store": postgres("store", 0), "other": {ObjectMeta: meta("other", 0), Spec: v1alpha1.EventStoreSpec{SQLite: &v1alpha1.SQLiteStore{}}}},
		Runtimes:    map[string]*v1alpha1.Runtime{"pool": runtime("pool", "store"), "second": runtime("second", "store"), "apart": runtime("apart", "other")},
		Aggregates:  map[string]*v1alpha1.Aggregate{"counter": counter("counter", "pool"), "far": counter("far", "second"), "away": counter("away", "apart")},
		Projections: map[string]*v1alpha1.Projection{"totals": totals("totals", "counter", time.Hour)},
	}
}

func postgres(name string, age time.Duration) *v1alpha1.EventStore {
	return &v1alpha1.EventStore{ObjectMeta: meta(name, age), Spec: v1alpha1.EventStoreSpec{Postgres: &v1alpha1.PostgresStore{
		ConnectionSecretRef: v1alpha1.SecretKeyReference{Name: "db", Key: "uri"}, Schema: "leftfold",
	}}}
}

func judge(n *declaration.Namespace, kind, name string) []declaration.Problem {
	switch kind {
	case v1alpha1.KindEventStore:
		return n.EventStore(name)
	case v1alpha1.KindRuntime:
		return n.Runtime(name)
	case v1alpha1.KindAggregate:
		_, found := n.Aggregate(name)
		return found
	}
	_, found := n.Projection(name)
	return found
}

func TestObjectsAreJudgedBesideEachOther(t *testing.T) {
	for _, c := range []struct {
		does       string
		change     func(*declaration.Namespace)
		kind, name string
		reason     string
		field      string
		waits      string
	}{
		{does: "a sound store passes", kind: v1alpha1.KindEventStore, name: "store"},
		{does: "a sound runtime passes", kind: v1alpha1.KindRuntime, name: "pool"},
		{does: "a sound aggregate passes", kind: v1alpha1.KindAggregate, name: "counter"},
		{does: "a sound projection passes", kind: v1alpha1.KindProjection, name: "totals"},
		{
			does:   "a schema belongs to the older store",
			change: func(n *declaration.Namespace) { n.Stores["a"] = postgres("a", -time.Hour) },
			kind:   v1alpha1.KindEventStore, name: "a", reason: v1alpha1.ReasonSchemaInUse, field: "spec.postgres.schema",
		},
		{
			does:   "the older store is not bothered",
			change: func(n *declaration.Namespace) { n.Stores["a"] = postgres("a", -time.Hour) },
			kind:   v1alpha1.KindEventStore, name: "store",
		},
		{
			does:   "a runtime waits for its store",
			change: func(n *declaration.Namespace) { n.Runtimes["pool"].Spec.StoreRef.Name = "none" },
			kind:   v1alpha1.KindRuntime, name: "pool", reason: v1alpha1.ReasonStoreNotFound, field: "spec.storeRef.name", waits: "EventStore/none",
		},
		{
			does:   "SQLite takes one pod",
			change: func(n *declaration.Namespace) { n.Runtimes["apart"].Spec.Replicas = new(int32(2)) },
			kind:   v1alpha1.KindRuntime, name: "apart", reason: v1alpha1.ReasonSingleReplicaStore, field: "spec.replicas",
		},
		{
			does:   "an aggregate waits for its runtime",
			change: func(n *declaration.Namespace) { n.Aggregates["counter"].Spec.RuntimeRef.Name = "none" },
			kind:   v1alpha1.KindAggregate, name: "counter", reason: v1alpha1.ReasonRuntimeNotFound, field: "spec.runtimeRef.name", waits: "Runtime/none",
		},
		{
			does: "an expression of the wrong type is told",
			change: func(n *declaration.Namespace) {
				n.Aggregates["counter"].Spec.Events[0].Apply["count"] = "'one'"
			},
			kind: v1alpha1.KindAggregate, name: "counter", reason: v1alpha1.ReasonInvalidExpression, field: "spec.events[0].apply.count",
		},
		{
			does:   "a type that is not declared is told",
			change: func(n *declaration.Namespace) { n.Aggregates["counter"].Spec.State[0].Type = "Money" },
			kind:   v1alpha1.KindAggregate, name: "counter", reason: v1alpha1.ReasonInvalidType, field: "spec.state[0].type",
		},
		{
			does:   "an event that is not declared is told",
			change: func(n *declaration.Namespace) { n.Aggregates["counter"].Spec.Commands[0].Emit[0].Event = "Gone" },
			kind:   v1alpha1.KindAggregate, name: "counter", reason: v1alpha1.ReasonUnknownName, field: "spec.commands[0].emit[0].event",
		},
		{
			does: "a mistake of the aggregate's own is told before what it waits for",
			change: func(n *declaration.Namespace) {
				n.Aggregates["counter"].Spec.State[0].Type = "Money"
				n.Aggregates["counter"].Spec.RuntimeRef.Name = "none"
			},
			kind: v1alpha1.KindAggregate, name: "counter", reason: v1alpha1.ReasonInvalidType, field: "spec.state[0].type",
		},
		{
			does:   "a projection waits for its source",
			change: func(n *declaration.Namespace) { delete(n.Aggregates, "counter") },
			kind:   v1alpha1.KindProjection, name: "totals", reason: v1alpha1.ReasonAggregateNotFound, field: "spec.sources[0].aggregate", waits: "Aggregate/counter",
		},
		{
			does:   "a projection waits for a broken source",
			change: func(n *declaration.Namespace) { n.Aggregates["counter"].Spec.State[0].Type = "Money" },
			kind:   v1alpha1.KindProjection, name: "totals", reason: v1alpha1.ReasonAggregateNotReady, field: "spec.sources[0].aggregate", waits: "Aggregate/counter",
		},
		{
			does: "sources of two runtimes are refused",
			change: func(n *declaration.Namespace) {
				p := n.Projections["totals"]
				p.Spec.Sources = append(p.Spec.Sources, v1alpha1.Source{Aggregate: "far"})
			},
			kind: v1alpha1.KindProjection, name: "totals", reason: v1alpha1.ReasonSourcesApart, field: "spec.sources[1].aggregate",
		},
		{
			does:   "a table belongs to the older projection",
			change: func(n *declaration.Namespace) { n.Projections["a"] = totals("a", "far", 0) },
			kind:   v1alpha1.KindProjection, name: "a", reason: v1alpha1.ReasonTableNameTaken, field: "spec.table.name",
		},
		{
			does:   "the older projection keeps its table",
			change: func(n *declaration.Namespace) { n.Projections["a"] = totals("a", "far", 0) },
			kind:   v1alpha1.KindProjection, name: "totals",
		},
		{
			does:   "of projections of the same second the first by name keeps the table",
			change: func(n *declaration.Namespace) { n.Projections["a"] = totals("a", "far", time.Hour) },
			kind:   v1alpha1.KindProjection, name: "totals", reason: v1alpha1.ReasonTableNameTaken, field: "spec.table.name",
		},
		{
			does:   "a table of the same name in another store is another table",
			change: func(n *declaration.Namespace) { n.Projections["a"] = totals("a", "away", 0) },
			kind:   v1alpha1.KindProjection, name: "a",
		},
	} {
		t.Run(c.does, func(t *testing.T) {
			n := sound()
			if c.change != nil {
				c.change(n)
			}
			first, is := declaration.FirstError(judge(n, c.kind, c.name))
			switch {
			case !is && c.reason == "":
			case !is:
				t.Errorf("nothing was found, want %s at %s", c.reason, c.field)
			case first.Reason != c.reason || first.Field != c.field || first.Waits != c.waits:
				t.Errorf("got  %s at %s waiting for %q: %s\nwant %s at %s waiting for %q", first.Reason, first.Field, first.Waits, first, c.reason, c.field, c.waits)
			}
		})
	}
}

func TestWhatHasNotChangedIsNotCompiledAgain(t *testing.T) {
	before, after := sound(), sound()
	aggregate, _ := before.Aggregate("counter")
	projection, _ := before.Projection("totals")
	after.Aggregates["far"].Generation = 2
	far, _ := before.Aggregate("far")
	after.Reuse(before)
	if got, _ := after.Aggregate("counter"); got != aggregate {
		t.Error("the same aggregate was compiled twice")
	}
	if got, _ := after.Projection("totals"); got != projection {
		t.Error("the same projection was compiled twice")
	}
	if got, _ := after.Aggregate("far"); got == far {
		t.Error("a changed aggregate was not compiled again")
	}

	third := sound()
	third.Aggregates["counter"].Generation = 2
	third.Reuse(after)
	if got, _ := third.Projection("totals"); got == projection {
		t.Error("a projection with a changed source was not compiled again")
	}
}
