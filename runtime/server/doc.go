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
// It must hold no rule of its own about events, shards or projections.
package server
