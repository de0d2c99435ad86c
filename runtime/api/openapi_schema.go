package api

import (
	"strings"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// schemaOf is the JSON schema of a declared type. named gives the schema of a
// named type.
func schemaOf(declared string, named func(string) object) object {
	if elem, ok := strings.CutPrefix(declared, "list<"); ok {
		return object{"type": "array", "items": schemaOf(strings.TrimSuffix(elem, ">"), named)}
	}
	if elem, ok := strings.CutPrefix(declared, "map<"); ok {
		return object{"type": "object", "additionalProperties": schemaOf(strings.TrimSuffix(elem, ">"), named)}
	}
	switch declared {
	case "string":
		return object{"type": "string"}
	case "int":
		return object{"type": []any{"integer", "string"}, "format": "int64", "pattern": "^-?[0-9]+$", "description": "64 bit; beyond ±(2^53-1) a string"}
	case "double":
		return object{"type": "number", "format": "double"}
	case "bool":
		return object{"type": "boolean"}
	case "bytes":
		return object{"type": "string", "contentEncoding": "base64"}
	case "timestamp":
		return object{"type": "string", "format": "date-time"}
	case "duration":
		return object{"type": "string", "pattern": `^-?[0-9]+(\.[0-9]+)?s$`, "examples": []any{"90s"}}
	}
	return named(declared)
}

// recordSchema is the schema of an object of declared fields. Callers send it
// when input: then null means left out, defaults fill gaps, and unknown fields
// are refused.
func recordSchema(fields []v1alpha1.Field, input bool, named func(string) object) object {
	properties, required := object{}, []any{}
	for _, f := range fields {
		s := schemaOf(f.Type, named)
		mayLack := f.Optional || input && f.Default != ""
		if mayLack && input {
			s = object{"anyOf": []any{s, object{"type": "null"}}}
		}
		if !mayLack {
			required = append(required, f.Name)
		}
		properties[f.Name] = s
	}
	out := object{"type": "object", "properties": properties}
	if len(required) > 0 {
		out["required"] = required
	}
	if input {
		out["additionalProperties"] = false
	}
	return out
}

// typeRef refers to a named type of an aggregate.
func typeRef(aggregate string) func(string) object {
	return func(name string) object { return schemaRef(aggregate + ".type." + name) }
}

// aggregateSchemas are the schemas of one aggregate: the entity under its name,
// and beside it types, commands, events.
func aggregateSchemas(a AggregateDefinition) object {
	named := typeRef(a.Name)
	out := object{
		a.Name: object{
			"type": "object", "required": []any{"entity", "version", "time", "state"},
			"properties": object{
				"entity": object{"type": "string"}, "version": object{"type": "integer", "minimum": 1},
				"time": object{"type": "string", "format": "date-time"}, "state": schemaRef(a.Name + ".state"),
			},
		},
		a.Name + ".state": recordSchema(a.Spec.State, false, named),
		a.Name + ".answer": object{
			"type": "object", "required": []any{"entity", "version", "position", "events"},
			"properties": object{
				"entity": object{"type": "string"}, "version": object{"type": "integer", "minimum": 0},
				"position": schemaRef("Position"), "events": object{"type": "array", "items": schemaRef(a.Name + ".event")},
			},
		},
	}
	for _, t := range a.Spec.Types {
		out[a.Name+".type."+t.Name] = recordSchema(t.Fields, true, named)
	}
	for _, c := range a.Spec.Commands {
		out[a.Name+".command."+c.Name] = recordSchema(c.Fields, true, named)
	}
	events := []any{}
	for _, e := range a.Spec.Events {
		name := a.Name + ".event." + e.Name
		out[name] = object{
			"type": "object", "required": []any{"type", "version", "time", "data"},
			"properties": object{
				"type": object{"const": e.Name}, "version": object{"type": "integer", "minimum": 1},
				"time": object{"type": "string", "format": "date-time"}, "data": recordSchema(e.Fields, false, named),
			},
		}
		events = append(events, schemaRef(name))
	}
	out[a.Name+".event"] = object{"oneOf": events}
	if len(events) == 0 {
		out[a.Name+".event"] = object{"type": "object"}
	}
	out[a.Name+".logged"] = object{"allOf": []any{schemaRef(a.Name + ".event"), schemaRef("LogColumns")}}
	return out
}

// projectionSchemas are the schemas of a projection's key and row. A named type
// is that of the first source which has it.
func projectionSchemas(p ProjectionDefinition, aggregates []AggregateDefinition) object {
	named := func(name string) object {
		for _, source := range p.Spec.Sources {
			for _, a := range aggregates {
				if a.Name != source.Aggregate {
					continue
				}
				for _, t := range a.Spec.Types {
					if t.Name == name {
						return typeRef(a.Name)(name)
					}
				}
			}
		}
		return object{"type": "object"}
	}
	fields := make([]v1alpha1.Field, 0, len(p.Spec.Table.Columns))
	for _, c := range p.Spec.Table.Columns {
		fields = append(fields, v1alpha1.Field{Name: c.Name, Type: c.Type, Optional: c.Optional})
	}
	return object{
		p.Name + ".key": schemaOf(p.Spec.Table.Key.Type, named),
		p.Name + ".row": recordSchema(fields, false, named),
	}
}

// commonSchemas are those that do not depend on definitions. Their names begin
// with a capital letter, which no aggregate's or projection's can.
func commonSchemas() object {
	text, integer := object{"type": "string"}, object{"type": "integer"}
	list := func(name string, items object) object {
		return object{"type": "object", "required": []any{name}, "properties": object{name: object{"type": "array", "items": items}}}
	}
	definition := object{
		"type": "object", "required": []any{"name", "spec"},
		"properties": object{"name": text, "generation": integer, "spec": object{"type": "object"}},
	}
	definitions := list("aggregates", definition)
	definitions["properties"] = object{
		"aggregates":  object{"type": "array", "items": definition},
		"projections": object{"type": "array", "items": definition},
	}
	return object{
		"Position": object{"type": "string", "maxLength": 2048, "description": "Opaque; give it as after"},
		"Problem": object{
			"type": "object", "required": []any{"type", "title", "status", "detail", "reason"},
			"properties": object{
				"type": object{"const": "about:blank"}, "title": text, "status": integer, "detail": text,
				"reason":  reasonSchema(),
				"field":   object{"type": "string", "description": "The offending field, parameter or header"},
				"version": object{"type": "integer", "description": "The entity's current version, with VersionMismatch"},
			},
		},
		"LogColumns": object{
			"type": "object",
			"required": []any{
				"entity", "shard", "seq", "typeVersion", "commandId", "requestHash", "generation", "epoch",
				"principal", "recordedTime", "aggregateId", "hash",
			},
			"properties": object{
				"entity": text, "shard": integer, "seq": integer, "typeVersion": integer, "commandId": text,
				"requestHash": text, "generation": integer, "epoch": integer, "principal": text,
				"recordedTime": object{"type": "string", "format": "date-time"}, "aggregateId": integer,
				"hash": object{"type": "string", "pattern": "^[0-9a-f]{64}$"},
			},
		},
		"ShardList": list("shards", object{
			"type":     "object",
			"required": []any{"aggregate", "shard", "slots", "epoch", "owner", "address", "head", "headHash", "state"},
			"properties": object{
				"aggregate": text, "shard": integer,
				"slots": object{"type": "object", "required": []any{"first", "last"}, "properties": object{"first": integer, "last": integer}},
				"epoch": integer, "owner": text, "address": text, "head": integer, "headHash": text,
				"state": object{"enum": []any{ShardServing, ShardRemote, ShardUnowned}},
			},
		}),
		"DefinitionList": definitions,
	}
}
