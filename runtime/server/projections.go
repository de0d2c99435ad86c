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

	"github.com/leftfold/leftfold/api/language"
	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/runtime/api"
	"github.com/leftfold/leftfold/runtime/definition"
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
	for _, f := range found {
		if !f.Warning {
			return nil, fmt.Errorf("projection %s: %s", name, f)
		}
	}
	return compiled, nil
}

// apply brings the set's projections on these aggregates into force. One that
// does not fit what its sources are now (their own change may be stalled), or
// cannot be stored, goes on as it was; the error tells of it.
func (p *projections) apply(ctx context.Context, set *definition.Set, sources map[string]*language.Aggregate) error {
	var (
		definitions []projection.Definition
		specs       = map[string]*v1alpha1.ProjectionSpec{}
		failures    []error
	)
	p.mu.Lock()
	p.sources = sources
	p.mu.Unlock()
	for _, name := range set.ProjectionNames() {
		spec := &set.Projections[name].Object.Spec
		if !slices.ContainsFunc(spec.Sources, func(s v1alpha1.Source) bool { return sources[s.Aggregate] != nil }) {
			continue // of another store
		}
		d, err := p.define(name, spec)
		if err != nil {
			failures = append(failures, err)
			if d, spec, err = p.stored(ctx, name); err != nil {
				failures = append(failures, err)
			}
		}
		if spec != nil {
			definitions, specs[name] = append(definitions, d), spec
		}
	}
	err := p.manager.Apply(ctx, definitions)
	for _, name := range refusedBy(err) {
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
	return errors.Join(append(failures, err)...)
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

// stored gives the definition that serves; the spec is nil when there is none.
func (p *projections) stored(ctx context.Context, name string) (projection.Definition, *v1alpha1.ProjectionSpec, error) {
	text, err := p.manager.StoredSpec(ctx, name)
	if err != nil || text == nil {
		return projection.Definition{}, nil, err
	}
	var spec v1alpha1.ProjectionSpec
	if err := json.Unmarshal(text, &spec); err != nil {
		return projection.Definition{}, nil, fmt.Errorf("read the stored definition of projection %s: %w", name, err)
	}
	d, err := p.define(name, &spec)
	if err != nil {
		return projection.Definition{}, nil, fmt.Errorf("the stored definition does not fit either, so the rows stay as they are: %w", err)
	}
	return d, &spec, nil
}

// refusedBy lists the projections that the manager could not bring into force.
func refusedBy(err error) []string {
	var names []string
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			var d *projection.DefinitionError
			if errors.As(e, &d) {
				names = append(names, d.Projection)
			}
		}
	}
	return names
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
