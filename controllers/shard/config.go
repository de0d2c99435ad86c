package shard

import (
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/leftfold/leftfold/api/identity"
)

// Config is what a Fleet needs.
type Config struct {
	// Client reads Runtimes, Pods, ReplicaSets (metadata), Nodes (metadata) and
	// Shards from the manager's cache, and deletes pods. Required.
	Client client.Client
	// Cache is where changes of Runtimes, Pods and ReplicaSets are heard from.
	// Unset: none are heard of, and [Fleet.Reconcile] is to be called instead.
	Cache cache.Cache
	// Live reads past the cache, for the Lease. Default: Client.
	Live client.Reader
	// Identity is what the Fleet shows to pods, and whom it trusts. Required.
	Identity identity.Source
	// Lease is the operator's leader election. Whoever holds it when the Fleet
	// starts is taken to be this process. Empty: there is no election.
	Lease client.ObjectKey
	// Zones: nodes can be read, and their zones count for the spread of shards.
	Zones bool
	// Events records what was done to a Runtime's pods. Unset: nothing is.
	Events events.EventRecorder
	// Metrics is where metrics are registered. Default: controller-runtime's.
	Metrics prometheus.Registerer
	Log     logr.Logger
	// Port of the pods. Default: v1alpha1.PortControl.
	Port int
}

// Bounds of what is under way, and how long it may take.
const (
	// claimTimeout is how long a pod that was granted a shard may tell nothing of
	// any of its grants before the shard is granted to another.
	claimTimeout = 3 * time.Second
	// releaseTimeout is how long a pod may drain a shard before it is taken from
	// it: more than the 10 s that pods give to commands under way. The store's fence
	// makes taking it harmless.
	releaseTimeout = 12 * time.Second
	// retireAfter is how long a Runtime's pods may all be going before they are told
	// to give up what they have: a ReplicaSet replaces a pod well within it.
	retireAfter = time.Second
	// refusedPause is before another try at a shard of which a pod told nothing
	// new when it refused it.
	refusedPause = 100 * time.Millisecond
	// avoidSlow is how long a shard stays away from a pod that did not get it up.
	avoidSlow = 30 * time.Second
	// avoidFailed is how long a shard stays away from pods that it failed on; it is
	// what liveness takes to forgive.
	avoidFailed = 5 * time.Minute
	// calmPlan is between two plans when nothing is without an owner: what has moved
	// is loaded by its first callers meanwhile. calmShare is how many times as long as
	// a plan takes it is at least.
	calmPlan, calmShare = 50 * time.Millisecond, 5
	// fewMoves is how many planned moves are under way at a time in a small
	// Runtime. In a large one half of the members may take part in one. What makes a
	// move short is that little else moves: of eight at a time, five at once on two
	// processors, the median took 42 ms, of two 16 ms.
	fewMoves = 2
	// mostTurns is in how many turns a member is emptied, if it has its share of the
	// shards: where there are very many, more move at a time, and it takes no longer
	// than some seconds.
	mostTurns = 64
	// slowMove is when a move waits for commands that its owner has under way, and
	// does not count as one of them any more.
	slowMove = time.Second
	// comingFor is how long a pod that is seen, or whose process has ended, is waited
	// for with moves that only even things out: it would take part in them.
	comingFor = 10 * time.Second
	// warmFor is how long a pod that is ready, or heard again, is left alone by such
	// moves. It still starts in earnest: connections are made, definitions read, its
	// node is busy with it; and callers of a shard that came in this second would wait
	// for all that.
	warmFor = time.Second
	// leavingFor is how long a pod that goes may keep its shards for one that comes in
	// its place, and leavingNeeds how much of its time it must have left then, by
	// Kubernetes' word, to hand them over.
	leavingFor, leavingNeeds = 5 * time.Second, 20 * time.Second
	// learnMore is how much longer a new leader waits for the others when one more
	// pod has told what it knows, and learnAtMost how long altogether.
	learnMore, learnAtMost = 300 * time.Millisecond, 10 * time.Second
	// loadPlan is between two plans that only changed loads call for. They are
	// averages over a minute.
	loadPlan = 10 * time.Second
	// ownersPause gathers changes of owners that come one by one.
	ownersPause = time.Millisecond
	// surveyEvery is how often a pod is asked what the store knows, which is how
	// projections are seen; sooner while something is being built.
	surveyEvery, surveySoon = 5 * time.Second, time.Second
	// farEvery is how often a projection's way forward alone is told.
	farEvery = 10 * time.Second
	// departedFor is how long a process that is gone is remembered: well beyond any
	// claim of it that may still come to light.
	departedFor = 10 * time.Minute
	// maxEvents is how many events of its pods a Runtime's loop may be behind.
	maxEvents = 4096
	// maxBatch is how many of them are taken between two looks at the clock.
	maxBatch = 1024
)
