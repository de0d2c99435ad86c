// Package simulation runs the data plane in virtual time and breaks what can
// break: it is a test harness, and no part of the product. Its tests are the way
// in; nothing imports it.
//
//	go test ./runtime/simulation                     500 seeds
//	go test ./runtime/simulation -seeds=20000        more of them
//	go test ./runtime/simulation -seed=17 -cpu=1     one seed, as a failure names it
//	go test -tags faults ./runtime/simulation -run RemovedGuard -v
//	                                                 each guard taken out alone
//
// # What is simulated
//
// Three hosts (package shard, as it ships) on one store (storetest/memory), each
// over a link of its own that delays, loses and refuses requests and answers, and
// with a clock of its own (link_test.go). An operator (world_test.go) moves shards
// by takeover and by drain, kills hosts and starts others in their place, freezes
// them, cuts them off the store while their callers still reach them, changes the
// definition, and fails the store over to a replica that has not heard of the
// last claim: then epochs repeat, and only tokens differ. Six clients
// (client_test.go) send commands with keys and without, retry, repeat what was
// answered, use If-Match, read strongly, locally and at versions, and go to
// yesterday's owner often; a request may reach a host long after its
// client gave it up. A projection follows each shard by the memory of whichever
// host it asks (projection_test.go), and clients wait for it at the positions of
// their answers.
//
// # What is checked
//
// At the end (check_test.go): the invariants of the store; that every
// acknowledged command's events are there, once, and of a refused one none; that
// every state, refusal and feed that anyone was shown is one of the log's fold;
// that a fresh host folds to the same and answers every keyed command as the first
// time. And for every entity, that commands and strong reads are linearizable
// (linear_test.go, with porcupine). A run that fails prints its seed, what is
// violated, and the log and history of the entity that shows it.
//
// # What makes a seed repeat
//
// Whatever is left to chance is drawn from the seed by who acts, on what, for the
// how-manieth time, not from one sequence that all would share; and every wait
// has its own number of nanoseconds, so that no two things happen at one instant.
// Within a host one thing still sets off several, whose order is up to the scheduler
// of Go: -cpu=1 makes it nearly always the same, and TestASeedRepeatsItsRun holds
// seeds to that. Every fourth seed has two shards, and there the order in which a
// host meets them is chance as well. A run that does not come again takes -count,
// and a finding of many runs at once may want both processors. A new version of Go
// or of the code gives other runs for the same seeds.
//
// # Guards
//
// RemovedGuard takes out one guard at a time, and the simulation has to find each
// missing within 200 seeds: those of the log by an option of the model (its
// appends compare no lease; it compares epochs and no tokens), those of package
// shard by its build with the tag faults (shard/removal.go). The token of a lease
// implies its epoch, so an append without the epoch's comparison alone would lose
// nothing: the fence is taken out whole.
//
// # What is not
//
// PostgreSQL, SQLite, HTTP, forwarding between pods, the real operator: see
// shard/real_test.go, hack/crash, hack/e2e. A failover of the store that loses
// events is none of the faults: nothing could hold then. The transactions of
// projections are not here either, because virtual time stands still while a
// server answers: package projection interleaves them on PostgreSQL by seed
// (interleaving_test.go), with the guards of its own (offsets, missing keys).
package simulation
