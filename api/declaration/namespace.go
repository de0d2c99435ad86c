package declaration

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/leftfold/leftfold/api/language"
	"github.com/leftfold/leftfold/api/v1alpha1"
)

// Namespace is what is declared together, by metadata.name: objects name each
// other within it alone. Its methods judge one object each and compile what they
// need once, so it is to be filled first, left alone then, and used by one
// goroutine. What is not in a map does not exist; fill what the objects asked
// about refer to, and, for names that must be single, all of the kind.
type Namespace struct {
	Stores      map[string]*v1alpha1.EventStore
	Runtimes    map[string]*v1alpha1.Runtime
	Aggregates  map[string]*v1alpha1.Aggregate
	Projections map[string]*v1alpha1.Projection
	// Where completes "there is no Runtime x in …"; default "this namespace".
	Where string

	aggregates  map[string]aggregate
	projections map[string]projection
	before      *Namespace
}

// aggregate is an Aggregate's own expressions, compiled.
type aggregate struct {
	compiled *language.Aggregate
	found    []Problem
}

// projection is a Projection's own expressions, compiled against its sources.
type projection struct {
	sources  map[string]*language.Aggregate
	compiled *language.Projection
	found    []Problem
}

// Reuse takes over what an earlier Namespace has compiled of objects that are
// the same: same UID, same generation, same sources. The earlier one is not to
// be used any more.
func (n *Namespace) Reuse(earlier *Namespace) {
	earlier.before = nil
	n.before = earlier
}

// missing is the problem of a name that no object has.
func (n *Namespace) missing(reason, field, kind, name string) Problem {
	where := n.Where
	if where == "" {
		where = "this namespace"
	}
	return Problem{
		Reason: reason, Field: field, Waits: kind + "/" + name,
		Message: fmt.Sprintf("there is no %s %q in %s", kind, name, where), Fix: "correct the name, or add the object",
	}
}

// EventStore judges an EventStore: its schema must be no other's, of which the
// older keeps it. Objects of other namespaces may have it too; only the database
// tells.
func (n *Namespace) EventStore(name string) []Problem {
	store := n.Stores[name]
	if store == nil || store.Spec.Postgres == nil {
		return nil
	}
	for _, other := range n.Stores {
		if other.Spec.Postgres == nil || !precedes(&other.ObjectMeta, &store.ObjectMeta) || *other.Spec.Postgres != *store.Spec.Postgres {
			continue
		}
		return []Problem{{
			Reason: v1alpha1.ReasonSchemaInUse, Field: "spec.postgres.schema",
			Message: fmt.Sprintf("schema %q of the same database belongs to EventStore %q already", store.Spec.Postgres.Schema, other.Name),
			Fix:     "give each EventStore a schema of its own",
		}}
	}
	return nil
}

// Runtime judges a Runtime: its store must be there, and one that takes no more
// than a pod must not be asked for more.
func (n *Namespace) Runtime(name string) []Problem {
	r := n.Runtimes[name]
	if r == nil {
		return nil
	}
	store := n.Stores[r.Spec.StoreRef.Name]
	switch {
	case store == nil:
		return []Problem{n.missing(v1alpha1.ReasonStoreNotFound, "spec.storeRef.name", v1alpha1.KindEventStore, r.Spec.StoreRef.Name)}
	case store.Spec.SQLite != nil && r.Spec.Replicas != nil && *r.Spec.Replicas > 1:
		return []Problem{{
			Reason: v1alpha1.ReasonSingleReplicaStore, Field: "spec.replicas",
			Message: fmt.Sprintf("%d replicas on the SQLite store %q, which one pod alone can use", *r.Spec.Replicas, store.Name),
			Fix:     "write replicas: 1, or use a PostgreSQL store",
		}}
	}
	return nil
}

// CheckAggregate judges an Aggregate by itself: names, types, expressions. What
// it gives is nil when one of the problems is an error.
func CheckAggregate(a *v1alpha1.Aggregate) (*language.Aggregate, []Problem) {
	compiled, found := language.Compile(a.Name, &a.Spec)
	return compiled, FromLanguage(found)
}

// Aggregate judges an Aggregate: by itself, and that its Runtime is there. What
// it gives is nil when one of the problems of its own is an error; it does not
// need the Runtime.
func (n *Namespace) Aggregate(name string) (*language.Aggregate, []Problem) {
	a := n.Aggregates[name]
	if a == nil {
		return nil, nil
	}
	var found []Problem
	if n.Runtimes[a.Spec.RuntimeRef.Name] == nil {
		found = append(found, n.missing(v1alpha1.ReasonRuntimeNotFound, "spec.runtimeRef.name", v1alpha1.KindRuntime, a.Spec.RuntimeRef.Name))
	}
	own := n.compileAggregate(a)
	return own.compiled, append(found, own.found...)
}

func (n *Namespace) compileAggregate(a *v1alpha1.Aggregate) aggregate {
	if own, done := n.aggregates[a.Name]; done {
		return own
	}
	own, same := aggregate{}, false
	if n.before != nil && sameRevision(n.before.Aggregates[a.Name], a) {
		own, same = n.before.aggregates[a.Name]
	}
	if !same {
		own.compiled, own.found = CheckAggregate(a)
	}
	if n.aggregates == nil {
		n.aggregates = map[string]aggregate{}
	}
	n.aggregates[a.Name] = own
	return own
}

// sameRevision tells two readings of an object that a cluster has with the same
// spec. before may be nil.
func sameRevision[T interface {
	metav1.Object
	comparable
}](before, now T) bool {
	var none T
	return before != none && now.GetUID() != "" && before.GetUID() == now.GetUID() && before.GetGeneration() == now.GetGeneration()
}

// precedes tells which of two objects came first, and so keeps a name that both
// have: the older one, and of those made in the same second the one whose name
// comes first. No object precedes itself.
func precedes(a, b *metav1.ObjectMeta) bool {
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.CreationTimestamp.Before(&b.CreationTimestamp)
	}
	return a.Name < b.Name
}

// TableName is the projection's table: the declared name, else the object's with
// - as _.
func TableName(p *v1alpha1.Projection) string {
	if p.Spec.Table != nil && p.Spec.Table.Name != "" {
		return p.Spec.Table.Name
	}
	return strings.ReplaceAll(p.Name, "-", "_")
}
