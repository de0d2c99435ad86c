package failover

import (
	"context"
	"time"
)

// heartbeatTimeout is the bank's, the default.
const heartbeatTimeout = time.Second

// Fault is something that happens to a bank.
type Fault struct {
	// Name is how it is asked for, Title how it is told.
	Name, Title string
	// Rounds is how often it happens in a long run.
	Rounds int
	// Long ones are for make failover alone.
	Long bool
	// Planned: there is no one moment of failure, so pauses are looked at.
	Planned bool
	// Promised is what its times must not exceed.
	Promised Promise

	// apart: the victim must not share its node with the operator's leader.
	apart   bool
	doors   doors
	excused excuse
	// prepare makes the bank ready for it, once, and undoes that.
	prepare func(ctx context.Context, c *Campaign) (undo func(context.Context) error, err error)
	// do does it, waits until callers are served again where that has to come first,
	// and mends what does not mend itself. It tells when the shards failed.
	do func(ctx context.Context, r *round) (time.Time, error)
}

// pulse is how long the pulse rests.
func (f *Fault) pulse() time.Duration {
	if f.Planned {
		return restfulPulse
	}
	return pulseEvery
}

// Promise bounds the 99th percentiles; 0: nothing is promised.
type Promise struct {
	// Written is from the fault until a shard takes writes, Pause how long it takes
	// none, Command how long any command takes.
	Written, Pause, Command time.Duration
}

// doors are those by which customers come in, besides the Service.
type doors int

const (
	ofOthers doors = iota // pods on other nodes than the victim
	ofAll
	ofNone
)

// excuse is what may become of a command at a fault. That it is lost, or happens
// twice, is never excused.
type excuse int

const (
	noFailure  excuse = iota
	connection        // who was connected to what died may lose the connection
	retry             // it may be answered that it is to be sent again
)

const (
	silence = heartbeatTimeout + 700*time.Millisecond
	brief   = 100 * time.Millisecond
	usual   = 250 * time.Millisecond
)

// Faults are all, in the order in which they are run.
func Faults() []*Fault {
	return []*Fault{
		{
			Name: "none", Title: "nothing happens, but a container that has no part in it comes and goes", Rounds: 20, Long: true, Planned: true,
			do: bystander,
		},
		{
			Name: "kill", Title: "kill -9 of a runtime process", Rounds: 100,
			Promised: Promise{Written: 500 * time.Millisecond}, excused: connection, do: kill,
		},
		{
			Name: "cut", Title: "a node is cut off", Rounds: 20,
			Promised: Promise{Written: silence}, apart: true, excused: retry, do: cut,
		},
		{
			Name: "deaf", Title: "nothing reaches a node", Rounds: 10,
			Promised: Promise{Written: silence}, apart: true, excused: retry, do: deafen,
		},
		{
			Name: "mute", Title: "nothing leaves a node", Rounds: 10,
			Promised: Promise{Written: silence}, apart: true, excused: retry, do: mute,
		},
		{
			Name: "loss", Title: "a node loses one packet of twenty for five minutes: no false takeover", Rounds: 1, Planned: true,
			apart: true, excused: retry, do: lose,
		},
		{
			Name: "freeze", Title: "a process is frozen past its takeover, and goes on", Rounds: 10,
			Promised: Promise{Written: silence}, doors: ofAll, excused: retry, do: freeze,
		},
		{
			Name: "panic", Title: "shards panic", Rounds: 5, Planned: true,
			prepare: breakable, do: panicShards,
		},
		{
			Name: "stall", Title: "a shard fails wherever it is served, and its aggregate changes", Rounds: 1,
			excused: retry, prepare: breakable, do: stall,
		},
		{
			Name: "delete", Title: "a pod is deleted", Rounds: 20, Planned: true,
			Promised: Promise{Pause: brief, Command: usual}, do: deletePod,
		},
		{
			Name: "roll", Title: "a rolling update replaces all pods", Rounds: 10, Planned: true,
			Promised: Promise{Pause: brief, Command: usual}, doors: ofNone, do: roll,
		},
		{
			Name: "scale", Title: "three pods become five, two, and three again", Rounds: 5, Planned: true,
			Promised: Promise{Pause: brief, Command: usual}, doors: ofNone, do: rescale,
		},
		{
			Name: "drain", Title: "a node is drained", Rounds: 5, Planned: true,
			Promised: Promise{Pause: brief, Command: usual}, do: drainNode,
		},
		{
			Name: "leader", Title: "the operator's leader is killed", Rounds: 5, Planned: true,
			Promised: Promise{Command: usual}, doors: ofAll, do: killLeader,
		},
		{
			Name: "both", Title: "the operator's leader and a runtime process are killed together", Rounds: 10,
			Promised: Promise{Written: 7 * time.Second}, excused: connection, do: killWithLeader,
		},
		{
			Name: "alone", Title: "operators, API server and a runtime process are down together", Rounds: 5,
			Promised: Promise{Written: heartbeatTimeout + 3*time.Second}, excused: connection, do: leaveAlone,
		},
		{
			Name: "database", Title: "PostgreSQL is down for 20 s", Rounds: 3,
			Promised: Promise{Written: 3 * time.Second}, doors: ofAll, excused: retry, do: database,
		},
		{
			Name: "all", Title: "both operators and all runtime processes are killed at once", Rounds: 5,
			doors: ofNone, excused: retry, do: killAll,
		},
	}
}
