package language

import (
	"slices"
	"strconv"
	"strings"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// at gives the path of a list's element.
func at(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }

func (c *compiler) atMost(path string, n, limit int, what string) {
	if n > limit {
		c.error(path, "split what it describes", "%d %s, at most %d are allowed", n, what, limit)
	}
}

func (c *compiler) upper(path, what, name string) {
	if !upperName.MatchString(name) {
		c.naming(path, "begin with an upper-case letter; letters and digits only, at most 63", "%s cannot have the name %q", what, name)
	}
}

func (c *compiler) lower(path, what, name string) {
	switch {
	case notNames[name]:
		c.naming(path, "choose another name", "%s cannot have the name %q, a word of the expression language", what, name)
	case !lowerName.MatchString(name):
		c.naming(path, "begin with a lower-case letter; letters and digits only, at most 63", "%s cannot have the name %q", what, name)
	}
}

// scopeName checks a let or as name, which must not hide another.
func (c *compiler) scopeName(path, what, name string, scope names) {
	c.lower(path, what, name)
	switch {
	case reserved[name]:
		c.naming(path, "choose another name", "%s cannot have the name %q, a word that CEL reserves", what, name)
	case scope.has(name) || scopeWords[name]:
		c.naming(path, "choose a name that is not taken", "%s named %s would hide another %s", what, name, name)
	}
}

// scopeWords are in scope somewhere; nothing else may have their names.
var scopeWords = map[string]bool{
	"state": true, "command": true, "event": true, "row": true, "meta": true, "self": true,
}

// declareTypes declares the named types and fills in their fields.
func (c *aggregateCompiler) declareTypes() bool {
	for i := range c.spec.Types {
		t := &c.spec.Types[i]
		path := at("spec.types", i) + ".name"
		c.upper(path, "the type", t.Name)
		if _, twice := c.types.records[t.Name]; twice {
			c.naming(path, "give each type its own name", "type %s is declared twice", t.Name)
			return false
		}
		c.types.records[t.Name] = newRecordType(t.Name)
	}
	order, ok := c.typeOrder()
	if !ok {
		return false
	}
	for _, i := range order {
		t := &c.spec.Types[i]
		path := at("spec.types", i) + ".fields"
		c.fill(c.types.records[t.Name], path, t.Fields)
		for j := range t.Fields {
			if t.Fields[j].Default != "" {
				c.typing(at(path, j)+".default", "put it on the field of the command", "field %s of a type takes no default", t.Fields[j].Name)
			}
		}
		if len(t.Fields) == 0 {
			c.typing(path, "declare at least one field", "type %s has no fields", t.Name)
		}
	}
	return true
}

// typeOrder puts the types that others are made of first.
func (c *aggregateCompiler) typeOrder() ([]int, bool) {
	position := map[string]int{}
	for i := range c.spec.Types {
		position[c.spec.Types[i].Name] = i
	}
	const inside, done = 1, 2
	mark := make([]int, len(c.spec.Types))
	var order []int
	var visit func(i int, trail []string) bool
	visit = func(i int, trail []string) bool {
		t := &c.spec.Types[i]
		trail = append(trail, t.Name)
		if mark[i] == inside {
			from := slices.Index(trail, t.Name)
			c.typing(at("spec.types", i), "refer to the other by a string key instead",
				"type %s contains itself: %s", t.Name, strings.Join(trail[from:], " -> "))
			return false
		}
		if mark[i] == done {
			return true
		}
		mark[i] = inside
		for j := range t.Fields {
			if k, ok := position[innermost(t.Fields[j].Type)]; ok && !visit(k, trail) {
				return false
			}
		}
		mark[i] = done
		order = append(order, i)
		return true
	}
	for i := range c.spec.Types {
		if !visit(i, nil) {
			return nil, false
		}
	}
	return order, true
}

// record declares the type of a state, a command or an event.
func (c *compiler) record(name, path string, fields []v1alpha1.Field) *RecordType {
	t := newRecordType(name)
	c.fill(t, path, fields)
	return t
}

// fill gives a record its fields.
func (c *compiler) fill(t *RecordType, path string, fields []v1alpha1.Field) {
	for i := range fields {
		f := &fields[i]
		here := at(path, i)
		c.lower(here+".name", "the field", f.Name)
		if slices.ContainsFunc(t.Fields, func(g Field) bool { return g.Name == f.Name }) {
			c.naming(here+".name", "give each field its own name", "field %s is declared twice", f.Name)
			continue
		}
		typ, bad, ok := c.types.resolve(f.Type)
		if !ok {
			c.unknownType(here+".type", f.Name, f.Type, bad)
			typ = brokenType
		}
		t.Fields = append(t.Fields, Field{Name: f.Name, Type: typ, Optional: f.Optional})
	}
	t.seal()
}

func (c *compiler) unknownType(path, field, written, bad string) {
	if bad == "" {
		c.typing(path, "write a type such as int, list<string> or map<list<Limit>>, with at most four lists and maps inside each other",
			"field %s has a type of the wrong form, %q", field, written)
		return
	}
	if usual, ok := otherTypeNames[strings.ToLower(bad)]; ok {
		c.typing(path, "did you mean "+usual+"?", "field %s has the type %s, which is not declared", field, bad)
		return
	}
	known := []string{"list", "map"}
	for name := range scalars {
		known = append(known, name)
	}
	for name := range c.types.records {
		known = append(known, name)
	}
	slices.Sort(known)
	c.typing(path, didYouMean(bad, known), "field %s has the type %s, which is not declared", field, bad)
}

// otherTypeNames are what other languages call the types of this one.
var otherTypeNames = map[string]string{
	"integer": "int", "int64": "int", "int32": "int", "long": "int", "uint": "int", "number": "double",
	"float": "double", "float64": "double", "decimal": "int", "boolean": "bool", "text": "string",
	"date": "timestamp", "datetime": "timestamp", "time": "timestamp", "array": "list", "set": "map<bool>",
	"object": "map", "dict": "map", "binary": "bytes",
}
