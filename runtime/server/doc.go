// Package server is the composition root of the data plane: the only package
// that knows every implementation, and the place where the order of start and
// stop is written down.
//
// It starts two kinds of process. [Start] is a server by itself, as in
// development: it serves every shard that it can have. [StartManaged] is a pod of
// a Runtime: it serves the shards that an operator grants. Both are the same but
// for their keeper, which says what shards to claim (reopen.go, pod.go).
//
// It must hold no rule of its own about events, shards or projections.
//
// # A server by itself
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
// # A pod of a Runtime
//
// Start: health is told; the store is opened, as often as that takes; the process
// becomes a member; the API and the port for operator and pods answer. It is ready
// when it has seen what is declared, or, while nobody can tell, has taken up what
// the store accepted last. It owns nothing yet, and brings calls to the pods that
// do.
//
// A shard's way here, as it is reported to the operator:
//
//	                 grant, or an orphan          caught up
//	(elsewhere) ----------------------> CLAIMING ----------> SERVING
//	     ^                                |  |               |  |  |
//	     |       REFUSED: another epoch   |  | FAILED        |  |  | release
//	     +--------------------------------+  v               |  |  v
//	     |                     (until it is granted anew) <--+  | DRAINING
//	     |                                  FAILED              |  |
//	     +-------- RELEASED: another owner has it --------------+  |
//	     +-------- RELEASED ---------------------------------------+
//
// A failed shard is not opened again while an operator is heard: where it goes is
// for the operator to say. Without one the pods do it among themselves; orphan.go
// has the rule. How a pod ends is in leave.go.
package server
