// Package status says of an object how it fares: what a reconciler found becomes
// the conditions that kstatus, Flux and helm --wait read, one write of the status
// when it changed and none when it did not, and an event for people when the
// condition is another one.
//
// It decides nothing about an object: which [Verdict] is right is for the
// reconciler of its kind.
package status
