package v1alpha1

// Defaults, as the schema applies them. A test compares each with what the API
// server writes.
const (
	// DefaultSecretKey is the key that CloudNativePG writes a URI under.
	DefaultSecretKey = "uri"
	// DefaultSchema is the PostgreSQL schema of an EventStore.
	DefaultSchema = "leftfold"
	// DefaultSQLiteStorage is the size of an SQLite store's volume.
	DefaultSQLiteStorage = "1Gi"
	// DefaultReplicas is the number of pods of a Runtime that names none.
	DefaultReplicas = 1
	// DefaultHeartbeatIntervalMilliseconds leaves room for several heartbeats
	// within the default timeout.
	DefaultHeartbeatIntervalMilliseconds = 200
	// DefaultHeartbeatTimeoutMilliseconds is how long a silent pod keeps its
	// shards.
	DefaultHeartbeatTimeoutMilliseconds = 1000
	// DefaultShards lets a small pool spread evenly and still grow.
	DefaultShards = 16
	// DefaultSnapshotEvery bounds what an entity's load replays to this many
	// events.
	DefaultSnapshotEvery = 100
	// DefaultPassivationIdleSeconds is how long an idle entity stays in memory.
	DefaultPassivationIdleSeconds = 120
	// DefaultDeduplicationCommands is how many of an entity's commands are
	// remembered at least.
	DefaultDeduplicationCommands = 128
	// DefaultDeduplicationMinutes is how long a command is remembered at least.
	DefaultDeduplicationMinutes = 10
	// UnobservedGeneration is status.observedGeneration of an object that no
	// controller has visited: never equal to a generation, so a reader that
	// compares the two waits.
	UnobservedGeneration = -1
)
