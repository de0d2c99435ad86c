package language

import (
	"slices"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// Compatible tells what stored events need of an old definition and a new one
// takes away: events, fields and named types that are removed, renamed or have
// another type. used are the event types that are stored. Adding is always
// allowed, and so is changing what events do. Making a field optional, or no
// longer so, is allowed too: the data reads the same.
func Compatible(old, new *v1alpha1.AggregateSpec, used []string) []Problem {
	h := history{old: old, new: new, done: map[string]bool{}}
	for i := range old.Events {
		e := &old.Events[i]
		if !slices.Contains(used, e.Name) {
			continue
		}
		at := slices.IndexFunc(new.Events, func(n v1alpha1.Event) bool { return n.Name == e.Name })
		if at < 0 {
			h.error("spec.events", "keep event "+e.Name+"; no command has to emit it", "event %s is stored, so it cannot be removed or renamed", e.Name)
			continue
		}
		h.fields(eventPath(at), "event "+e.Name, e.Name, e.Fields, new.Events[at].Fields)
	}
	return h.problems
}

func eventPath(i int) string { return at("spec.events", i) }

// history is the state of one Compatible.
type history struct {
	report
	old, new *v1alpha1.AggregateSpec
	done     map[string]bool // named types that were compared
}

// fields compares the fields of an event or of a named type.
func (h *history) fields(path, what, event string, old, new []v1alpha1.Field) {
	for i := range old {
		f := &old[i]
		j := slices.IndexFunc(new, func(n v1alpha1.Field) bool { return n.Name == f.Name })
		if j < 0 {
			h.error(path+".fields", "keep field "+f.Name, "stored events of type %s have field %s of %s, so it cannot be removed or renamed", event, f.Name, what)
			continue
		}
		if new[j].Type != f.Type {
			h.typing(at(path+".fields", j)+".type", "keep the type "+f.Type+", or add a field with another name",
				"stored events of type %s have field %s of %s as %s, so it cannot become %s", event, f.Name, what, f.Type, new[j].Type)
			continue
		}
		h.named(innermost(f.Type), event)
	}
}

// named compares a named type that a stored event contains.
func (h *history) named(name, event string) {
	if h.done[name] {
		return
	}
	h.done[name] = true
	is := func(t v1alpha1.RecordType) bool { return t.Name == name }
	i := slices.IndexFunc(h.old.Types, is)
	if i < 0 {
		return // a scalar
	}
	j := slices.IndexFunc(h.new.Types, is)
	if j < 0 {
		h.error("spec.types", "keep type "+name, "stored events of type %s contain type %s, so it cannot be removed or renamed", event, name)
		return
	}
	h.fields(at("spec.types", j), "type "+name, event, h.old.Types[i].Fields, h.new.Types[j].Fields)
}
