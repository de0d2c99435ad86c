// Package history keeps what the callers of the bank saw, with the times of each
// call and return, and judges whether a bank that does one thing after the other
// could have answered so: each account is checked for linearizability with
// porcupine, against a model of the account that is written here anew.
//
// It complements package ledger, which compares the end of a run with the events.
// A read that was answered from the past, or an answer that was given by a process
// that no longer owned the account, leaves no trace in the events; only the times
// tell.
//
// What is one operation: all attempts at a command under one key, from the first
// that may have run to the first answer that settles it. An attempt that was told
// that nothing ran or will is none, so that a later effect of it is found. A
// command without an answer stays open to the end: it may have happened at any
// time, or not at all.
//
// Rows of projections follow the events at a distance that nobody promises. They
// are compared with the fold: a row is that of some version, no older than was
// asked for, no older than a row that was read before, and none that nobody had
// written yet.
package history
