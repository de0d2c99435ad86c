package language

import (
	"cel.dev/cel-go/cel"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// Limits of a definition, as the contract has them. The schema of the kinds
// refuses most of them before; they are checked again for files.
const (
	// MaxName is the most characters of an aggregate's name: the names of its
	// Shards add to it.
	MaxName     = 58
	MaxTypes    = 64
	MaxFields   = 64
	MaxCommands = 64
	MaxEvents   = 128
	MaxRejects  = 16
	MaxEmits    = 16
	// MaxEmitted is the most events that one command can lead to.
	MaxEmitted = 1000
)

// Aggregate is a checked definition, ready to run. It is immutable and safe
// for concurrent use.
type Aggregate struct {
	name     string
	state    *RecordType
	commands map[string]*command
	events   map[string]*eventType
	types    *typeSet
	// order and commandOrder are the names as the definition lists them.
	order        []string
	commandOrder []string

	fingerprint [32]byte
}

// command is a compiled command.
type command struct {
	name   string
	fields *RecordType
	let    []binding
	reject []rejection
	emit   []emission
}

type rejection struct {
	when    *expression
	reason  string
	message *expression // nil for none
}

type emission struct {
	event   *eventType
	when    *expression // nil for always
	forEach *loop       // nil for once
	set     []assignment
}

// loop is a forEach.
type loop struct {
	in *expression
	as string
}

// assignment gives the i-th field of a record its value.
type assignment struct {
	field int
	value *expression
}

// eventType is a compiled event.
type eventType struct {
	name   string
	fields *RecordType
	apply  []assignment // to fields of the state
}

// Compile checks a definition. It gives every problem that it finds, warnings
// included; the Aggregate is nil when one of them is an error.
func Compile(name string, spec *v1alpha1.AggregateSpec) (*Aggregate, []Problem) {
	base, err := baseEnvironment()
	if err != nil {
		return nil, []Problem{{Path: "spec", Message: "the expression language cannot start: " + err.Error()}}
	}
	c := &aggregateCompiler{
		spec: spec,
		out: &Aggregate{
			name: name, commands: map[string]*command{}, events: map[string]*eventType{},
		},
	}
	c.types = newTypeSet()
	c.compile(base)
	if c.failed() {
		return nil, c.problems
	}
	c.out.types = c.types
	c.out.fingerprint = fingerprint(spec)
	return c.out, c.problems
}

// Name is the aggregate's name.
func (a *Aggregate) Name() string { return a.name }

// State is the type of the state.
func (a *Aggregate) State() *RecordType { return a.state }

// Zero is the state of an entity without events.
func (a *Aggregate) Zero() *Record { return a.state.zero }

// Events gives the names of the events, as the definition lists them.
func (a *Aggregate) Events() []string { return a.order }

// Event gives the fields of an event.
func (a *Aggregate) Event(name string) (*RecordType, bool) {
	if e, ok := a.events[name]; ok {
		return e.fields, true
	}
	return nil, false
}

// Commands gives the names of the commands, as the definition lists them.
func (a *Aggregate) Commands() []string { return a.commandOrder }

// Command gives the fields of a command.
func (a *Aggregate) Command(name string) (*RecordType, bool) {
	if c, ok := a.commands[name]; ok {
		return c.fields, true
	}
	return nil, false
}

// Fingerprint covers all that folding events depends on: types, state and
// events. States that were saved under another one are not to be used.
func (a *Aggregate) Fingerprint() [32]byte { return a.fingerprint }

// aggregateCompiler is the state of one Compile.
type aggregateCompiler struct {
	compiler
	spec *v1alpha1.AggregateSpec
	out  *Aggregate
}

func (c *aggregateCompiler) compile(base *cel.Env) {
	c.limits()
	if !c.declareTypes() {
		return // every expression would complain about the same
	}
	c.out.state = c.record("(state)", "spec.state", c.spec.State)
	for i := range c.spec.Events {
		e := &c.spec.Events[i]
		path := at("spec.events", i)
		c.upper(path+".name", "the event", e.Name)
		if _, twice := c.out.events[e.Name]; twice {
			c.naming(path+".name", "give each event its own name", "event %s is declared twice", e.Name)
			continue
		}
		c.out.order = append(c.out.order, e.Name)
		c.out.events[e.Name] = &eventType{
			name:   e.Name,
			fields: c.record("(event "+e.Name+")", path+".fields", e.Fields),
		}
	}
	commands := make([]*command, len(c.spec.Commands))
	for i := range c.spec.Commands {
		cmd := &c.spec.Commands[i]
		path := at("spec.commands", i)
		c.upper(path+".name", "the command", cmd.Name)
		commands[i] = &command{name: cmd.Name, fields: c.record("(command "+cmd.Name+")", path+".fields", cmd.Fields)}
		if _, twice := c.out.commands[cmd.Name]; twice {
			c.naming(path+".name", "give each command its own name", "command %s is declared twice", cmd.Name)
			continue
		}
		c.out.commands[cmd.Name] = commands[i]
		c.out.commandOrder = append(c.out.commandOrder, cmd.Name)
	}
	if !c.openEnvironment(base) {
		return
	}
	c.typeChecks()
	for i := range c.spec.Commands {
		c.command(at("spec.commands", i), &c.spec.Commands[i], commands[i])
	}
	for i := range c.spec.Events {
		if e := c.out.events[c.spec.Events[i].Name]; e != nil {
			c.event(at("spec.events", i), &c.spec.Events[i], e)
		}
	}
	c.unusedThings()
}

// openEnvironment makes the environment that all expressions extend.
func (c *aggregateCompiler) openEnvironment(base *cel.Env) bool {
	p := newProvider(base)
	var opts []cel.EnvOption
	for _, r := range c.types.records {
		p.records[r.Name] = r
		opts = append(opts, recordWith(r))
	}
	p.records[c.out.state.Name] = c.out.state
	for _, e := range c.out.events {
		p.records[e.fields.Name] = e.fields
	}
	for _, cmd := range c.out.commands {
		p.records[cmd.fields.Name] = cmd.fields
	}
	env, err := base.Extend(append(opts, cel.CustomTypeProvider(p), cel.CustomTypeAdapter(p))...)
	if err != nil {
		c.typing("spec.types", "", "the types cannot be declared: %v", err)
		return false
	}
	c.open(env)
	return true
}

// limits checks how much there is of everything.
func (c *aggregateCompiler) limits() {
	s := c.spec
	if n := len(c.out.name); n > MaxName {
		c.naming("metadata.name", "choose a shorter name", "the name has %d characters, at most %d are allowed", n, MaxName)
	}
	c.atMost("spec.types", len(s.Types), MaxTypes, "types")
	c.atMost("spec.state", len(s.State), MaxFields, "fields")
	c.atMost("spec.commands", len(s.Commands), MaxCommands, "commands")
	c.atMost("spec.events", len(s.Events), MaxEvents, "events")
	for i := range s.Types {
		c.atMost(at("spec.types", i)+".fields", len(s.Types[i].Fields), MaxFields, "fields")
	}
	for i := range s.Events {
		c.atMost(at("spec.events", i)+".fields", len(s.Events[i].Fields), MaxFields, "fields")
	}
	for i := range s.Commands {
		path := at("spec.commands", i)
		c.atMost(path+".fields", len(s.Commands[i].Fields), MaxFields, "fields")
		c.atMost(path+".let", len(s.Commands[i].Let), MaxFields, "let names")
		c.atMost(path+".reject", len(s.Commands[i].Reject), MaxRejects, "rejects")
		c.atMost(path+".emit", len(s.Commands[i].Emit), MaxEmits, "emits")
	}
	if len(s.Events) == 0 {
		c.error("spec.events", "declare at least one event", "there are no events, so nothing can ever happen")
	}
}
