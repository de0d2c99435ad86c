package declaration

import (
	"fmt"
	"maps"

	"github.com/leftfold/leftfold/api/language"
	"github.com/leftfold/leftfold/api/v1alpha1"
)

// CheckProjection judges a Projection by itself against the aggregates that it
// reads, by name. What it gives is nil when one of the problems is an error.
func CheckProjection(p *v1alpha1.Projection, sources map[string]*language.Aggregate) (*language.Projection, []Problem) {
	compiled, found := language.CompileProjection(p.Name, &p.Spec, sources)
	return compiled, FromLanguage(found)
}

// Projection judges a Projection: its sources must be there, sound and of one
// Runtime; its table no other's in the same store, of which the older keeps it;
// and its rules must compile. What it gives is nil when one of the problems is
// an error.
func (n *Namespace) Projection(name string) (*language.Projection, []Problem) {
	p := n.Projections[name]
	if p == nil {
		return nil, nil
	}
	sources, found := n.sources(p)
	if len(found) > 0 {
		return nil, found
	}
	if other := n.tableOwner(p); other != nil {
		return nil, []Problem{{
			Reason: v1alpha1.ReasonTableNameTaken, Field: "spec.table.name",
			Message: fmt.Sprintf("table %q belongs to Projection %q already", TableName(p), other.Name),
			Fix:     "give each projection a table of its own",
		}}
	}
	own := n.compileProjection(p, sources)
	return own.compiled, own.found
}

// RuntimeOf names the Runtime that serves a Projection: that of its sources. It
// is empty when none of them is there.
func (n *Namespace) RuntimeOf(p *v1alpha1.Projection) string {
	for _, s := range p.Spec.Sources {
		if a := n.Aggregates[s.Aggregate]; a != nil {
			return a.Spec.RuntimeRef.Name
		}
	}
	return ""
}

// sources gives the compiled aggregates that a projection reads.
func (n *Namespace) sources(p *v1alpha1.Projection) (map[string]*language.Aggregate, []Problem) {
	var found []Problem
	sources, runtime := map[string]*language.Aggregate{}, n.RuntimeOf(p)
	for i, s := range p.Spec.Sources {
		field := fmt.Sprintf("spec.sources[%d].aggregate", i)
		a := n.Aggregates[s.Aggregate]
		if a == nil {
			found = append(found, n.missing(v1alpha1.ReasonAggregateNotFound, field, v1alpha1.KindAggregate, s.Aggregate))
			continue
		}
		if a.Spec.RuntimeRef.Name != runtime {
			found = append(found, Problem{
				Reason: v1alpha1.ReasonSourcesApart, Field: field,
				Message: fmt.Sprintf("aggregate %q is of Runtime %q, the sources before it of %q", s.Aggregate, a.Spec.RuntimeRef.Name, runtime),
				Fix:     "a projection's sources share one Runtime: make a projection for each",
			})
			continue
		}
		compiled, broken := n.Aggregate(s.Aggregate)
		if why, is := FirstError(broken); is {
			found = append(found, Problem{
				Reason: v1alpha1.ReasonAggregateNotReady, Field: field, Waits: v1alpha1.KindAggregate + "/" + s.Aggregate,
				Message: fmt.Sprintf("Aggregate %q has a mistake itself: %s", s.Aggregate, why), Fix: "mend it there",
			})
			continue
		}
		sources[s.Aggregate] = compiled
	}
	return sources, found
}

// tableOwner is the older projection on the same store with the same table; nil
// when there is none.
func (n *Namespace) tableOwner(p *v1alpha1.Projection) (first *v1alpha1.Projection) {
	for _, other := range n.Projections {
		if TableName(other) != TableName(p) || !precedes(&other.ObjectMeta, &p.ObjectMeta) || n.storeOf(other) != n.storeOf(p) {
			continue
		}
		if first == nil || precedes(&other.ObjectMeta, &first.ObjectMeta) {
			first = other
		}
	}
	return first
}

// storeOf names the store of a projection's rows; empty when that is not known.
func (n *Namespace) storeOf(p *v1alpha1.Projection) string {
	if r := n.Runtimes[n.RuntimeOf(p)]; r != nil {
		return r.Spec.StoreRef.Name
	}
	return ""
}

func (n *Namespace) compileProjection(p *v1alpha1.Projection, sources map[string]*language.Aggregate) projection {
	if own, done := n.projections[p.Name]; done {
		return own
	}
	own := projection{}
	if n.before != nil && sameRevision(n.before.Projections[p.Name], p) {
		own = n.before.projections[p.Name]
	}
	if own.sources == nil || !maps.Equal(own.sources, sources) {
		own = projection{sources: sources}
		own.compiled, own.found = CheckProjection(p, sources)
	}
	if n.projections == nil {
		n.projections = map[string]projection{}
	}
	n.projections[p.Name] = own
	return own
}
