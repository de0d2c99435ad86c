package v1alpha1

// Condition types. Every kind has Ready; Reconciling and Stalled are there only
// while they apply, which is what kstatus, Flux and helm --wait read.
const (
	// ConditionReady is True when the object does what its spec says. Its
	// reason is the most telling one when it is not.
	ConditionReady = "Ready"
	// ConditionReconciling is True while the operator or the runtime is on its
	// way to what the spec says. It goes away when they have arrived.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is True when nothing will change until somebody changes
	// something: the message names the field and the fix. What was accepted
	// before goes on serving.
	ConditionStalled = "Stalled"
)

// Reasons of any kind.
const (
	// ReasonReady: the object does what its spec says. On Ready.
	ReasonReady = "Ready"
	// ReasonProgressing: on the way there. On Reconciling, and on Ready=False.
	ReasonProgressing = "Progressing"
	// ReasonDeleting: the object is being deleted and cleaned up after.
	ReasonDeleting = "Deleting"
	// ReasonNameTaken: an object of the name that the operator needs is there
	// already, and the operator did not make it. Stalled.
	ReasonNameTaken = "NameTaken"
	// ReasonRefused: the API server refuses an object that the spec leads to, such
	// as pods with an affinity that says nothing. The message names the field.
	// Stalled, or on Reconciling when a policy of the cluster forbids it.
	ReasonRefused = "Refused"
	// ReasonStoreNotFound: the EventStore that the object needs is not there.
	ReasonStoreNotFound = "StoreNotFound"
	// ReasonStoreNotReady: the EventStore is there but not Ready.
	ReasonStoreNotReady = "StoreNotReady"
	// ReasonRuntimeNotFound: the Runtime that the object names is not there.
	ReasonRuntimeNotFound = "RuntimeNotFound"
	// ReasonRuntimeNotReady: the Runtime is there but no pod of it is ready.
	ReasonRuntimeNotReady = "RuntimeNotReady"
	// ReasonAggregateNotFound: an Aggregate that the object names is not there.
	ReasonAggregateNotFound = "AggregateNotFound"
	// ReasonAggregateNotReady: an Aggregate that the object names is there, but
	// cannot be used as it is; its own conditions say why.
	ReasonAggregateNotReady = "AggregateNotReady"
	// ReasonInvalidExpression: an expression does not compile, or has another
	// type than its place needs. Stalled.
	ReasonInvalidExpression = "InvalidExpression"
	// ReasonInvalidType: a type is not declared, contains itself, or does not
	// fit its place. Stalled.
	ReasonInvalidType = "InvalidType"
	// ReasonUnknownName: a name stands for nothing that is declared, such as a
	// field that its event does not have. Stalled.
	ReasonUnknownName = "UnknownName"
	// ReasonHistoryNeedsIt: the change removes, renames or retypes what stored
	// events use. Stalled; the accepted definition goes on serving.
	ReasonHistoryNeedsIt = "HistoryNeedsIt"
)

// Reasons of an EventStore.
const (
	// ReasonSchemaInUse: the PostgreSQL schema belongs to another EventStore.
	// Stalled.
	ReasonSchemaInUse = "SchemaInUse"
	// ReasonSecretNotFound: the Secret with the connection is not there.
	ReasonSecretNotFound = "SecretNotFound"
	// ReasonSecretKeyMissing: the Secret lacks the key, or what it holds is not
	// a connection URI. Stalled.
	ReasonSecretKeyMissing = "SecretKeyMissing"
	// ReasonStoreUnreachable: the database does not answer, or refuses the role.
	ReasonStoreUnreachable = "StoreUnreachable"
	// ReasonStoreUnsuitable: the database answers but would not keep what it
	// acknowledges: synchronous_commit below on, a read-only server, a version
	// below 14, a network file system under SQLite. Stalled.
	ReasonStoreUnsuitable = "StoreUnsuitable"
	// ReasonSchemaTooNew: the tables were written by a newer release than this
	// one can read. Stalled.
	ReasonSchemaTooNew = "SchemaTooNew"
	// ReasonMigrating: the tables are being brought to this release. On
	// Reconciling.
	ReasonMigrating = "Migrating"
)

// Reasons of a Runtime.
const (
	// ReasonSingleReplicaStore: the store is SQLite, which one pod alone can
	// open, and spec.replicas is above 1. Stalled.
	ReasonSingleReplicaStore = "SingleReplicaStore"
	// ReasonPodsNotReady: fewer pods are ready than spec.replicas asks for.
	ReasonPodsNotReady = "PodsNotReady"
	// ReasonRollingOut: pods of an older revision are being replaced. On
	// Reconciling.
	ReasonRollingOut = "RollingOut"
	// ReasonTooManyConnections: the pods together would open more connections
	// than the database allows. Stalled.
	ReasonTooManyConnections = "TooManyConnections"
)

// Reasons of an Aggregate.
const (
	// ReasonShardsDiffer: the store holds events of an Aggregate of this name
	// with another number of shards. Stalled.
	ReasonShardsDiffer = "ShardsDiffer"
	// ReasonAggregateNameTaken: another Aggregate has the name in the same
	// store. Stalled.
	ReasonAggregateNameTaken = "AggregateNameTaken"
	// ReasonShardsNotOwned: some shards have no owner, so commands to their
	// entities wait.
	ReasonShardsNotOwned = "ShardsNotOwned"
)

// Reasons of a Shard.
const (
	// ReasonOwned: a pod owns the shard and serves it. On Ready.
	ReasonOwned = "Owned"
	// ReasonUnowned: no pod owns the shard. On Ready=False.
	ReasonUnowned = "Unowned"
	// ReasonClaiming: a pod is taking the shard over. On Reconciling.
	ReasonClaiming = "Claiming"
	// ReasonHandingOff: the shard moves from one living pod to another, as
	// planned. On Reconciling.
	ReasonHandingOff = "HandingOff"
	// ReasonRestartsExhausted: the shard failed on every pod it was tried on,
	// five times in a row. Stalled.
	ReasonRestartsExhausted = "RestartsExhausted"
	// ReasonStoreWentBack: the store has lost events of the shard that were
	// acknowledged, as after a failover to a copy that lagged, or a restore of an
	// older state. Stalled, on the Shard and its Aggregate, for as long as the
	// process lives that knows it: to go on without them, delete its pod.
	ReasonStoreWentBack = "StoreWentBack"
)

// Reasons of a Projection.
const (
	// ReasonTableNameTaken: another Projection, or a table that is not
	// Leftfold's, has the name. Stalled.
	ReasonTableNameTaken = "TableNameTaken"
	// ReasonSourcesApart: the Projection's sources are of more than one Runtime.
	// Stalled.
	ReasonSourcesApart = "SourcesApart"
	// ReasonRebuilding: a changed definition is being built beside the one that
	// serves. On Reconciling.
	ReasonRebuilding = "Rebuilding"
	// ReasonCatchingUp: the projection reads history that it has not seen. On
	// Reconciling.
	ReasonCatchingUp = "CatchingUp"
	// ReasonEntitiesQuarantined: events of some entities could not be applied;
	// those entities are parked, all others go on. On Ready=False.
	ReasonEntitiesQuarantined = "EntitiesQuarantined"
	// ReasonPaused: somebody paused the projection. On Ready=False.
	ReasonPaused = "Paused"
)

// FailoverReason says what made the operator move a shard off its owner.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:Pattern=`^[A-Z][A-Za-z0-9]*$`
type FailoverReason string

// Why a shard was moved off its owner.
const (
	// FailoverProcessDied: the pod's port refused a connection, twice.
	FailoverProcessDied FailoverReason = "ProcessDied"
	// FailoverUnreachable: the pod was silent for the heartbeat timeout.
	FailoverUnreachable FailoverReason = "Unreachable"
	// FailoverShardFailed: the pod reported that it cannot serve the shard.
	FailoverShardFailed FailoverReason = "ShardFailed"
	// FailoverOrphaned: a pod took the shard over while no operator was there.
	FailoverOrphaned FailoverReason = "Orphaned"
)
