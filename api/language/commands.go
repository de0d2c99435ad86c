package language

import (
	"maps"
	"slices"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// typeChecks compiles the checks of named types, and notes which records have
// any inside.
func (c *aggregateCompiler) typeChecks() {
	for i := range c.spec.Types {
		t := c.types.records[c.spec.Types[i].Name]
		for j := range c.spec.Types[i].Fields {
			f := &c.spec.Types[i].Fields[j]
			if f.Check == "" {
				continue
			}
			field, _ := t.Field(f.Name)
			path := at(at("spec.types", i)+".fields", j) + ".check"
			field.check = c.expression(path, f.Check, names{{name: "self", cel: field.Type.cel}}, needBool)
			t.checks = true
		}
	}
	for range c.types.records { // as deep as types can nest
		for _, t := range c.types.records {
			t.checks = t.checks || t.hasChecksInside()
		}
	}
}

func (t *RecordType) hasChecksInside() bool {
	return slices.ContainsFunc(t.Fields, func(f Field) bool { return f.check != nil || f.Type.hasChecks() })
}

func (t *Type) hasChecks() bool {
	for t.Elem != nil {
		t = t.Elem
	}
	return t.Record != nil && t.Record.checks
}

// command compiles what a command does.
func (c *aggregateCompiler) command(path string, spec *v1alpha1.Command, cmd *command) {
	c.commandFields(path+".fields", spec.Fields, cmd)
	scope := names{
		recordVariable("state", c.out.state), recordVariable("command", cmd.fields), recordVariable("meta", metaType),
	}
	used := make([]bool, len(spec.Let))
	for i := range spec.Let {
		l := &spec.Let[i]
		here := at(path+".let", i)
		before := len(c.problems)
		c.scopeName(here+".name", "the let", l.Name, scope)
		misnamed := len(c.problems) > before
		x := c.expression(here+".value", l.Value, scope, anything)
		if misnamed {
			// The name keeps what it meant, and its use says nothing of this let.
			used[i] = true
			continue
		}
		if x == nil || len(c.problems) > before {
			// What uses the name would only echo this problem.
			scope = scope.with(variable{name: l.Name, cel: anyType, used: &used[i]})
			continue
		}
		cmd.let = append(cmd.let, binding{name: l.Name, value: x})
		scope = scope.with(variable{name: l.Name, cel: x.out, used: &used[i]})
	}
	for i := range spec.Reject {
		cmd.reject = append(cmd.reject, c.rejection(at(path+".reject", i), &spec.Reject[i], scope))
	}
	for i := range spec.Emit {
		cmd.emit = append(cmd.emit, c.emission(at(path+".emit", i), &spec.Emit[i], scope))
	}
	for i := range spec.Let {
		if !used[i] {
			c.warn(at(path+".let", i)+".name", "use it or remove it", "let %s is never used", spec.Let[i].Name)
		}
	}
}

// commandFields compiles checks and defaults.
func (c *aggregateCompiler) commandFields(path string, fields []v1alpha1.Field, cmd *command) {
	for i := range fields {
		f := &fields[i]
		field, ok := cmd.fields.Field(f.Name)
		if !ok {
			continue
		}
		here := at(path, i)
		if f.Check != "" {
			scope := names{{name: "self", cel: field.Type.cel}, recordVariable("command", cmd.fields)}
			field.check = c.expression(here+".check", f.Check, scope, needBool)
		}
		if f.Default == "" {
			continue
		}
		if f.Optional {
			c.error(here+".default", "remove one of the two", "field %s has a default and is optional: it would never be absent", f.Name)
			continue
		}
		if x := c.expression(here+".default", f.Default, nil, typed(field.Type)); x != nil {
			c.constant(here+".default", x, field)
		}
	}
	cmd.fields.checks = cmd.fields.hasChecksInside()
}

// constant evaluates a default, which has no names in scope, once for all.
func (c *aggregateCompiler) constant(path string, x *expression, field *Field) {
	s := newScope(true)
	defer s.release()
	v, err := x.run(s)
	if err == nil {
		v, err = conform(field.Type, v)
	}
	if err != nil {
		c.error(path, "write a value that the field can have", "the default of %s fails: %v", field.Name, err)
		return
	}
	field.fallback = v
}

func (c *aggregateCompiler) rejection(path string, spec *v1alpha1.Rejection, scope names) rejection {
	r := rejection{reason: spec.Reason}
	c.upper(path+".reason", "a reject", spec.Reason)
	r.when = c.expression(path+".when", spec.When, scope, needBool)
	if spec.Message != "" {
		r.message = c.expression(path+".message", spec.Message, scope, needString)
	}
	return r
}

func (c *aggregateCompiler) emission(path string, spec *v1alpha1.Emission, scope names) emission {
	out := emission{}
	if spec.ForEach != nil {
		out.forEach, scope = c.loop(path+".forEach", spec.ForEach, scope)
	}
	if spec.When != "" {
		out.when = c.expression(path+".when", spec.When, scope, needBool)
	}
	e, ok := c.out.events[spec.Event]
	if !ok {
		c.naming(path+".event", didYouMean(spec.Event, c.out.order), "there is no event %s", spec.Event)
		return out
	}
	out.event = e
	out.set = c.assignments(path+".set", "event "+e.name, spec.Set, e.fields, scope)
	for i := range e.fields.Fields {
		f := &e.fields.Fields[i]
		if _, given := spec.Set[f.Name]; !given && !f.Optional {
			c.error(path+".set", "add "+f.Name+", or make it optional in the event", "field %s of event %s is not set", f.Name, e.name)
		}
	}
	return out
}

// loop compiles a forEach and puts its item in scope.
func (c *compiler) loop(path string, spec *v1alpha1.ForEach, scope names) (*loop, names) {
	before := len(c.problems)
	c.scopeName(path+".as", "the forEach item", spec.As, scope)
	misnamed := len(c.problems) > before
	item := anyType
	in := c.expression(path+".in", spec.In, scope, iterable)
	if scope.has(spec.As) {
		return &loop{in: in, as: spec.As}, scope // the name keeps what it meant
	}
	if in != nil && !misnamed && len(in.out.Parameters()) > 0 {
		item = in.out.Parameters()[0] // of a map, the key
	}
	return &loop{in: in, as: spec.As}, scope.with(variable{name: spec.As, cel: item})
}

// assignments compiles a set or an apply, in the order of the fields.
func (c *compiler) assignments(path, what string, set map[string]v1alpha1.Expression, t *RecordType, scope names) []assignment {
	var out []assignment
	for _, name := range slices.Sorted(maps.Keys(set)) {
		i, ok := t.find(name)
		if !ok {
			c.naming(path+"."+name, didYouMean(name, t.fieldNames()), "%s has no field %s", what, name)
			continue
		}
		x := c.expression(path+"."+name, set[name], scope, forField(&t.Fields[i]))
		out = append(out, assignment{field: i, value: x})
	}
	slices.SortFunc(out, func(a, b assignment) int { return a.field - b.field })
	return out
}

// event compiles what an event does to the state.
func (c *aggregateCompiler) event(path string, spec *v1alpha1.Event, e *eventType) {
	scope := names{
		recordVariable("state", c.out.state), recordVariable("event", e.fields), recordVariable("meta", metaType),
	}
	e.apply = c.assignments(path+".apply", "the state", spec.Apply, c.out.state, scope)
	c.noInput(path+".fields", "an event", spec.Fields)
}

// noInput refuses checks and defaults where no caller gives the values.
func (c *compiler) noInput(path, what string, fields []v1alpha1.Field) {
	for i := range fields {
		if fields[i].Check != "" {
			c.error(at(path, i)+".check", "put it on the field of the command", "field %s of %s takes no check", fields[i].Name, what)
		}
		if fields[i].Default != "" {
			c.error(at(path, i)+".default", "put it on the field of the command", "field %s of %s takes no default", fields[i].Name, what)
		}
	}
}

// unusedThings warns of what has no effect.
func (c *aggregateCompiler) unusedThings() {
	c.noInput("spec.state", "the state", c.spec.State)
	emitted, set := map[string]bool{}, map[string]bool{}
	for i := range c.spec.Commands {
		for j := range c.spec.Commands[i].Emit {
			emitted[c.spec.Commands[i].Emit[j].Event] = true
		}
	}
	for i := range c.spec.Events {
		e := &c.spec.Events[i]
		if !emitted[e.Name] {
			c.warn(at("spec.events", i), "emit it in a command, or keep it only for what is stored", "no command emits event %s", e.Name)
		}
		for name := range e.Apply {
			set[name] = true
		}
	}
	for i := range c.spec.State {
		if name := c.spec.State[i].Name; !set[name] {
			c.warn(at("spec.state", i), "set it in an event's apply, or remove it", "no event sets the state's field %s", name)
		}
	}
}
