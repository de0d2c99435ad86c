// Package control is a runtime pod's side of the control stream: it lets the
// operator's leader ask things of the pod, and tells the leader everything that
// becomes of the pod's shards and definitions.
//
// It must never decide anything about a shard, and never wait for one: what is
// asked goes to the [Pod], and what has become of it comes back by Report calls,
// whether anybody listens or not.
//
// # Streams
//
//	           Hello of a lower term: FailedPrecondition with a TermSeen
//	           Hello for another pod: NotFound
//	(opened) -------------------------------------------------> (refused)
//	    |
//	    | Hello: Welcome, every shard, every definition, a Survey
//	    v
//	 current ---- a Hello of this or a higher term on another ---> (Aborted)
//	    |
//	    '------- the connection ends, or the pod's process -----> (ended)
//
// There is at most one current stream. What comes in on another does nothing. The
// highest term is kept in memory alone: a process that starts anew owns nothing,
// so there is nothing that an old leader could take from it.
//
// # What goes down a stream
//
// Reports wait in an outbox until the stream takes them. A newer report of the
// same thing takes the place of the older one, so the outbox is never longer than
// what there is to tell, and a leader that reads slowly misses history alone. A
// Pong goes before everything else. A survey is sent in parts, so that no message
// grows with the store. A leader that takes nothing at all for
// [sendTimeout] is cut off: it dials again and is told everything anew.
//
// # Whether there is an operator
//
// [Service.Heard] tells when the leader was last heard, by a Hello or a Ping on
// the current stream. Pods act on orphaned shards only when that is long ago.
package control
