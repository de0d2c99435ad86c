// Package fault makes any event store fail on purpose. It wraps a Store and
// injects, by a script (Inject) or by seeded chance (Random), what networks,
// databases and disks do to calls: an error before anything happened, an answer
// lost after the commit, an answer lost with the work, a commit that comes after
// its answer was given up, a call that hangs, and data the store cannot hold.
//
// Tests wait on the Handle of a fault and never sleep. The package starts no
// goroutine and reads no clock, so it works under testing/synctest.
//
// Whatever it does, it keeps the contract of package eventstore: NotAttempted is
// only ever said of what has not been done and never will be.
package fault
