package api

import (
	"net/http"
	"slices"
	"strings"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

func aggregatePaths(a AggregateDefinition) object {
	entity := "/v1/aggregates/" + a.Name + "/{entity}"
	paths := object{
		entity:                 object{"get": readOperation(a)},
		entity + "/events":     object{"get": historyOperation(a)},
		"/v1/events/" + a.Name: object{"get": feedOperation(a)},
	}
	for _, command := range a.Spec.Commands {
		paths[entity+"/"+command.Name] = object{"post": commandOperation(a, command)}
	}
	return paths
}

func commandOperation(a AggregateDefinition, command v1alpha1.Command) object {
	success := object{
		"description": "The command succeeded; what it wrote is durable",
		"headers": object{
			replayHeader: object{"description": "true when this is the remembered answer to an earlier command with the same key", "schema": object{"const": "true"}},
		},
		"content": jsonContent(schemaRef(a.Name + ".answer")),
	}
	all := responses(http.StatusOK, success, http.StatusNotFound, http.StatusPreconditionFailed,
		http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity,
		http.StatusTooManyRequests, http.StatusGatewayTimeout)
	var reasons []string
	for _, r := range command.Reject {
		if !slices.Contains(reasons, r.Reason) {
			reasons = append(reasons, r.Reason)
		}
	}
	if len(reasons) > 0 {
		all["409"] = problemResponse(http.StatusConflict, "Refused by the aggregate: "+strings.Join(reasons, ", "))
	}
	return object{
		"operationId": a.Name + "." + command.Name,
		"summary":     command.Name + " of " + a.Name,
		"tags":        []any{a.Name},
		"parameters":  []any{ref("parameters", "entity"), ref("parameters", "idempotencyKey"), ref("parameters", "ifMatch")},
		"requestBody": object{"required": true, "content": jsonContent(schemaRef(a.Name + ".command." + command.Name))},
		"responses":   all,
	}
}

func readOperation(a AggregateDefinition) object {
	success := object{
		"description": "The entity's state, now or as of a version or time",
		"headers":     object{"ETag": object{"description": "The version, in quotes", "schema": object{"type": "string"}}},
		"content":     jsonContent(schemaRef(a.Name)),
	}
	return object{
		"operationId": a.Name + ".get",
		"summary":     "Read an entity of " + a.Name,
		"tags":        []any{a.Name},
		"parameters": []any{
			ref("parameters", "entity"),
			parameter("query", "version", "As of this version", false, object{"type": "integer", "minimum": 0}),
			parameter("query", "at", "As of this time", false, object{"type": "string", "format": "date-time"}),
			parameter("query", "consistency", "strong: all that was acknowledged before the call; local: what the shard's owner has at hand", false, object{"enum": []any{"strong", "local"}, "default": "strong"}),
		},
		"responses": responses(http.StatusOK, success, http.StatusNotFound, http.StatusTooManyRequests),
	}
}

func historyOperation(a AggregateDefinition) object {
	page := object{
		"type": "object", "required": []any{"events"},
		"properties": object{
			"events": object{"type": "array", "items": schemaRef(a.Name + ".event")},
			"next":   object{"type": "integer", "description": "Give it as after to go on; absent at the end"},
		},
	}
	return object{
		"operationId": a.Name + ".history",
		"summary":     "Read the events of an entity of " + a.Name,
		"tags":        []any{a.Name},
		"parameters": []any{
			ref("parameters", "entity"), ref("parameters", "limit"),
			parameter("query", "after", "Only events after this version", false, object{"type": "integer", "minimum": 0, "default": 0}),
		},
		"responses": responses(http.StatusOK, object{"description": "Events, oldest first", "content": jsonContent(page)}, http.StatusNotFound),
	}
}

func feedOperation(a AggregateDefinition) object {
	page := object{
		"type": "object", "required": []any{"events", "position"},
		"properties": object{
			"events":   object{"type": "array", "items": schemaRef(a.Name + ".logged")},
			"position": schemaRef("Position"),
		},
	}
	success := object{
		"description": "Events of all entities, those of a shard in order. No events: the end for now. As text/event-stream the answer goes on with what comes, and ids stand at checkpoints",
		"content": object{
			"application/json":  object{"schema": page},
			"text/event-stream": object{"schema": object{"type": "string"}},
		},
	}
	return object{
		"operationId": a.Name + ".events",
		"summary":     "Read or follow all events of " + a.Name,
		"tags":        []any{a.Name},
		"parameters": []any{
			ref("parameters", "limit"),
			parameter("query", "after", "Only events after this position; end: only what comes", false, object{"type": "string", "maxLength": 2048}),
			parameter("header", "Last-Event-ID", "Resume a stream after this id", false, object{"type": "string", "maxLength": 2048}),
		},
		"responses": responses(http.StatusOK, success, http.StatusNotFound, http.StatusTooManyRequests),
	}
}

func projectionPaths(p ProjectionDefinition) object {
	base := "/v1/projections/" + p.Name
	paths := object{
		base:            object{"get": queryOperation(p)},
		base + "/{key}": object{"get": rowOperation(p)},
	}
	for _, action := range actions {
		paths[base+":"+string(action)] = object{"post": object{
			"operationId": p.Name + "." + string(action),
			"summary":     string(action) + " of projection " + p.Name,
			"tags":        []any{p.Name},
			"responses": responses(http.StatusAccepted, object{"description": "It has begun", "content": jsonContent(object{"type": "object"})},
				http.StatusNotFound, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusGatewayTimeout),
		}}
	}
	return paths
}

func rowOperation(p ProjectionDefinition) object {
	answer := object{
		"type": "object", "required": []any{"key", "row"},
		"properties": object{"key": schemaRef(p.Name + ".key"), "row": schemaRef(p.Name + ".row"), "position": schemaRef("Position")},
	}
	return object{
		"operationId": p.Name + ".row",
		"summary":     "Read a row of " + p.Name,
		"tags":        []any{p.Name},
		"parameters": []any{
			parameter("path", "key", "The row's "+p.Spec.Table.Key.Name, true, schemaRef(p.Name+".key")),
			ref("parameters", "waitAfter"), ref("parameters", "wait"),
		},
		"responses": responses(http.StatusOK, object{"description": "The row", "content": jsonContent(answer)},
			http.StatusNotFound, http.StatusConflict, http.StatusGatewayTimeout),
	}
}

func queryOperation(p ProjectionDefinition) object {
	row := object{
		"type": "object", "required": []any{"key", "row"},
		"properties": object{"key": schemaRef(p.Name + ".key"), "row": schemaRef(p.Name + ".row")},
	}
	page := object{
		"type": "object", "required": []any{"rows"},
		"properties": object{
			"rows":     object{"type": "array", "items": row},
			"next":     object{"type": "string", "description": "Give it as cursor to go on; absent at the end"},
			"position": schemaRef("Position"),
		},
	}
	parameters := []any{
		parameter("query", "order", "Columns to sort by, separated by commas, - before one for descending; ties by key", false, object{"type": "string"}),
		ref("parameters", "limit"),
		parameter("query", "cursor", "Go on after an earlier page: its next", false, object{"type": "string"}),
		ref("parameters", "waitAfter"), ref("parameters", "wait"),
	}
	for _, column := range columnsOf(p.Spec.Table) {
		if !slices.Contains(scalars, column.Type) {
			continue
		}
		for _, op := range ops {
			name := column.Name + "[" + string(op) + "]"
			if op == In {
				parameters = append(parameters, parameter("query", name, `Values separated by commas; \, is a comma in one`, false, object{"type": "string"}))
				continue
			}
			parameters = append(parameters, parameter("query", name, "Only rows with "+column.Name+" "+string(op)+" this", false, schemaOf(column.Type, nil)))
		}
	}
	return object{
		"operationId": p.Name + ".query",
		"summary":     "Query the rows of " + p.Name,
		"tags":        []any{p.Name},
		"parameters":  parameters,
		"responses": responses(http.StatusOK, object{"description": "Rows, in order", "content": jsonContent(page)},
			http.StatusNotFound, http.StatusConflict, http.StatusGatewayTimeout),
	}
}

func columnsOf(t *v1alpha1.Table) []Column {
	columns := []Column{{t.Key.Name, t.Key.Type}}
	for _, c := range t.Columns {
		columns = append(columns, Column{c.Name, c.Type})
	}
	return columns
}
