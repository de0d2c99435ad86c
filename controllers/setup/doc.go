// Package setup is the composition root of the operator: the only package that
// knows every reconciler, and where the manager's cache, rights, election and
// endpoints are settled.
//
// The cache holds what reconcilers watch and no more: pods and what is around them
// only where they carry the operator's labels, ReplicaSets and Nodes without their
// content, and no Secret at all.
//
// One replica leads; only it talks to pods and writes. The election is quick, since
// a Runtime without a leader moves no shards but those that pods take by
// themselves: a lease of 5 s, given back when a leader ends in good order.
package setup
