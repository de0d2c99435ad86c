package language

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// keyKinds are the types that a table's key can have.
var keyKinds = []string{"string", "int", "bool", "timestamp", "duration"}

// MaxRules is the most rules that a table can have.
const MaxRules = 256

// CompileProjection checks a definition against the aggregates that it reads,
// by name. It gives every problem that it finds, warnings included; the
// Projection is nil when one of them is an error.
func CompileProjection(name string, spec *v1alpha1.ProjectionSpec, aggregates map[string]*Aggregate) (*Projection, []Problem) {
	base, err := baseEnvironment()
	if err != nil {
		return nil, []Problem{{Path: "spec", Message: "the expression language cannot start: " + err.Error()}}
	}
	c := &projectionCompiler{
		spec: spec, base: base, aggregates: map[string]*Aggregate{}, scopes: map[string]*sourceScope{},
		out: &Projection{name: name, rules: map[eventRef][]rule{}, events: map[eventRef]*RecordType{}},
	}
	if spec.Table == nil {
		c.error("spec.table", "add a table", "the projection has no target")
		return nil, c.problems
	}
	c.sources(aggregates)
	c.table()
	if c.failed() {
		return nil, c.problems
	}
	c.out.fingerprint = c.fingerprint()
	return c.out, c.problems
}

// projectionCompiler is the state of one CompileProjection.
type projectionCompiler struct {
	compiler
	spec       *v1alpha1.ProjectionSpec
	base       *cel.Env
	aggregates map[string]*Aggregate // the sources that are known
	scopes     map[string]*sourceScope
	out        *Projection
}

// sourceScope is what the rules of one source's events see.
type sourceScope struct {
	env    *cel.Env
	scoped map[string]*cel.Env
	types  *typeSet
}

func (c *projectionCompiler) sources(aggregates map[string]*Aggregate) {
	for i := range c.spec.Sources {
		s := &c.spec.Sources[i]
		path := at("spec.sources", i)
		a := aggregates[s.Aggregate]
		switch {
		case a == nil:
			c.add(Problem{
				Cause: InSource, Path: path + ".aggregate", Message: "there is no aggregate " + s.Aggregate,
				Fix: didYouMean(s.Aggregate, slices.Sorted(maps.Keys(aggregates))),
			})
			continue
		case c.aggregates[s.Aggregate] != nil:
			c.naming(path+".aggregate", "list all of its events in one source", "aggregate %s is a source twice", s.Aggregate)
			continue
		}
		c.aggregates[s.Aggregate] = a
		for j, e := range s.Events {
			if _, ok := a.events[e]; !ok {
				c.naming(at(path+".events", j), didYouMean(e, a.order), "aggregate %s has no event %s", s.Aggregate, e)
			}
		}
		c.out.sources = append(c.out.sources, Source{Aggregate: s.Aggregate, Events: slices.Clone(s.Events)})
	}
	if len(c.spec.Sources) == 0 {
		c.error("spec.sources", "name at least one aggregate", "the projection reads nothing")
	}
}

func (c *projectionCompiler) table() {
	t := c.spec.Table
	c.types = c.columnTypes()
	c.atMost("spec.table.columns", len(t.Columns), MaxFields, "columns")
	c.atMost("spec.table.apply", len(t.Apply), MaxRules, "rules")
	c.lower("spec.table.key.name", "the key", t.Key.Name)
	if !slices.Contains(keyKinds, t.Key.Type) {
		c.typing("spec.table.key.type", "a key is "+strings.Join(keyKinds, ", "), "the key has the type %q", t.Key.Type)
	}
	c.out.key = Column{Name: t.Key.Name, Type: cmp.Or(scalars[t.Key.Type], scalars["string"]), Indexed: true}
	c.columns(t)
	set, ruled, entity := map[string]bool{}, map[eventRef]bool{}, true
	for i := range t.Apply {
		r := &t.Apply[i]
		if ref, ok := c.rule(at("spec.table.apply", i), r); ok {
			ruled[ref] = true
		} else { // told already; that no rule applies the event would only echo it
			for j := range c.spec.Sources {
				ruled[eventRef{c.spec.Sources[j].Aggregate, r.Event}] = true
			}
		}
		for name := range r.Set {
			set[name] = true
		}
		entity = entity && strings.TrimSpace(string(cmp.Or(r.Key, t.Key.Value))) == "meta.entity"
	}
	c.out.entityKeyed = entity && len(c.spec.Sources) == 1
	if len(t.Apply) == 0 {
		c.error("spec.table.apply", "add a rule", "no rule says what events do to rows")
	}
	for i := range t.Columns {
		if name := t.Columns[i].Name; !set[name] {
			c.warn(at("spec.table.columns", i), "set it in a rule, or remove it", "no rule sets column %s", name)
		}
	}
	for i := range c.spec.Sources {
		for j, e := range c.spec.Sources[i].Events {
			a := c.aggregates[c.spec.Sources[i].Aggregate]
			if a == nil || a.events[e] == nil {
				continue // told already
			}
			if !ruled[eventRef{c.spec.Sources[i].Aggregate, e}] {
				c.warn(at(at("spec.sources", i)+".events", j), "add a rule, or do not read it", "event %s is read, but no rule applies it", e)
			}
		}
	}
}

// columnTypes gathers the named types of all sources. A name that two sources
// declare differently can be no column's type.
func (c *projectionCompiler) columnTypes() *typeSet {
	set := newTypeSet()
	for i := range c.spec.Sources {
		a := c.aggregates[c.spec.Sources[i].Aggregate]
		if a == nil {
			continue
		}
		for name, r := range a.types.records {
			known, twice := set.records[name]
			switch {
			case !twice:
				set.records[name] = r
			case !sameRecord(known, r):
				for j, col := range c.spec.Table.Columns {
					if innermost(col.Type) == name {
						c.typing(at("spec.table.columns", j)+".type", "give one of the types another name", "the sources declare type %s differently, so no column can have it", name)
					}
				}
			}
		}
	}
	if len(c.aggregates) == 1 && len(c.out.sources) == 1 {
		// Values of events then are of the columns' very types.
		set.made = maps.Clone(c.aggregates[c.out.sources[0].Aggregate].types.made)
	}
	return set
}

// sameRecord tells whether two types of the same name have the same fields.
func sameRecord(a, b *RecordType) bool {
	if len(a.Fields) != len(b.Fields) {
		return false
	}
	for i := range a.Fields {
		f := &a.Fields[i]
		g, ok := b.Field(f.Name)
		if !ok || f.Optional != g.Optional || !sameType(f.Type, g.Type) {
			return false
		}
	}
	return true
}

func sameType(a, b *Type) bool {
	if a.name != b.name {
		return false
	}
	for a.Elem != nil {
		a, b = a.Elem, b.Elem
	}
	return a.Record == nil || sameRecord(a.Record, b.Record)
}

func (c *projectionCompiler) columns(t *v1alpha1.Table) {
	c.out.row = newRecordType("(row)")
	fields := make([]v1alpha1.Field, 0, len(t.Columns))
	for i := range t.Columns {
		col := &t.Columns[i]
		if strings.EqualFold(col.Name, t.Key.Name) {
			c.naming(at("spec.table.columns", i)+".name", "choose another name", "column %s has the name of the key", col.Name)
		}
		for j := range i {
			if other := t.Columns[j].Name; other != col.Name && strings.EqualFold(other, col.Name) {
				c.naming(at("spec.table.columns", i)+".name", "choose another name", "columns %s and %s differ only in case, which SQL does not tell", other, col.Name)
			}
		}
		fields = append(fields, v1alpha1.Field{Name: col.Name, Type: col.Type, Optional: col.Optional})
	}
	if len(fields) == 0 {
		c.error("spec.table.columns", "add a column", "the table has no columns")
	}
	c.fill(c.out.row, "spec.table.columns", fields)
	for i := range c.out.row.Fields {
		f := &c.out.row.Fields[i]
		at := slices.IndexFunc(t.Columns, func(col v1alpha1.Column) bool { return col.Name == f.Name })
		c.out.columns = append(c.out.columns, Column{Name: f.Name, Type: f.Type, Indexed: t.Columns[at].Indexed, Optional: f.Optional})
	}
}

// rule compiles one rule; not ok when it is not clear which event it is for.
func (c *projectionCompiler) rule(path string, spec *v1alpha1.Rule) (eventRef, bool) {
	a, ok := c.ruleSource(path, spec)
	if !ok {
		return eventRef{}, false
	}
	scope, ok := c.enter(a)
	if !ok {
		return eventRef{}, false
	}
	c.env, c.scoped, c.types = scope.env, scope.scoped, scope.types
	event := a.events[spec.Event]
	seen := names{recordVariable("event", event.fields), recordVariable("meta", metaType)}
	out := rule{remove: spec.Delete}
	if spec.ForEach != nil {
		out.forEach, seen = c.loop(path+".forEach", spec.ForEach, seen)
	}
	if spec.Key != "" {
		out.key = c.expression(path+".key", spec.Key, seen, typed(c.out.key.Type))
	} else {
		out.key = c.expression("spec.table.key.value", c.spec.Table.Key.Value, seen[:2], typed(c.out.key.Type))
	}
	if !seen.has("row") { // a forEach item of that name is refused already
		seen = seen.with(recordVariable("row", c.out.row))
	}
	if spec.When != "" {
		out.when = c.expression(path+".when", spec.When, seen, needBool)
	}
	switch {
	case spec.Delete && len(spec.Set) > 0:
		c.error(path, "split it into two rules", "the rule both sets columns and deletes the row")
	case !spec.Delete && len(spec.Set) == 0:
		c.error(path, "add set, or delete: true", "the rule does nothing")
	}
	out.set = c.assignments(path+".set", "the table", spec.Set, c.out.row, seen)
	ref := eventRef{a.name, spec.Event}
	c.out.rules[ref] = append(c.out.rules[ref], out)
	c.out.events[ref] = event.fields
	return ref, true
}

// ruleSource finds the source whose event a rule is for.
func (c *projectionCompiler) ruleSource(path string, spec *v1alpha1.Rule) (*Aggregate, bool) {
	var found []*Aggregate
	var known, aggregates []string
	for i := range c.spec.Sources {
		s := &c.spec.Sources[i]
		a := c.aggregates[s.Aggregate]
		aggregates = append(aggregates, s.Aggregate)
		if a == nil || (spec.Aggregate != "" && spec.Aggregate != s.Aggregate) {
			continue
		}
		events := s.Events
		if len(events) == 0 {
			events = a.order
		}
		known = append(known, events...)
		if _, exists := a.events[spec.Event]; exists && slices.Contains(events, spec.Event) {
			found = append(found, a)
		}
	}
	switch {
	case spec.Aggregate != "" && !slices.Contains(aggregates, spec.Aggregate):
		c.naming(path+".aggregate", didYouMean(spec.Aggregate, aggregates), "aggregate %s is no source of the projection", spec.Aggregate)
	case len(found) == 0 && len(c.aggregates) == len(c.spec.Sources):
		c.naming(path+".event", didYouMean(spec.Event, known), "no source has an event %s that the projection reads", spec.Event)
	case len(found) > 1:
		names := make([]string, len(found))
		for i, a := range found {
			names[i] = a.name
		}
		c.naming(path+".aggregate", "add aggregate: "+strings.Join(names, " or aggregate: "), "event %s is in several sources", spec.Event)
	}
	if len(found) != 1 {
		return nil, false
	}
	return found[0], true
}

// enter opens the environment for rules of one source's events: its own types
// come first, those of the columns beside them.
func (c *projectionCompiler) enter(a *Aggregate) (*sourceScope, bool) {
	if s, ok := c.scopes[a.name]; ok {
		return s, true
	}
	p := newProvider(c.base)
	set := newTypeSet()
	add := func(r *RecordType) {
		if _, known := set.records[r.Name]; !known {
			set.records[r.Name] = r
			p.records[r.Name] = r
		}
	}
	for _, r := range a.types.records {
		add(r)
	}
	for i := range c.out.row.Fields {
		addRecords(c.out.row.Fields[i].Type, add)
	}
	var opts []cel.EnvOption
	for _, r := range set.records {
		opts = append(opts, recordWith(r))
	}
	p.records[c.out.row.Name] = c.out.row
	for _, e := range a.events {
		p.records[e.fields.Name] = e.fields
	}
	env, err := c.base.Extend(append(opts, cel.CustomTypeProvider(p), cel.CustomTypeAdapter(p))...)
	if err != nil {
		c.typing("spec.sources", "", "the types of aggregate %s cannot be declared: %v", a.name, err)
		return nil, false
	}
	s := &sourceScope{env: env, scoped: map[string]*cel.Env{}, types: set}
	c.scopes[a.name] = s
	return s, true
}

// addRecords adds the named type inside a type and those inside it.
func addRecords(t *Type, add func(*RecordType)) {
	for t.Elem != nil {
		t = t.Elem
	}
	if t.Record == nil {
		return
	}
	add(t.Record)
	for i := range t.Record.Fields {
		addRecords(t.Record.Fields[i].Type, add)
	}
}

// fingerprint covers the table, its rules, and the types of the events read.
func (c *projectionCompiler) fingerprint() [32]byte {
	type field struct {
		Name, Type string
		Optional   bool
	}
	shape := func(r *RecordType) []field {
		out := make([]field, len(r.Fields))
		for i, f := range r.Fields {
			out[i] = field{f.Name, f.Type.name, f.Optional}
		}
		slices.SortFunc(out, func(a, b field) int { return strings.Compare(a.Name, b.Name) })
		return out
	}
	form := struct {
		Version int
		Spec    *v1alpha1.ProjectionSpec
		Events  map[string][]field
		Types   map[string][]field
	}{fingerprintVersion, c.spec.DeepCopy(), map[string][]field{}, map[string][]field{}}
	form.Spec.Table.Name = "" // where rows are read does not change them
	for ref, t := range c.out.events {
		form.Events[ref.aggregate+" "+ref.event] = shape(t)
		for i := range t.Fields {
			addRecords(t.Fields[i].Type, func(r *RecordType) { form.Types[ref.aggregate+" "+r.Name] = shape(r) })
		}
	}
	data, err := json.Marshal(form)
	if err != nil {
		panic("a projection's spec always marshals: " + err.Error())
	}
	return sha256.Sum256(data)
}
