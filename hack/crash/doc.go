// Package crash breaks what a runtime stands on, under load, round after round,
// and looks at what is left: the promise that an acknowledged command is durable,
// happened once and stays, and that nobody sees a state that never was, held
// against real processes, real stores and real faults.
//
//	the process             SIGKILL, on both stores
//	PostgreSQL              SIGKILL, and started again
//	the way to PostgreSQL   connections that break around an append, delays, silence
//	the disk of SQLite      full
//	two processes           that take shards from each other; one frozen meanwhile
//
// After each round every command has an answer, the books agree with the log, the
// states and the projection (package ledger), all that callers saw can be put in an
// order (package history), the hash chains hold (leftfold verify), and each shard
// has taken writes, reads and rows again within the promised time after the fault
// had ended, by itself.
//
//	go test ./hack/crash -run TestX -rounds 50 -seed 1 -v      or: make chaos
package crash
