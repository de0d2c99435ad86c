package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
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

	mu     sync.Mutex
	specs  map[string]*v1alpha1.ProjectionSpec
	shapes map[string]api.Table
	// sources are the aggregates that stored definitions are compiled against.
	sources map[string]*language.Aggregate
}

func newProjections(store opened, log *slog.Logger, metrics *telemetry.Metrics) *projections {
	p := &projections{
		reader: &table.Reader{DB: store.db}, dialect: store.db.Dialect, log: log,
		specs: map[string]*v1alpha1.ProjectionSpec{}, shapes: map[string]api.Table{},
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
	p.mu.Lock()
	sources := p.sources
	p.mu.Unlock()
	compiled, err := compileProjection(name, &spec, sources)
	if err != nil {
		return projection.Definition{}, err
	}
	return table.Define(&spec, compiled, p.dialect)
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
// does not fit what its sources are now (their own change may be stalled) is
// told and left as it was.
func (p *projections) apply(ctx context.Context, set *definition.Set, sources map[string]*language.Aggregate) error {
	var (
		definitions []projection.Definition
		specs       = map[string]*v1alpha1.ProjectionSpec{}
		shapes      = map[string]api.Table{}
		errs        []error
	)
	for _, name := range set.ProjectionNames() {
		spec := &set.Projections[name].Object.Spec
		if !slices.ContainsFunc(spec.Sources, func(s v1alpha1.Source) bool { return sources[s.Aggregate] != nil }) {
			continue // of another store
		}
		compiled, err := compileProjection(name, spec, sources)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		d, err := table.Define(spec, compiled, p.dialect)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		definitions, specs[name], shapes[name] = append(definitions, d), spec, shapeOf(compiled)
	}
	p.mu.Lock()
	p.specs, p.shapes, p.sources = specs, shapes, sources
	p.mu.Unlock()
	return errors.Join(append(errs, p.manager.Apply(ctx, definitions))...)
}

func shapeOf(p *language.Projection) api.Table {
	t := api.Table{Key: api.Column{Name: p.Key().Name, Type: p.Key().Type.Name()}}
	for _, c := range p.Columns() {
		t.Columns = append(t.Columns, api.Column{Name: c.Name, Type: c.Type.Name()})
	}
	return t
}

// shape tells how a projection's rows look; ok is false when there is none of
// that name here.
func (p *projections) shape(name string) (t api.Table, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, ok = p.shapes[name]
	return t, ok
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
