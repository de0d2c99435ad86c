package server_test

import (
	"fmt"
	"strings"
)

// full is a body of Record with every type of field.
const full = `{"number":"9007199254740993","ratio":0.5,"blob":"AP8=","moment":"2026-01-01T12:00:00.123456+02:00",` +
	`"pause":"90s","parts":[{"label":"a"},{"label":"b","weight":-3}],"flags":{"x":true,"a":false}}`

// fullWith is full with one member replaced by another.
func fullWith(old, replacement string) string {
	if !strings.Contains(full, old) {
		panic("full has no " + old)
	}
	return strings.Replace(full, old, replacement, 1)
}

func addTo(entity string) request { return post(probePath(entity)+"/Add", `{"amount":1}`) }

func commandRows() []row {
	return []row{
		{
			sentence: "a command answers with entity, version, position and its events",
			request:  addTo("first"), status: 200,
			has: []string{`"entity":"first"`, `"version":1`, `"position":"`, `"events":[{"type":"Added","version":1,"time":"`, `"data":{"amount":1}}]`},
		},
		{
			sentence: "a command without events and rejection succeeds and changes nothing",
			request:  post(probePath("idle")+"/Nothing", `{}`), status: 200,
			has: []string{`"version":0`, `"events":[]`},
		},
		{
			sentence: "one command may lead to several events, numbered in turn",
			request:  post(probePath("several")+"/AddAll", `{"items":[1,2,3]}`), status: 200,
			has: []string{`"version":3`, `{"type":"Added","version":2,`},
		},
		{
			sentence: "a default stands for a field that is left out",
			before:   []request{addTo("defaulted")},
			request:  post(probePath("defaulted")+"/Take", `{}`), status: 200, has: []string{`"data":{"amount":-1}`},
		},
		{
			sentence: "a reject rule answers 409 with the author's reason and words",
			request:  post(probePath("poor")+"/Take", `{"amount":3}`), status: 409, reason: "NotEnough",
			has: []string{`"detail":"there are 0"`},
		},
		{
			sentence: "an unknown aggregate is UnknownName",
			request:  post("/v1/aggregates/nothing/e/Add", `{}`), status: 404, reason: "UnknownName",
		},
		{
			sentence: "an unknown command is UnknownName",
			request:  post(probePath("e")+"/Nope", `{}`), status: 404, reason: "UnknownName",
		},
		{
			sentence: "a media type that is not JSON is 415",
			request:  post(probePath("e")+"/Add", `{"amount":1}`, "Content-Type", "text/plain"), status: 415, reason: "UnsupportedMediaType",
		},
		{
			sentence: "a JSON media type may have a charset",
			request:  post(probePath("charset")+"/Add", `{"amount":1}`, "Content-Type", "application/json; charset=utf-8"), status: 200,
		},
		{
			sentence: "a command has no parameters",
			request:  post(probePath("e")+"/Add?dry=true", `{"amount":1}`), status: 400, reason: "InvalidParameter", field: "dry",
		},
	}
}

func bodyRows() []row {
	record := func(body string) request { return post(probePath("body")+"/Record", body) }
	wrong := func(sentence, body, reason, field string) row {
		return row{sentence: sentence, request: record(body), status: 400, reason: reason, field: field}
	}
	rows := []row{
		wrong("an empty body stands for no fields", ``, "MissingField", "number"),
		wrong("a body that is no object is malformed", `[]`, "MalformedBody", ""),
		wrong("a body that ends early is malformed", `{"number":`, "MalformedBody", "number"),
		wrong("a body with something after it is malformed", full+`{}`, "MalformedBody", ""),
		wrong("a duplicate key is malformed", fullWith(`"ratio":0.5`, `"ratio":0.5,"ratio":0.5`), "MalformedBody", "ratio"),
		wrong("NaN is malformed", fullWith(`0.5`, `NaN`), "MalformedBody", "ratio"),
		wrong("a number out of double's range is refused", fullWith(`0.5`, `1e400`), "WrongType", "ratio"),
		wrong("a number out of int's range is refused", fullWith(`"9007199254740993"`, `9223372036854775808`), "WrongType", "number"),
		wrong("a fraction is no int", fullWith(`"9007199254740993"`, `1.5`), "WrongType", "number"),
		wrong("text is no int", fullWith(`"9007199254740993"`, `"many"`), "WrongType", "number"),
		wrong("a number is no duration", fullWith(`"90s"`, `90`), "WrongType", "pause"),
		wrong("a date is no timestamp", fullWith(`"2026-01-01T12:00:00.123456+02:00"`, `"2026-01-01"`), "WrongType", "moment"),
		wrong("bytes are base64", fullWith(`"AP8="`, `"?"`), "WrongType", "blob"),
		wrong("U+0000 is in no string", fullWith(`"flags"`, `"extra":"a\u0000b","flags"`), "MalformedBody", "extra"),
		wrong("a field left out is missing", fullWith(`"pause":"90s",`, ``), "MissingField", "pause"),
		wrong("null is the same as left out", fullWith(`"90s"`, `null`), "MissingField", "pause"),
		wrong("an unknown field is refused", fullWith(`"flags"`, `"nope":1,"flags"`), "UnknownField", "nope"),
		wrong("a nested unknown field is named with its path", fullWith(`"weight":-3`, `"size":1`), "UnknownField", "parts[1].size"),
		wrong("a nested check that fails is named with its path", fullWith(`"label":"b"`, `"label":""`), "CheckFailed", "parts[1].label"),
		{
			sentence: "a check that fails names its field",
			request:  post(probePath("body")+"/Add", `{"amount":0}`), status: 400, reason: "CheckFailed", field: "amount",
		},
		{
			sentence: "a body over 1 MiB is too large",
			request:  post(probePath("body")+"/Grow", `{"text":"`+strings.Repeat("x", 1<<20)+`"}`), status: 413, reason: "TooLarge",
		},
		{
			sentence: "nothing of all that was written",
			request:  get(probePath("body")), status: 404, reason: "NoSuchEntity",
		},
		{
			sentence: "every type travels in its JSON form, ints beyond 2^53-1 as strings",
			request:  post(probePath("typed")+"/Record", full), status: 200,
			has: []string{`"data":{"blob":"AP8=","flags":{"a":false,"x":true},"moment":"2026-01-01T10:00:00.123456Z","number":"9007199254740993",` +
				`"parts":[{"label":"a"},{"label":"b","weight":-3}],"pause":"90s","ratio":0.5}`},
		},
		{
			sentence: "an int may be a string also where it is small, and is a number in answers then",
			request:  post(probePath("small")+"/Record", fullWith(`"9007199254740993"`, `"-7"`)), status: 200, has: []string{`"number":-7`},
		},
		{
			sentence: "an int beyond 2^53-1 may be a number in a body",
			request:  post(probePath("large")+"/Record", fullWith(`"9007199254740993"`, `-9223372036854775808`)), status: 200,
			has: []string{`"number":"-9223372036854775808"`},
		},
		{
			sentence: "2^53-1 is the last int that is a number in answers",
			request:  post(probePath("edge")+"/Record", fullWith(`"9007199254740993"`, `9007199254740991`)), status: 200,
			has: []string{`"number":9007199254740991`},
		},
		{
			sentence: "an optional field that is given is kept",
			request:  post(probePath("optional")+"/Record", fullWith(`"flags"`, `"extra":"é\u2028","flags"`)), status: 200, has: []string{`"extra":"é`},
		},
	}
	return rows
}

func keyRows() []row {
	keyed := func(entity, command, body string) request {
		return post(probePath(entity)+"/"+command, body, "Idempotency-Key", "k-1")
	}
	add, taken := keyed("keyed", "Add", `{"amount":1}`), keyed("short", "Take", `{"amount":5}`)
	badKey := func(sentence, key string) row {
		return row{sentence: sentence, request: post(probePath("e")+"/Add", `{"amount":1}`, "Idempotency-Key", key), status: 400, reason: "InvalidParameter", field: "Idempotency-Key"}
	}
	return []row{
		{sentence: "the first use of a key is no replay", request: add, status: 200, header: []string{"Idempotent-Replay", ""}, has: []string{`"version":1`}},
		{sentence: "the same key again gives the same answer, marked as replay", request: add, status: 200, header: []string{"Idempotent-Replay", "true"}, has: []string{`"version":1`, `"data":{"amount":1}`}},
		{sentence: "a key with another body is KeyReused", request: keyed("keyed", "Add", `{"amount":2}`), status: 422, reason: "KeyReused"},
		{sentence: "a key with another command is KeyReused", request: keyed("keyed", "Nothing", `{}`), status: 422, reason: "KeyReused"},
		{sentence: "a key belongs to one entity", request: keyed("other", "Add", `{"amount":2}`), status: 200, header: []string{"Idempotent-Replay", ""}},
		{sentence: "a rejection is given under a key", request: taken, status: 409, reason: "NotEnough", header: []string{"Idempotent-Replay", ""}},
		{
			sentence: "a rejection is remembered, though the state has changed",
			before:   []request{post(probePath("short")+"/Add", `{"amount":10}`)},
			request:  taken, status: 409, reason: "NotEnough", header: []string{"Idempotent-Replay", "true"}, has: []string{"there are 0"},
		},
		{sentence: "an empty success is given under a key", request: keyed("empty", "Nothing", `{}`), status: 200, header: []string{"Idempotent-Replay", ""}},
		{
			sentence: "an empty success is remembered with the version it had",
			before:   []request{addTo("empty")},
			request:  keyed("empty", "Nothing", `{}`), status: 200, header: []string{"Idempotent-Replay", "true"}, has: []string{`"version":0`, `"events":[]`},
		},
		{
			sentence: "a key is looked at before the payload, If-Match and reject",
			request:  post(probePath("keyed")+"/Add", `{"amount":1}`, "Idempotency-Key", "k-1", "If-Match", `"0"`), status: 200,
			header: []string{"Idempotent-Replay", "true"},
		},
		{
			sentence: "a reused key is told before what is wrong with the body",
			request:  keyed("keyed", "Add", `{"nope":1}`), status: 422, reason: "KeyReused",
		},
		badKey("a key of 129 characters is refused", strings.Repeat("k", 129)),
		badKey("a key with a space is refused", "a b"),
		badKey("a key that is not ASCII is refused", "clé"),
		badKey("an empty key is refused", ""),
		{
			sentence: "a key of 128 characters is taken",
			request:  post(probePath("long-key")+"/Add", `{"amount":1}`, "Idempotency-Key", strings.Repeat("~", 128)), status: 200,
		},
	}
}

func expectationRows() []row {
	expecting := func(entity, match string) request {
		return post(probePath(entity)+"/Add", `{"amount":1}`, "If-Match", match)
	}
	mismatch := func(sentence, entity, match, version string) row {
		return row{
			sentence: sentence, request: expecting(entity, match), status: 412, reason: "VersionMismatch",
			has: []string{`"version":` + version},
		}
	}
	badMatch := func(match string) row {
		return row{
			sentence: fmt.Sprintf("If-Match %s is not of the contract's form", match),
			request:  expecting("e", match), status: 400, reason: "InvalidParameter", field: "If-Match",
		}
	}
	failed := post(probePath("matched")+"/Add", `{"amount":1}`, "If-Match", `"9"`, "Idempotency-Key", "m-1")
	return []row{
		mismatch("any version is wrong where there is none", "matched", `"1"`, "0"),
		mismatch("* wants some events", "matched", `*`, "0"),
		{sentence: `"0" wants no events`, request: expecting("matched", `"0"`), status: 200, has: []string{`"version":1`}},
		mismatch(`"0" is wrong where there are some`, "matched", `"0"`, "1"),
		{sentence: "the current version is right", request: expecting("matched", `"1"`), status: 200, has: []string{`"version":2`}},
		mismatch("an older version is wrong", "matched", `"1"`, "2"),
		{sentence: "* is right where there are some", request: expecting("matched", `*`), status: 200, has: []string{`"version":3`}},
		{sentence: "a mismatch under a key is one", request: failed, status: 412, reason: "VersionMismatch", header: []string{"Idempotent-Replay", ""}, has: []string{`"version":3`}},
		{
			sentence: "a mismatch is remembered under its key", before: []request{addTo("matched")},
			request: failed, status: 412, reason: "VersionMismatch", header: []string{"Idempotent-Replay", "true"}, has: []string{`"version":3`},
		},
		badMatch(`3`), badMatch(`W/"3"`), badMatch(`"x"`), badMatch(`"1", "2"`), badMatch(`"-1"`), badMatch(`"01"`), badMatch(`""`),
		{
			sentence: "the payload is looked at before If-Match",
			request:  post(probePath("matched")+"/Add", `{"amount":0}`, "If-Match", `"77"`), status: 400, reason: "CheckFailed", field: "amount",
		},
		{
			sentence: "If-Match is looked at before reject",
			request:  post(probePath("unmatched")+"/Take", `{"amount":5}`, "If-Match", `"77"`), status: 412, reason: "VersionMismatch",
		},
	}
}

func failureRows() []row {
	grow := post(probePath("grown")+"/Grow", `{"text":"`+strings.Repeat("x", 600<<10)+`"}`)
	numbers := strings.TrimSuffix(strings.Repeat("1,", 1000), ",")
	failed := func(sentence, command, body string) row {
		return row{sentence: sentence, request: post(probePath("failed")+"/"+command, body), status: 500, reason: "BehaviorFailed"}
	}
	return []row{
		failed("a division by zero fails the command", "Divide", `{"amount":0}`),
		failed("an expression that costs too much fails the command", "Burn", `{"items":[`+numbers+`]}`),
		failed("more than 1,000 events fail the command", "AddAll", `{"items":[`+numbers+`,1]}`),
		{sentence: "nothing of all that was written", request: get(probePath("failed")), status: 404, reason: "NoSuchEntity"},
		{
			sentence: "an event whose apply overflows is never written",
			before:   []request{post(probePath("overflown")+"/Add", `{"amount":"9223372036854775807"}`)},
			request:  addTo("overflown"), status: 500, reason: "BehaviorFailed",
		},
		{
			sentence: "of several events none is written when one fails",
			request:  post(probePath("overflown")+"/AddAll", `{"items":[-1,1,1]}`), status: 500, reason: "BehaviorFailed",
		},
		{
			sentence: "after a failure the entity is as before, and goes on",
			before:   []request{post(probePath("overflown")+"/Add", `{"amount":-7}`)},
			request:  get(probePath("overflown")), status: 200, has: []string{`"version":2`, `"count":"9223372036854775800"`},
		},
		{
			sentence: "a state over 1 MiB is StateTooLarge", before: []request{grow},
			request: grow, status: 413, reason: "StateTooLarge",
		},
		{sentence: "a state that would have been too large was not written", request: get(probePath("grown") + "/events?limit=1"), status: 200, has: []string{`"version":1`}},
		{sentence: "1,000 events may come of one command", request: post(probePath("thousand")+"/AddAll", `{"items":[`+numbers+`]}`), status: 200, has: []string{`"version":1000`}},
	}
}
