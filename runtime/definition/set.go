package definition

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/leftfold/leftfold/api/declaration"
	"github.com/leftfold/leftfold/api/language"
	"github.com/leftfold/leftfold/api/v1alpha1"
)

// Set is everything that a set of manifests declares, checked and compiled.
type Set struct {
	// Stores, Runtimes, Aggregates and Projections are by metadata.name.
	Stores      map[string]*v1alpha1.EventStore
	Runtimes    map[string]*v1alpha1.Runtime
	Aggregates  map[string]*Aggregate
	Projections map[string]*Projection
	// Held are objects that a cluster has and that have a mistake. They are in
	// none of the maps; what was accepted of them before is to serve on. Files
	// with a mistake make no Set at all.
	Held []Held
}

// Held is an object that cannot take effect as it is.
type Held struct {
	// Kind is Aggregate or Projection, Name its metadata.name.
	Kind, Name string
	UID        string
	Generation int64
	// Reason is one of the API's condition reasons; Detail names the field, what
	// is wrong with it and the fix.
	Reason, Detail string
}

// Declares tells whether there is such an object, with a mistake or without.
func (s *Set) Declares(kind, name string) bool {
	switch {
	case kind == v1alpha1.KindAggregate && s.Aggregates[name] != nil, kind == v1alpha1.KindProjection && s.Projections[name] != nil:
		return true
	}
	return slices.ContainsFunc(s.Held, func(h Held) bool { return h.Kind == kind && h.Name == name })
}

// Aggregate is an aggregate's object with its compiled behaviour.
type Aggregate struct {
	Object   *v1alpha1.Aggregate
	Compiled *language.Aggregate
}

// Projection is a projection's object with its compiled rules.
type Projection struct {
	Object   *v1alpha1.Projection
	Compiled *language.Projection
}

// StoreOf names the event store that holds the aggregate's events: that of its
// runtime.
func (s *Set) StoreOf(a *Aggregate) string {
	return s.Runtimes[a.Object.Spec.RuntimeRef.Name].Spec.StoreRef.Name
}

// AggregateNames lists the aggregates in order of name.
func (s *Set) AggregateNames() []string { return sortedKeys(s.Aggregates) }

// ProjectionNames lists the projections in order of name.
func (s *Set) ProjectionNames() []string { return sortedKeys(s.Projections) }

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// Load reads files and folders and checks all that can be known without a
// cluster. The Set is usable only if the problems hold no error (HasErrors); an
// error says that a path could not be read at all.
func Load(paths []string) (*Set, []Problem, error) {
	files, err := expand(paths)
	if err != nil {
		return nil, nil, err
	}
	l := newLoader()
	for _, file := range files {
		if err := l.take(readFile(file)); err != nil {
			return nil, nil, err
		}
	}
	return l.set, l.finish(), nil
}

// loader gathers a Set and its problems.
type loader struct {
	set      *Set
	problems []Problem
	// places finds an object's document by Kind/name.
	places map[string]*document
	// damaged tells that some object was left out, so that a missing reference
	// may be that object's fault and is not told again.
	damaged map[string]bool
}

func newLoader() *loader {
	return &loader{set: &Set{
		Stores:      map[string]*v1alpha1.EventStore{},
		Runtimes:    map[string]*v1alpha1.Runtime{},
		Aggregates:  map[string]*Aggregate{},
		Projections: map[string]*Projection{},
	}, places: map[string]*document{}}
}

// take adds what was read of one file.
func (l *loader) take(docs []document, problems []Problem) error {
	l.problems = append(l.problems, problems...)
	for i := range docs {
		if err := l.add(&docs[i]); err != nil {
			return err
		}
	}
	return nil
}

// finish checks what the documents say of each other and what they compute.
func (l *loader) finish() []Problem {
	l.judge()
	for _, d := range l.places {
		l.problems = append(l.problems, d.broken...)
	}
	return sortProblems(l.problems)
}

func (l *loader) report(d *document, path, message, fix string) {
	l.problems = append(l.problems, d.problem(path, message, fix))
}

// add checks one document by itself and puts it into the set.
func (l *loader) add(d *document) error {
	t, ours := d.typeMeta()
	if !ours {
		// Other kinds may stand in the same files: a Secret, a Namespace, a
		// Kustomization. But a misspelt group of ours must not pass as theirs.
		if t.APIVersion == "" || t.Kind == "" || strings.Contains(t.APIVersion, "leftfold") {
			l.report(d, "apiVersion", fmt.Sprintf("%q is not this group's version", t.APIVersion), "write apiVersion: "+v1alpha1.GroupVersion.String()+" and a kind")
		}
		return nil
	}
	if t.APIVersion != v1alpha1.GroupVersion.String() {
		l.report(d, "apiVersion", fmt.Sprintf("unknown version %q", t.APIVersion), "write "+v1alpha1.GroupVersion.String())
		return nil
	}
	s, err := schemaFor(t.Kind)
	if err != nil {
		return err
	}
	if s == nil {
		l.report(d, "kind", fmt.Sprintf("unknown kind %q", t.Kind), "use EventStore, Runtime, Aggregate or Projection")
		return nil
	}
	forbidden, broken := s.check(d)
	if len(forbidden) > 0 {
		l.problems = append(l.problems, forbidden...)
		l.spoil(d)
		return nil
	}
	d.broken = broken
	if earlier := l.places[d.object()]; earlier != nil {
		l.report(d, "metadata.name", fmt.Sprintf("%s is declared a second time; the first is in %s:%d", d.object(), earlier.file, earlier.root.Line+earlier.offset), "rename or remove one")
		return nil
	}
	l.places[d.object()] = d
	return l.decode(d, t.Kind)
}

func (l *loader) spoil(d *document) {
	if l.damaged == nil {
		l.damaged = map[string]bool{}
	}
	l.damaged[d.object()] = true
}

func (l *loader) decode(d *document, kind string) error {
	var err error
	switch kind {
	case v1alpha1.KindEventStore:
		var o *v1alpha1.EventStore
		if o, err = decode[v1alpha1.EventStore](d); err == nil {
			l.set.Stores[o.Name] = o
		}
	case v1alpha1.KindRuntime:
		var o *v1alpha1.Runtime
		if o, err = decode[v1alpha1.Runtime](d); err == nil {
			l.set.Runtimes[o.Name] = o
		}
	case v1alpha1.KindAggregate:
		var o *v1alpha1.Aggregate
		if o, err = decode[v1alpha1.Aggregate](d); err == nil {
			l.set.Aggregates[o.Name] = &Aggregate{Object: o}
		}
	case v1alpha1.KindProjection:
		var o *v1alpha1.Projection
		if o, err = decode[v1alpha1.Projection](d); err == nil {
			l.set.Projections[o.Name] = &Projection{Object: o}
		}
	case v1alpha1.KindShard:
		l.report(d, "kind", "shards are made by the operator", "remove it; spec.shards of the Aggregate says how many")
	}
	if err != nil {
		l.report(d, "", err.Error(), "")
	}
	return nil
}

// judge checks what the objects say of each other and what they compute.
func (l *loader) judge() {
	n := l.set.namespace()
	n.Where = "these files"
	for _, name := range sortedKeys(n.Stores) {
		l.tell(v1alpha1.KindEventStore, name, n.EventStore(name))
	}
	for _, name := range sortedKeys(n.Runtimes) {
		l.tell(v1alpha1.KindRuntime, name, n.Runtime(name))
	}
	for _, name := range l.set.AggregateNames() {
		compiled, found := n.Aggregate(name)
		l.set.Aggregates[name].Compiled = compiled
		l.tell(v1alpha1.KindAggregate, name, found)
	}
	for _, name := range l.set.ProjectionNames() {
		compiled, found := n.Projection(name)
		l.set.Projections[name].Compiled = compiled
		l.tell(v1alpha1.KindProjection, name, found)
	}
}

// namespace is the set as package declaration judges it.
func (s *Set) namespace() *declaration.Namespace {
	n := &declaration.Namespace{
		Stores: s.Stores, Runtimes: s.Runtimes,
		Aggregates:  make(map[string]*v1alpha1.Aggregate, len(s.Aggregates)),
		Projections: make(map[string]*v1alpha1.Projection, len(s.Projections)),
	}
	for name, a := range s.Aggregates {
		n.Aggregates[name] = a.Object
	}
	for name, p := range s.Projections {
		n.Projections[name] = p.Object
	}
	return n
}

// tell reports what was found in an object, unless it was told already at
// another one, and drops the broken rules that mean a place around a mistake.
func (l *loader) tell(kind, name string, found []declaration.Problem) {
	d := l.places[kind+"/"+name]
	for _, f := range found {
		if l.damaged[f.Waits] || f.Reason == v1alpha1.ReasonAggregateNotReady {
			continue
		}
		p := d.problem(f.Field, f.Message, f.Fix)
		p.Warning = f.Warning
		l.problems = append(l.problems, p)
		if !f.Warning {
			d.broken = slices.DeleteFunc(d.broken, func(b Problem) bool { return strings.HasPrefix(f.Field, b.Field) })
		}
	}
}
