package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/runtime/definition"
	"github.com/leftfold/leftfold/runtime/eventstore"
)

// Apply brings changed definitions into force. Where that cannot be (history
// contradicts an aggregate, a projection does not fit its sources), the
// definition before serves on; the error tells of each, and so does the log.
func (s *Server) Apply(ctx context.Context, set *definition.Set) error {
	stalled, err := s.apply(ctx, set)
	if err = errors.Join(err, stalled); err != nil {
		s.log.Error("changed definitions did not take effect as a whole; what they could not change serves as before", "error", err)
		return err
	}
	s.log.Info("changed definitions are in force")
	return nil
}

// apply serves what the set declares. Aggregates come before projections, which
// read them, and none keeps another from being served. An aggregate that is not
// declared any more is left alone: its events are there, and callers may still
// be. stalled joins what does not take effect although nothing failed; err joins
// what failed, and may be well when it is tried again.
func (s *Server) apply(ctx context.Context, set *definition.Set) (stalled, err error) {
	s.applying.Lock()
	defer s.applying.Unlock()
	s.applied = set
	return s.applyLocked(ctx, set)
}

// applyLocked is apply with s.applying held.
func (s *Server) applyLocked(ctx context.Context, set *definition.Set) (stalled, err error) {
	r := results{definitions: s.definitions}
	for _, name := range set.AggregateNames() {
		a := set.Aggregates[name]
		r.add(s.applyAggregate(ctx, set, a))
	}
	for _, held := range set.Held {
		if held.Kind == v1alpha1.KindAggregate {
			r.add(s.hold(ctx, held))
		}
	}
	for _, w := range s.workloads() {
		for _, outcome := range w.projections.apply(ctx, declaredBy(set), w.compiled()) {
			r.add(outcome)
		}
	}
	s.definitions.retain(set)
	return errors.Join(r.stalled...), errors.Join(r.failed...)
}

// results gathers what became of each object.
type results struct {
	definitions     *definitions
	stalled, failed []error
}

func (r *results) add(o outcome) {
	r.definitions.put(o)
	var why *stalledError
	switch {
	case errors.As(o.err, &why):
		r.stalled = append(r.stalled, why)
	case o.err != nil:
		r.failed = append(r.failed, o.err)
	}
}

// sourceOf tells which object of a cluster a definition is from.
func sourceOf(uid string, generation int64, a *v1alpha1.Aggregate) eventstore.Source {
	if uid == "" {
		return eventstore.Source{}
	}
	return eventstore.Source{UID: uid, Generation: generation, Created: a.CreationTimestamp.UTC()}
}

func (s *Server) applyAggregate(ctx context.Context, set *definition.Set, a *definition.Aggregate) outcome {
	o := offer{
		name: a.Object.Name, spec: &a.Object.Spec, compiled: a.Compiled,
		source: sourceOf(string(a.Object.UID), a.Object.Generation, a.Object),
	}
	out := outcome{kind: v1alpha1.KindAggregate, name: o.name, seen: o.source}
	w, err := s.workload(ctx, set, a)
	if err != nil {
		out.err = err
		return out
	}
	got, err := w.serve(ctx, o)
	if out.err = err; err == nil && got.stalled != nil {
		out.err = got.stalled
	}
	out.accepted = w.acceptedSource(o.name, got)
	return out
}

// serve makes an aggregate known, or gives one that is served a new definition.
// What it gives is in force, which need not be what was offered.
func (w *workload) serve(ctx context.Context, o offer) (accepted, error) {
	got, err := accept(ctx, w.store, o)
	if err != nil {
		return got, err
	}
	served, err := w.put(ctx, o.name, got)
	if err != nil {
		return got, err
	}
	if len(got.aggregate.Before) > 0 {
		return w.confirm(ctx, served, got, o)
	}
	return got, nil
}

// put brings what the store has accepted into force here.
func (w *workload) put(ctx context.Context, name string, got accepted) (*aggregate, error) {
	served := w.aggregate(name)
	if served == nil {
		return w.begin(ctx, name, got)
	}
	served.redefine(got)
	return served, nil
}

// acceptedSource is where the definition in force comes from; when it could not
// be seen now, the one that is known to be.
func (w *workload) acceptedSource(name string, got accepted) eventstore.Source {
	if got.spec != nil {
		return got.aggregate.Source
	}
	if a := w.aggregate(name); a != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.aggregate.Source
	}
	return eventstore.Source{}
}

// hold serves what was accepted of an aggregate whose declaration has a mistake
// now.
func (s *Server) hold(ctx context.Context, held definition.Held) outcome {
	out := outcome{
		kind: held.Kind, name: held.Name, seen: eventstore.Source{UID: held.UID, Generation: held.Generation},
		err: &stalledError{Reason: held.Reason, Detail: held.Detail},
	}
	for _, w := range s.workloads() {
		row, err := known(ctx, w.store, held.Name)
		switch {
		case errors.Is(err, eventstore.ErrUnknownName) || err == nil && row.Definition == nil:
			continue
		case err != nil:
			out.err = err
			return out
		}
		got, err := stored(held.Name, row)
		if err == nil {
			_, err = w.put(ctx, held.Name, got)
		}
		if err != nil {
			out.err = err
			return out
		}
		out.accepted = got.aggregate.Source
	}
	return out
}

// serveStored serves what the store has of a Runtime: the definitions that were
// accepted last. It is for a process that cannot see what is declared now; as
// soon as that is applied, it counts. An aggregate that was deleted is among what
// is served until then.
func (s *Server) serveStored(ctx context.Context, w *workload, runtime string) error {
	s.applying.Lock()
	defer s.applying.Unlock()
	if s.applied != nil {
		return nil
	}
	rows, err := w.store.Aggregates(ctx)
	if err != nil {
		return fmt.Errorf("list the aggregates: %w", err)
	}
	var failed []error
	for _, row := range rows {
		if row.Definition == nil || row.Source.UID == "" {
			continue
		}
		got, err := stored(row.Name, row)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		if got.spec.RuntimeRef.Name != runtime {
			continue
		}
		_, err = w.put(ctx, row.Name, got)
		s.definitions.put(outcome{kind: v1alpha1.KindAggregate, name: row.Name, seen: row.Source, accepted: row.Source, err: err})
		failed = append(failed, err)
	}
	sources := w.compiled()
	known, err := w.projections.manager.Stored(ctx)
	if err != nil {
		return errors.Join(append(failed, err)...)
	}
	var wanted []declared
	for _, p := range known {
		var spec v1alpha1.ProjectionSpec
		if err := json.Unmarshal(p.Spec, &spec); err != nil {
			failed = append(failed, fmt.Errorf("read the stored definition of projection %s: %w", p.Name, err))
			continue
		}
		foreign := slices.ContainsFunc(spec.Sources, func(s v1alpha1.Source) bool { return sources[s.Aggregate] == nil })
		if p.Source.UID != "" && !foreign {
			wanted = append(wanted, declared{name: p.Name, spec: &spec, source: p.Source})
		}
	}
	for _, o := range w.projections.apply(ctx, wanted, sources) {
		s.definitions.put(o)
		failed = append(failed, o.err)
	}
	return errors.Join(failed...)
}
