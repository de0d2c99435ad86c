// Package runtime reconciles Runtimes: the pods that host shards, and what is
// around them (Service, PodDisruptionBudget, ServiceAccount with its RoleBinding,
// the Secret with the pods' certificate).
//
// What there should be is built by pure functions, one file a kind, from the
// Runtime and its EventStore; package apply brings it about. What a Runtime tells
// of itself is what its Deployment and the Fleet see.
//
// It never moves a shard and never talks to a pod, and it keeps no pod from
// running because something else is not as it should be: a Runtime whose store
// does not answer, or whose new spec is refused, keeps the pods that it has.
package runtime
