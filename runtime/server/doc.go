// Package server is the composition root of the data plane: the only package
// that knows every implementation, and the place where the order of start and
// stop is written down.
//
// Start: stores are opened and migrated; aggregates are made known and their
// definitions accepted; shards are claimed; projections begin; then, and not
// before, the listener answers and the ready line is printed.
//
// Stop, on SIGTERM: new calls are refused with NotAttempted while those under
// way end; streams end; projections stop; shards drain and are released; stores
// close.
//
// Changed manifests take effect in a running server. One part that cannot be
// (history contradicts an aggregate, its shards are another number, a projection
// does not fit its sources) leaves what the store accepted before in force, for
// that part alone, and at a start too.
//
// Several servers may share a PostgreSQL store. The one that starts last claims
// the shards; the others hold their callers for a while and then answer
// NotAttempted, and claim a shard again only when its owner has released it or
// has not been heard of for heartbeatTimeout by the database's clock. Who claims
// takes up the newest definition first.
//
// # Definitions
//
// Every process offers what it sees declared to the store, which keeps for each
// aggregate and projection the definition accepted last and the object that it
// came from (eventstore.Source). An offer of an older view than the stored one
// does not take its place: of the same object the later generation wins, of two
// objects that had the name one after the other the one made later. So it does
// not matter which process hears of a change first, or how late one is. What
// comes from files has no age: there the last to offer wins. A definition that
// drops something takes more (confirm.go): it is provisional until history was
// looked at behind a floor that no owner of a shard gets below.
//
// Processes that share a store look every second whether another has changed a
// definition there, and take it up (follow.go). In a pod the outcome of every
// object is reported to the operator (definitions.go); a pod that starts while
// the API server is away serves what the store has (serveStored).
//
// A projection that is not declared any more is not worked on; its rows stay.
//
// It must hold no rule of its own about events, shards or projections.
package server
