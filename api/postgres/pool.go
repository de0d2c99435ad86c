package postgres

// How many connections a runtime pod uses at most, pool by pool. The runtime's
// options say what each pool is for, and why it has this size.
const (
	AppendConnections     = 4
	AbandonedConnections  = 2
	ControlConnections    = 3
	QueryConnections      = 5
	ProjectionConnections = 4

	// ConnectionsPerPod is all of them. Multiplied by the pods that run at once, a
	// surge of an update included, it must stay below [Database.Connections].
	ConnectionsPerPod = AppendConnections + AbandonedConnections + ControlConnections + QueryConnections + ProjectionConnections
)
