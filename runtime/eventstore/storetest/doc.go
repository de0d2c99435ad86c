// Package storetest holds every event store to the contract of package
// eventstore: Run is the one conformance suite that PostgreSQL, SQLite and the
// model pass, and Invariants walks a whole store after tests that break things on
// purpose. A rule that no test here can see broken is not a rule: who adds a
// sentence to eventstore/store.go adds a test here.
//
// Package memory is the model; package fault wraps any store and makes it fail.
// Nothing here may know one implementation from another.
package storetest
