// Package failover measures what faults of a real cluster cost the callers of a
// bank: it does one fault to it, again and again, under steady load, and takes down
// for each shard when the fault was noticed, when the shard was served again, and
// when its callers could write again. `make failover` prints that; the end-to-end
// tests run a few rounds.
//
// # What is measured
//
//	fault        the moment right before the signal, the cut or the request
//	noticed      the operator's verdict on the pod, by the time in its log
//	reassigned   the operator's word that another process serves the shard
//	written      the first answer to a write after that
//	moved        how long a planned move took, by the operator's log
//	pause        around a planned move, from its order to the operator's word that
//	             another process serves the shard: the longest time between two
//	             answers to writes of the shard; one for each move
//	gap          the longest time between two answers to writes of a shard in the
//	             whole round, whether it moved or not: what the machine does, too
//
// All clocks are that of the machine. The pulse (package ledger) deposits to one
// account in every shard, so times have the grain of its period: a write that would
// have worked a moment earlier is seen at the next beat.
//
// # What it costs to look
//
// Cluster, database, bank and callers share the machine. Customers rest between
// their commands, so that there is a load and not a full machine: what is measured
// is the failover and not the queue for a processor. The report tells the rate.
//
// After every block of rounds, ten or those of some minutes, the customers rest, and
// everything that they were told is held against what the bank says (package witness).
package failover
