// Package api is the HTTP interface of a runtime: commands, reads, event
// streams, projections and the catalogue under /v1, and a description of it all
// at /openapi.json. It turns requests into calls of small interfaces that it
// declares itself (Aggregates, Feed, Projections, Catalog), and their answers
// and problems into HTTP.
//
// # A request's way
//
//  1. ServeHTTP refuses with NotAttempted while the runtime drains.
//  2. The path is split before it is unescaped (route.go), so that an entity's
//     id may hold a slash as %2F. No path is ever cleaned or redirected.
//  3. The query string may hold the parameters of that call only, each once.
//  4. A handler calls one interface; its error becomes a problem document by
//     the one table in errors.go.
//
// A command is checked in this order: path, parameters, Idempotency-Key (its
// form), media type, size of the body, If-Match (its form); then, in the shard,
// the key's earlier use, the payload, If-Match against the version, and the
// author's reject rules.
//
// # Choices that the contract leaves open
//
//   - A header of the wrong form is InvalidParameter, with the header's name as
//     field.
//   - A command runs for at most Config.CommandTimeout (10 s); after that it is
//     answered OutcomeUnknown. Reads that take longer than Config.ReadTimeout
//     (10 s), not counting their wait, are answered NotAttempted.
//   - An entity without events is NoSuchEntity, for its state and for its list
//     of events; so is a key without a row.
//   - column[in] takes values separated by commas; \, is a comma and \\ a
//     backslash within one.
//   - A position has at most 2 KiB. Rows of a projection whose own would be longer
//     (its sources have many hundred shards together) are answered without one;
//     positions that commands give name one shard and can always be waited for.
//   - ?after= on a projection waits for 2 s unless ?wait= says otherwise, at
//     most a minute. ?wait= without ?after= is InvalidParameter.
//   - On a stream, Last-Event-ID wins over ?after=, for a browser that
//     reconnects repeats the whole URL; ?limit= is how many events stand
//     between two checkpoints at most.
//   - POST /v1/projections/{name}:{action}, with rebuild, pause, resume or
//     retry, manages a projection: 202 once it is accepted. A colon cannot be
//     part of a projection's name, so no key collides.
//
// What the package must never do: decide anything about entities, shards or
// rows, keep state of its own beyond open streams, or know who implements its
// interfaces.
package api
