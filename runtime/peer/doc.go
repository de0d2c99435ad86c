// Package peer brings calls from one pod of a Runtime to another that owns the
// entity's shard: a server that answers for the shards of this process, and a
// pool of connections to the others. Both ends speak the EntityService of
// api/rpc over mutual TLS.
//
// It must never decide where a call goes, nor try one again: runtime/routing does.
// What it owes routing is the truth about an attempt: the owner's word as it was
// said, a refusal with its hint, or whether the call can have reached the other
// process at all.
//
// # What an attempt can come to
//
//	the owner's answer or *problem.Problem    as at the owner, unchanged
//	*routing.NotOwnerError                    with what that process knows
//	routing.ErrUnreachable                    no connection, or the request was
//	                                          not written: nothing ran
//	routing.ErrLost                           the request was written, and no
//	                                          answer came: a command may have run
//	Overloaded                                this process's own limits on calls
//	                                          that are with others; nothing ran
//
// # Connections
//
// There is one connection to a process, for all calls. It is made when a call
// needs it, by one attempt for all calls that wait, and asked for a sign of life
// when it is silent for a second: a cut link or a frozen process ends it, and
// with it the calls on it, within about two. An address is of a place, not of a
// process: one that has started anew there answers that it is not the owner.
package peer
