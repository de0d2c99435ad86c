package server

import (
	"errors"
	"sync"

	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/runtime/definition"
	"github.com/leftfold/leftfold/runtime/eventstore"
)

// outcome is what became of one object.
type outcome struct {
	kind, name string
	// seen is the object as it was declared, accepted the one whose definition is
	// in force; zero where there is none.
	seen, accepted eventstore.Source
	// err tells why the seen one is not in force: a *stalledError, or what failed.
	err error
}

// definitions tells what becomes of the objects of a cluster. What is declared in
// files is not told: it has no objects.
type definitions struct {
	// tell is given every report; nil: nobody is interested. Reports of one object
	// come in order, and may say again what the last one said.
	tell func(*leftfoldv1.DefinitionReport)

	mu   sync.Mutex
	last map[objectKey]*leftfoldv1.DefinitionReport
}

type objectKey struct{ kind, name string }

func newDefinitions(tell func(*leftfoldv1.DefinitionReport)) *definitions {
	return &definitions{tell: tell, last: map[objectKey]*leftfoldv1.DefinitionReport{}}
}

// put reports one outcome.
func (d *definitions) put(o outcome) {
	if o.seen.UID == "" {
		return
	}
	r := &leftfoldv1.DefinitionReport{
		Kind: o.kind, Name: o.name, Uid: o.seen.UID, ObservedGeneration: o.seen.Generation,
	}
	if o.accepted.UID == o.seen.UID {
		r.AcceptedGeneration = o.accepted.Generation
	}
	var why *stalledError
	switch {
	case errors.As(o.err, &why):
		r.Reason, r.Detail = why.Reason, why.Detail
	case o.err != nil:
		r.Reason, r.Detail = v1alpha1.ReasonStoreUnreachable, o.err.Error()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last[objectKey{o.kind, o.name}] = r
	d.send(r)
}

// retain reports every object as gone that the set does not have any more.
func (d *definitions) retain(set *definition.Set) {
	there := map[objectKey]bool{}
	for name := range set.Aggregates {
		there[objectKey{v1alpha1.KindAggregate, name}] = true
	}
	for name := range set.Projections {
		there[objectKey{v1alpha1.KindProjection, name}] = true
	}
	for _, h := range set.Held {
		there[objectKey{h.Kind, h.Name}] = true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, r := range d.last {
		if !there[key] {
			delete(d.last, key)
			d.send(&leftfoldv1.DefinitionReport{Kind: r.GetKind(), Name: r.GetName(), Uid: r.GetUid(), Gone: true})
		}
	}
}

func (d *definitions) send(r *leftfoldv1.DefinitionReport) {
	if d.tell != nil {
		d.tell(r)
	}
}
