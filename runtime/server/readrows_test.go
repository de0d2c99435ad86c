package server_test

import (
	"net/http"
	"strings"
)

func invalid(sentence, path, field string) row {
	return row{sentence: sentence, request: get(path), status: 400, reason: "InvalidParameter", field: field}
}

func absent(sentence, path, reason string) row {
	return row{sentence: sentence, request: get(path), status: 404, reason: reason}
}

func readRows() []row {
	odd := func(sentence, escaped, plain string) row {
		return row{sentence: sentence, before: []request{addTo(escaped)}, request: get(probePath(escaped)), status: 200, has: []string{`"entity":"` + plain + `"`}}
	}
	badEntity := func(sentence, escaped string) row {
		return row{sentence: sentence, request: addTo(escaped), status: 400, reason: "InvalidEntity", field: "entity"}
	}
	read := probePath("read")
	return []row{
		{
			sentence: "a read gives entity, version, time and state, and the version as ETag",
			before:   []request{addTo("read"), addTo("read")}, request: get(read), status: 200,
			header: []string{"Etag", `"2"`, "Content-Type", "application/json"},
			has:    []string{`"entity":"read"`, `"version":2`, `"time":"2`, `"state":{`, `"count":2`, `"note":""`},
		},
		{sentence: "an absent optional field is left out of the state", before: []request{post(probePath("bare")+"/Record", full)}, request: get(probePath("bare") + "?consistency=local"), status: 200, has: []string{`"blob":"AP8="`, `"flags":{"a":false,"x":true}`, `"count":0`}},
		{sentence: "a read may be strong", request: get(read + "?consistency=strong"), status: 200, has: []string{`"version":2`}},
		{sentence: "a read may be local", request: get(read + "?consistency=local"), status: 200, has: []string{`"version":2`}},
		{sentence: "a read may be of an earlier version", request: get(read + "?version=1"), status: 200, header: []string{"Etag", `"1"`}, has: []string{`"version":1`, `"count":1`}},
		{sentence: "a read may be of the current version", request: get(read + "?version=2"), status: 200, has: []string{`"count":2`}},
		{sentence: "a read may be of a later time", request: get(read + "?at=2999-01-01T00:00:00%2B02:00"), status: 200, has: []string{`"version":2`}},
		absent("before its first event an entity was not there", read+"?at=2001-01-01T00:00:00Z", "NoSuchEntity"),
		absent("a version beyond the head is not there", read+"?version=3", "NoSuchEntity"),
		absent("version 0 is no entity", read+"?version=0", "NoSuchEntity"),
		absent("an entity without events is not there", probePath("nobody"), "NoSuchEntity"),
		absent("an unknown aggregate has no entities", "/v1/aggregates/nothing/e", "UnknownName"),
		invalid("version and at exclude each other", read+"?version=1&at=2026-01-01T00:00:00Z", "at"),
		invalid("a version is a whole number", read+"?version=1.0", "version"),
		invalid("a time is RFC 3339", read+"?at=yesterday", "at"),
		invalid("consistency is strong or local", read+"?consistency=weak", "consistency"),
		invalid("an unknown parameter is refused", read+"?verbose=1", "verbose"),
		invalid("a parameter is given once", read+"?version=1&version=1", "version"),
		{sentence: "HEAD answers as GET, without a body", request: request{method: http.MethodHead, path: read}, status: 200, header: []string{"Etag", `"2"`}},
		odd("a slash in an id travels as %2F", "a%2Fb", "a/b"),
		odd("an id may hold spaces, percent signs and question marks", "a%20b%25c%3Fd", "a b%c?d"),
		odd("an id may be beyond ASCII", "Z%C3%BCrich%E2%82%AC%F0%9F%98%80", "Zürich€😀"),
		odd("an id may look like a path upwards", "..%2F..%2Fetc", "../../etc"),
		odd("an id may be three dots", "...", "..."),
		odd("an id may have 256 bytes", strings.Repeat("i", 256), strings.Repeat("i", 256)),
		odd("ids are compared bytewise: upper case is another entity", "READ", "READ"),
		badEntity("an id has at most 256 bytes", strings.Repeat("i", 257)),
		badEntity("an id has no control characters", "a%0Ab"),
		badEntity("an id has no U+0000", "a%00b"),
		badEntity("an id is no dot", "%2E"),
		badEntity("an id is not two dots", "%2E%2E"),
		badEntity("an id is UTF-8", "a%FF"),
	}
}

func historyRows() []row {
	events := probePath("told") + "/events"
	return []row{
		{
			sentence: "a history gives the events in order, without next at the end",
			before:   []request{post(probePath("told")+"/AddAll", `{"items":[1,2,3]}`)}, request: get(events), status: 200,
			has: []string{`{"events":[{"type":"Added","version":1,`, `"data":{"amount":3}}]}`},
		},
		{sentence: "a page that is not the last names the version to go on after", request: get(events + "?limit=2"), status: 200, has: []string{`"next":2`}},
		{sentence: "the next page begins there", request: get(events + "?limit=2&after=2"), status: 200, has: []string{`{"events":[{"type":"Added","version":3,`, `"data":{"amount":3}}]}`}},
		{sentence: "after the head there is nothing", request: get(events + "?after=3"), status: 200, has: []string{`{"events":[]}`}},
		absent("an entity without events has no history", probePath("untold")+"/events", "NoSuchEntity"),
		absent("nor has it one after a version", probePath("untold")+"/events?after=3", "NoSuchEntity"),
		absent("an unknown aggregate has no histories", "/v1/aggregates/nothing/e/events", "UnknownName"),
		invalid("a limit is at least 1", events+"?limit=0", "limit"),
		invalid("a limit is at most 1,000", events+"?limit=1001", "limit"),
		{sentence: "a limit may be 1,000", request: get(events + "?limit=1000"), status: 200},
		invalid("after is a version", events+"?after=x", "after"),
		invalid("a history knows no other parameters", events+"?from=1", "from"),
		{sentence: "a history has an entity's id to hold to", request: get(probePath("%2E") + "/events"), status: 400, reason: "InvalidEntity", field: "entity"},
	}
}

func feedRows() []row {
	return []row{
		{
			sentence: "the feed gives events with entity, shard and seq, and a position",
			before:   []request{addTo("fed")}, request: get("/v1/events/probe?limit=1000"), status: 200,
			has: []string{`"entity":"fed"`, `"shard":`, `"seq":1`, `"hash":"`, `"position":"`},
		},
		{sentence: "at its end the feed is empty", request: get("/v1/events/probe?after=end"), status: 200, has: []string{`"events":[]`, `"position":"`}},
		absent("an unknown aggregate has no feed", "/v1/events/nothing", "UnknownName"),
		absent("an unknown aggregate has no end", "/v1/events/nothing?after=end", "UnknownName"),
		invalid("after is a position that was given", "/v1/events/probe?after=nonsense", "after"),
		invalid("a page of the feed has its limit", "/v1/events/probe?limit=5000", "limit"),
		invalid("the feed knows no other parameters", "/v1/events/probe?type=Added", "type"),
		{sentence: "a stream of an unknown aggregate is refused before it begins", request: get("/v1/events/nothing", "Accept", "text/event-stream"), status: 404, reason: "UnknownName"},
		{sentence: "a stream resumes at a position only", request: get("/v1/events/probe", "Accept", "text/event-stream", "Last-Event-ID", "x"), status: 400, reason: "InvalidParameter", field: "Last-Event-ID"},
	}
}

func pathRows() []row {
	method := func(sentence, method, path, allow string) row {
		return row{sentence: sentence, request: request{method: method, path: path}, status: 405, reason: "MethodNotAllowed", header: []string{"Allow", allow}}
	}
	return []row{
		method("an entity is not deleted", http.MethodDelete, probePath("e"), "GET, HEAD"),
		method("a command is posted", http.MethodGet, probePath("e")+"/Add", "POST"),
		method("a history is read", http.MethodPost, probePath("e")+"/events", "GET, HEAD"),
		method("the feed is read", http.MethodPut, "/v1/events/probe", "GET, HEAD"),
		method("a row is read", http.MethodPatch, "/v1/projections/counts/e", "GET, HEAD"),
		method("the shards are read", http.MethodPost, "/v1/shards", "GET, HEAD"),
		method("the definitions are read", http.MethodDelete, "/v1/definitions", "GET, HEAD"),
		method("the description is read", http.MethodPost, "/openapi.json", "GET, HEAD"),
		absent("elsewhere there is nothing", "/v2/aggregates/probe/e", "UnknownName"),
		absent("at the root there is nothing", "/", "UnknownName"),
		absent("a slash at the end is another path", "/v1/shards/", "UnknownName"),
		{
			sentence: "the shards tell slots, epoch, owner, head and state", request: get("/v1/shards"), status: 200,
			has: []string{`"aggregate":"probe"`, `"shard":3`, `"slots":{"first":49152,"last":65535}`, `"epoch":1`, `"owner":"`, `"head":`, `"headHash":"`, `"state":"serving"`},
		},
		invalid("the shards have no parameters", "/v1/shards?aggregate=probe", "aggregate"),
		{
			sentence: "the definitions are those in force", request: get("/v1/definitions"), status: 200,
			has: []string{`"name":"probe","generation":1,"spec":{`, `"name":"counts"`, `"name":"fragile"`, `"name":"records"`},
		},
		{
			sentence: "the description lists every command and projection", request: get("/openapi.json"), status: 200,
			has: []string{`"openapi":"3.1`, "/Add", "/Take", "/Divide", "/Nothing", "/Record", "/Grow", "/Burn", "/AddAll", "/Spoil", "/v1/projections/counts", "/v1/projections/records", "/v1/shards"},
		},
		{sentence: "HEAD of the description has its headers", request: request{method: http.MethodHead, path: "/openapi.json"}, status: 200, header: []string{"Content-Type", "application/json"}},
	}
}

func projectionRows() []row {
	counts, records := "/v1/projections/counts", "/v1/projections/records"
	return []row{
		absent("an unknown projection has no rows", "/v1/projections/nothing", "UnknownName"),
		absent("an unknown projection has no row", "/v1/projections/nothing/k", "UnknownName"),
		absent("a key without a row is not there", counts+"/nobody", "NoSuchEntity"),
		{sentence: "a key is of its column's type", request: get(records + "/one"), status: 400, reason: "InvalidParameter", field: "number"},
		invalid("a filter names a column", counts+"?colour[eq]=red", "colour[eq]"),
		invalid("a filter has a comparison that there is", counts+"?count[like]=1", "count[like]"),
		invalid("a filter's value is of the column's type", counts+"?count[gte]=many", "count[gte]"),
		invalid("a map cannot be compared", records+"?flags[eq]=x", "flags[eq]"),
		invalid("rows are ordered by columns", counts+"?order=colour", "order"),
		invalid("a page of rows has its limit", counts+"?limit=1001", "limit"),
		invalid("a cursor is one that was given", counts+"?cursor=x", "cursor"),
		invalid("a wait needs a position", counts+"?wait=1s", "wait"),
		invalid("a position to wait for is one that was given", counts+"?after=x", "after"),
		invalid("a query knows no other parameters", counts+"?count=1", "count"),
		{sentence: "an action that there is not is refused", request: post(counts+":explode", `{}`), status: 404, reason: "UnknownName"},
		{sentence: "an unknown projection cannot be rebuilt", request: post("/v1/projections/nothing:rebuild", `{}`), status: 404, reason: "UnknownName"},
		{sentence: "an action has no fields", request: post(counts+":pause", `{"for":"1s"}`), status: 400, reason: "UnknownField", field: "for"},
		{sentence: "an action is accepted with 202", request: post(counts+":resume", ``), status: 202, has: []string{`"projection":"counts"`, `"action":"resume"`}},
	}
}
