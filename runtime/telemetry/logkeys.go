package telemetry

// Keys of log lines, so that one thing has one name in all of them. Values are
// what a person can act on: names as they stand in manifests, not internal ids.
const (
	KeyAggregate  = "aggregate"
	KeyProjection = "projection"
	KeyShard      = "shard"
	KeyEntity     = "entity"
	KeyCommand    = "command"
	KeyEpoch      = "epoch"
	KeyStore      = "store"
	KeyReason     = "reason"
	KeyError      = "error"
)
