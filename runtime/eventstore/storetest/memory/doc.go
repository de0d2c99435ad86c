// Package memory is the model of an event store: every rule of package
// eventstore in the plainest code that can be, under one lock, with nothing
// durable. Tests of what stands on a store run on it, also under testing/synctest:
// it starts no goroutine, never waits, and knows only the clock it is given.
//
// As a store may, it gives back other bytes than it was given: data comes back
// in canonical form. Unlike a store, it panics on a batch that breaks the owner's
// side of the contract (a gap in the sequence, a hash that is not the link),
// since in a test that is a defect which should not get away as a result.
//
// It must never serve anything but tests.
package memory
