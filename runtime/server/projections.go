package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/leftfold/leftfold/api/declaration"
	"github.com/leftfold/leftfold/api/language"
	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/runtime/api"
	"github.com/leftfold/leftfold/runtime/definition"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/projection"
	"github.com/leftfold/leftfold/runtime/projection/table"
	"github.com/leftfold/leftfold/runtime/telemetry"
)

// projections are those of one store.
type projections struct {
	manager *projection.Manager
	reader  *table.Reader
	dialect projection.Dialect
	log     *slog.Logger

	mu sync.Mutex
	// specs are those in force, by name.
	specs map[string]*v1alpha1.ProjectionSpec
	// sources are the aggregates that stored definitions are compiled against.
	sources map[string]*language.Aggregate
}

func newProjections(store opened, log *slog.Logger, metrics *telemetry.Metrics) *projections {
	p := &projections{
		reader: &table.Reader{DB: store.db}, dialect: store.db.Dialect, log: log,
		specs: map[string]*v1alpha1.ProjectionSpec{},
	}
	p.manager = projection.NewManager(projection.Config{
		DB: store.db, Log: store, Storage: table.Storage{Database: store.db.Dialect},
		Compile: p.compile, Observer: metrics.Projections(), Logger: log,
	})
	return p
}

// compile makes a stored definition one that runs again.
func (p *projections) compile(name string, stored []byte) (projection.Definition, error) {
	var spec v1alpha1.ProjectionSpec
	if err := json.Unmarshal(stored, &spec); err != nil {
		return projection.Definition{}, fmt.Errorf("read the stored definition of projection %s: %w", name, err)
	}
	return p.define(name, &spec)
}

func compileProjection(name string, spec *v1alpha1.ProjectionSpec, sources map[string]*language.Aggregate) (*language.Projection, error) {
	compiled, found := language.CompileProjection(name, spec, sources)
	if first, is := declaration.FirstError(declaration.FromLanguage(found)); is {
		return nil, &stalledError{Reason: first.Reason, Detail: fmt.Sprintf("projection %s: %s", name, first)}
	}
	return compiled, nil
}

// declared is a projection as it is to be served.
type declared struct {
	name string
	spec *v1alpha1.ProjectionSpec
	// source is zero outside of a cluster.
	source eventstore.Source
	// held: the declaration has a mistake, so what was accepted before serves on.
	held *stalledError
}

// declaredBy lists the projections of a set, sound ones and others.
func declaredBy(set *definition.Set) []declared {
	var out []declared
	for _, name := range set.ProjectionNames() {
		o := set.Projections[name].Object
		d := declared{name: name, spec: &o.Spec}
		if o.UID != "" {
			d.source = eventstore.Source{UID: string(o.UID), Generation: o.Generation, Created: o.CreationTimestamp.UTC()}
		}
		out = append(out, d)
	}
	for _, h := range set.Held {
		if h.Kind == v1alpha1.KindProjection {
			out = append(out, declared{
				name: h.Name, source: eventstore.Source{UID: h.UID, Generation: h.Generation},
				held: &stalledError{Reason: h.Reason, Detail: h.Detail},
			})
		}
	}
	return out
}

// apply brings projections on these aggregates into force, those alone, and tells
// what became of each. One that has a mistake, or does not fit what its sources
// are now (their own change may be stalled), or cannot be stored, goes on as it
// was accepted last.
func (p *projections) apply(ctx context.Context, wanted []declared, sources map[string]*language.Aggregate) []outcome {
	var (
		definitions []projection.Definition
		specs       = map[string]*v1alpha1.ProjectionSpec{}
		failures    = map[string]error{}
	)
	p.mu.Lock()
	p.sources = sources
	p.mu.Unlock()
	here := make([]declared, 0, len(wanted))
	for _, d := range wanted {
		if d.held == nil && !slices.ContainsFunc(d.spec.Sources, func(s v1alpha1.Source) bool { return sources[s.Aggregate] != nil }) {
			continue // of another store
		}
		here = append(here, d)
		def, spec, err := p.choose(ctx, d)
		failures[d.name] = err
		if spec != nil {
			definitions, specs[d.name] = append(definitions, def), spec
		}
	}
	err := p.manager.Apply(ctx, definitions)
	for _, refused := range refusedBy(err) {
		name := refused.Projection
		if failures[name] == nil {
			failures[name] = refusal(refused)
		}
		// The manager goes on with the definition before, if there is one.
		if _, before, err := p.stored(ctx, name); err == nil && before != nil {
			specs[name] = before
		} else {
			delete(specs, name)
		}
	}
	p.mu.Lock()
	p.specs = specs
	p.mu.Unlock()
	outcomes := make([]outcome, 0, len(here))
	for _, d := range here {
		o := outcome{kind: v1alpha1.KindProjection, name: d.name, seen: d.source, err: failures[d.name]}
		if d.source.UID != "" {
			kept, err := p.manager.StoredOf(ctx, d.name)
			o.accepted = kept.Source
			if o.err == nil {
				o.err = err
			}
		}
		outcomes = append(outcomes, o)
	}
	return outcomes
}

// choose gives the definition to serve of a declared projection: the declared
// one, or what was accepted last together with the reason; no spec when there is
// nothing to serve.
func (p *projections) choose(ctx context.Context, d declared) (projection.Definition, *v1alpha1.ProjectionSpec, error) {
	var why error = d.held
	if d.held == nil {
		def, err := p.define(d.name, d.spec)
		if err == nil {
			def.Source = d.source
			return def, d.spec, nil
		}
		why = err
	}
	def, spec, err := p.stored(ctx, d.name)
	var stalled *stalledError
	if err != nil && !errors.As(err, &stalled) {
		return def, nil, err // it may be well when it is tried again
	}
	return def, spec, why
}

// refusal tells a name that is taken from a database that failed.
func refusal(err *projection.DefinitionError) error {
	if errors.Is(err, projection.ErrTableNameTaken) {
		return &stalledError{Reason: v1alpha1.ReasonTableNameTaken, Detail: "spec.table.name: " + err.Error()}
	}
	return err
}

// define compiles a declared projection against the sources.
func (p *projections) define(name string, spec *v1alpha1.ProjectionSpec) (projection.Definition, error) {
	p.mu.Lock()
	sources := p.sources
	p.mu.Unlock()
	compiled, err := compileProjection(name, spec, sources)
	if err != nil {
		return projection.Definition{}, err
	}
	return table.Define(spec, compiled, p.dialect)
}

// stored gives the definition that was accepted last; the spec is nil when there
// is none, or it does not fit its sources either: then the rows stay as they are.
func (p *projections) stored(ctx context.Context, name string) (projection.Definition, *v1alpha1.ProjectionSpec, error) {
	kept, err := p.manager.StoredOf(ctx, name)
	if err != nil || kept.Spec == nil {
		return projection.Definition{}, nil, err
	}
	var spec v1alpha1.ProjectionSpec
	if err := json.Unmarshal(kept.Spec, &spec); err != nil {
		return projection.Definition{}, nil, fmt.Errorf("read the stored definition of projection %s: %w", name, err)
	}
	d, err := p.define(name, &spec)
	if err != nil {
		return projection.Definition{}, nil, fmt.Errorf("the stored definition does not fit either, so the rows stay as they are: %w", err)
	}
	d.Source = kept.Source
	return d, &spec, nil
}

// refusedBy lists what the manager could not bring into force.
func refusedBy(err error) []*projection.DefinitionError {
	var refused []*projection.DefinitionError
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			var d *projection.DefinitionError
			if errors.As(e, &d) {
				refused = append(refused, d)
			}
		}
	}
	return refused
}

// shape tells how a projection's rows look: those of the version that serves,
// which is an older one while a changed definition is being built.
func (p *projections) shape(ctx context.Context, name string) (t api.Table, err error) {
	layout, err := p.reader.Layout(ctx, name)
	if err != nil {
		return t, err
	}
	t.Key = columnOf(layout.Key)
	for _, c := range layout.Columns {
		t.Columns = append(t.Columns, columnOf(c))
	}
	return t, nil
}

func columnOf(c table.Column) api.Column { return api.Column{Name: c.Name, Type: string(c.Kind)} }

func (p *projections) has(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.specs[name] != nil
}

// names lists those in force, in order.
func (p *projections) names() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(maps.Keys(p.specs))
}

func (p *projections) definitions() []api.ProjectionDefinition {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]api.ProjectionDefinition, 0, len(p.specs))
	for name, spec := range p.specs {
		out = append(out, api.ProjectionDefinition{Name: name, Spec: spec})
	}
	return out
}

func (p *projections) close() { p.manager.Close() }
