package api

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/leftfold/leftfold/runtime/problem"
)

// object is a JSON object of the OpenAPI document. Keys are written in order, so
// the document of the same definitions is always the same.
type object = map[string]any

// document31 describes all calls of the definitions in force, as OpenAPI 3.1.
// Every command, aggregate and projection has paths of its own with its own
// types, so that generators of clients make something useful of it.
func document31(d Definitions, version string) object {
	paths := object{
		"/v1/shards":      object{"get": catalogOperation("listShards", "List the shards", "ShardList")},
		"/v1/definitions": object{"get": catalogOperation("listDefinitions", "Show the accepted definitions", "DefinitionList")},
		"/openapi.json":   object{"get": catalogOperation("describe", "This document", "")},
	}
	schemas := commonSchemas()
	tags := []any{object{"name": "catalog", "description": "What this runtime serves"}}
	for _, a := range d.Aggregates {
		tags = append(tags, object{"name": a.Name, "description": "Aggregate " + a.Name})
		maps.Copy(paths, aggregatePaths(a))
		maps.Copy(schemas, aggregateSchemas(a))
	}
	for _, p := range d.Projections {
		if p.Spec.Table == nil {
			continue
		}
		if !slices.ContainsFunc(d.Aggregates, func(a AggregateDefinition) bool { return a.Name == p.Name }) {
			tags = append(tags, object{"name": p.Name, "description": "Projection " + p.Name})
		}
		maps.Copy(paths, projectionPaths(p))
		maps.Copy(schemas, projectionSchemas(p, d.Aggregates))
	}
	return object{
		"openapi": "3.1.0",
		"info": object{
			"title":   "Leftfold",
			"version": version,
			"summary": "Commands, reads, event streams and projections of this runtime",
			"license": object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"tags":  tags,
		"paths": paths,
		"components": object{
			"schemas":    schemas,
			"responses":  problemResponses(),
			"parameters": commonParameters(),
		},
	}
}

func ref(kind, name string) object { return object{"$ref": "#/components/" + kind + "/" + name} }

func schemaRef(name string) object { return ref("schemas", name) }

// problemResponses has one response a status, with the reasons that it can have.
func problemResponses() object {
	reasons := map[int][]string{http.StatusConflict: {"the reasons that the aggregate's author gives"}}
	for reason, code := range statuses {
		reasons[code] = append(reasons[code], string(reason))
	}
	out := object{}
	for code, list := range reasons {
		slices.Sort(list)
		out[problemName(code)] = problemResponse(code, http.StatusText(code)+": "+strings.Join(list, ", "))
	}
	return out
}

func problemName(code int) string { return "problem" + strconv.Itoa(code) }

func problemResponse(code int, description string) object {
	response := object{
		"description": description,
		"content":     object{"application/problem+json": object{"schema": schemaRef("Problem")}},
	}
	headers := object{}
	switch code {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		headers["Retry-After"] = object{"description": "Seconds to wait before the next attempt", "schema": object{"type": "integer", "minimum": 1}}
	case http.StatusMethodNotAllowed:
		headers["Allow"] = object{"description": "The methods that the path takes", "schema": object{"type": "string"}}
	}
	if len(headers) > 0 {
		response["headers"] = headers
	}
	return response
}

// responses are a success and the problems that a call can meet.
func responses(code int, success object, problems ...int) object {
	out := object{strconv.Itoa(code): success}
	for _, p := range append(problems, http.StatusBadRequest, http.StatusInternalServerError, http.StatusServiceUnavailable) {
		out[strconv.Itoa(p)] = ref("responses", problemName(p))
	}
	return out
}

func jsonContent(schema object) object { return object{"application/json": object{"schema": schema}} }

func parameter(where, name, description string, required bool, schema object) object {
	p := object{"name": name, "in": where, "description": description, "schema": schema}
	if required {
		p["required"] = true
	}
	return p
}

func commonParameters() object {
	position := object{"type": "string", "maxLength": 2048}
	return object{
		"entity":         parameter("path", "entity", "The entity's id: UTF-8, 1 to 256 bytes, no control characters, not . or .. (a slash travels as %2F)", true, object{"type": "string", "minLength": 1, "maxLength": maxEntity}),
		"idempotencyKey": parameter("header", keyHeader, "The same key again gives the same answer and changes nothing more", false, object{"type": "string", "minLength": 1, "maxLength": maxKey, "pattern": "^[!-~]+$"}),
		"ifMatch":        parameter("header", matchHeader, `Only if the entity has this version: "3" in quotes, "0" for no events, * for some`, false, object{"type": "string", "pattern": `^("(0|[1-9][0-9]*)"|\*)$`}),
		"limit":          parameter("query", "limit", "How many items a page holds", false, object{"type": "integer", "minimum": 1, "maximum": maxLimit, "default": defaultLimit}),
		"waitAfter":      parameter("query", "after", "Wait until the projection has this position", false, position),
		"wait":           parameter("query", "wait", "How long to wait for after, at most 1m", false, object{"type": "string", "default": "2s", "examples": []any{"2s", "250ms"}}),
	}
}

func catalogOperation(id, summary, schema string) object {
	content := jsonContent(object{"type": "object"})
	if schema != "" {
		content = jsonContent(schemaRef(schema))
	}
	return object{
		"operationId": id, "summary": summary, "tags": []any{"catalog"},
		"responses": responses(http.StatusOK, object{"description": summary, "content": content}),
	}
}

// reasonSchema lists what Leftfold itself answers; authors add their own.
func reasonSchema() object {
	known := make([]string, 0, len(statuses))
	for reason := range statuses {
		known = append(known, string(reason))
	}
	slices.Sort(known)
	examples := make([]any, len(known))
	for i, reason := range known {
		examples[i] = problem.Reason(reason)
	}
	return object{"type": "string", "description": "What programs branch on after the status", "examples": examples}
}
