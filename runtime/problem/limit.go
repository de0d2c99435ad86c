package problem

// Limit names a bound that a call has met. It is for those who run Leftfold, who
// see it counted (leftfold_refusals_total), and no word of it reaches callers.
type Limit string

// The closed set of limits. Beside each stands what it bounds; their sizes are in
// the table of runtime/README.md.
const (
	// At the door (runtime/api).
	LimitConnections Limit = "connections" // connections open
	LimitCalls       Limit = "calls"       // calls under way
	LimitBody        Limit = "body"        // the bytes of one body
	LimitBodies      Limit = "bodies"      // the bytes of all bodies
	LimitStreams     Limit = "streams"     // event streams open
	LimitPages       Limit = "pages"       // reads of pages of events
	LimitAnswers     Limit = "answers"     // the bytes of all answers

	// On the way (runtime/routing and runtime/peer).
	LimitHeldCalls   Limit = "held_calls"   // calls that wait for an owner
	LimitHeldBytes   Limit = "held_bytes"   // the bytes of their bodies
	LimitPeerCalls   Limit = "peer_calls"   // calls that are with one other process
	LimitPeersCalls  Limit = "peers_calls"  // calls that are with all of them
	LimitServedCalls Limit = "served_calls" // calls served for others

	// At the shard.
	LimitMailbox        Limit = "mailbox"         // commands that a shard holds
	LimitMailboxBytes   Limit = "mailbox_bytes"   // the bytes of their bodies
	LimitMailboxesBytes Limit = "mailboxes_bytes" // the same over all shards
	LimitEntityCommands Limit = "entity_commands" // commands that wait for one entity
	LimitEntityKeys     Limit = "entity_keys"     // the bytes of the keys that one entity remembers
	LimitKeys           Limit = "keys"            // the same over all entities

	// Of one command. The names are package language's, too.
	LimitExpressionCost Limit = "expression_cost"
	LimitEvents         Limit = "events"      // the number of its events
	LimitEventBytes     Limit = "event_bytes" // the bytes of their data
	LimitState          Limit = "state"       // the bytes of the state it leads to
)

// Limits are all of them.
var Limits = []Limit{
	LimitConnections, LimitCalls, LimitBody, LimitBodies, LimitStreams, LimitPages, LimitAnswers,
	LimitHeldCalls, LimitHeldBytes, LimitPeerCalls, LimitPeersCalls, LimitServedCalls,
	LimitMailbox, LimitMailboxBytes, LimitMailboxesBytes, LimitEntityCommands, LimitEntityKeys, LimitKeys,
	LimitExpressionCost, LimitEvents, LimitEventBytes, LimitState,
}

// Over gives the problem with the limit that it comes from.
func (p *Problem) Over(l Limit) *Problem {
	p.Limit = l
	return p
}
