package definition

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/leftfold/leftfold/api/declaration"
	"github.com/leftfold/leftfold/api/v1alpha1"
)

// setOf gives what one Runtime is to serve of a namespace: its Aggregates, and the
// Projections on them. Each object is judged by itself; one that has a mistake is
// among Held and keeps no other from being served.
//
// What an object waits for in another one is no mistake of its own: an Aggregate
// needs no Runtime object to be served here, and a Projection on an Aggregate that
// has a mistake now may well fit what was accepted of that before, which is for
// the store to tell.
func setOf(runtime string, n *declaration.Namespace) *Set {
	set := &Set{
		Stores: n.Stores, Runtimes: n.Runtimes,
		Aggregates: map[string]*Aggregate{}, Projections: map[string]*Projection{},
	}
	for _, name := range sortedKeys(n.Aggregates) {
		a := n.Aggregates[name]
		if a.Spec.RuntimeRef.Name != runtime {
			continue
		}
		compiled, found := n.Aggregate(name)
		if compiled == nil {
			set.hold(v1alpha1.KindAggregate, a, found)
			continue
		}
		set.Aggregates[name] = &Aggregate{Object: a, Compiled: compiled}
	}
	for _, name := range sortedKeys(n.Projections) {
		p := n.Projections[name]
		if n.RuntimeOf(p) != runtime {
			continue
		}
		compiled, found := n.Projection(name)
		first, is := declaration.FirstError(found)
		if is && first.Reason != v1alpha1.ReasonAggregateNotReady {
			set.hold(v1alpha1.KindProjection, p, found)
			continue
		}
		set.Projections[name] = &Projection{Object: p, Compiled: compiled}
	}
	return set
}

// hold puts an object that has a mistake among those that are held.
func (s *Set) hold(kind string, object metav1.Object, found []declaration.Problem) {
	first, _ := declaration.FirstError(found)
	s.Held = append(s.Held, Held{
		Kind: kind, Name: object.GetName(), UID: string(object.GetUID()), Generation: object.GetGeneration(),
		Reason: first.Reason, Detail: first.String(),
	})
}

// edition is equal for sets that are made of the same revisions of the same
// objects with the same verdicts.
func (s *Set) edition() string {
	var b strings.Builder
	line := func(kind string, o metav1.Object, more string) {
		_, _ = fmt.Fprintln(&b, kind, o.GetName(), o.GetUID(), o.GetGeneration(), more)
	}
	for _, name := range s.AggregateNames() {
		line(v1alpha1.KindAggregate, s.Aggregates[name].Object, "")
	}
	for _, name := range s.ProjectionNames() {
		p := s.Projections[name]
		line(v1alpha1.KindProjection, p.Object, fmt.Sprint(p.Compiled == nil))
	}
	held := slices.Clone(s.Held)
	slices.SortFunc(held, func(a, b Held) int { return strings.Compare(a.Kind+a.Name, b.Kind+b.Name) })
	for _, h := range held {
		_, _ = fmt.Fprintln(&b, h.Kind, h.Name, h.UID, h.Generation, h.Reason, h.Detail)
	}
	return b.String()
}
