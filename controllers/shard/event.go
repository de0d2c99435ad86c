package shard

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
)

// pod is what Kubernetes tells of a runtime pod that is not at its end.
type pod struct {
	name     string
	uid      types.UID
	node     string
	zone     string
	revision int64
	// dial is where to reach it, host:port. Empty: it has no address yet.
	dial string
	// ready is its condition Ready.
	ready bool
	// deleted: it has a deletion timestamp; endsAt is that: when it is killed.
	deleted bool
	endsAt  time.Time
}

// line is the way to a pod. Its methods return at once.
type line interface {
	// send puts a message into the row. What cannot be sent is lost together with
	// the connection.
	send(*leftfoldv1.ControlRequest)
	// redial dials now, if there is no connection.
	redial()
	// reset gives up the connection, if there is one, and dials anew.
	reset()
	// close ends the line for good.
	close()
}

// eventKind says what has happened.
type eventKind int

const (
	// podsSeen: these are the Runtime's pods now.
	podsSeen eventKind = iota
	// opened: the pod answered; reply is its Welcome.
	opened
	// heard: a reply came.
	heard
	// broken: the pod's side ended the connection, or it was reset.
	broken
	// lost: the connection ended otherwise, which proves nothing.
	lost
	// refused: a dial was refused or reset.
	refused
	// unanswered: a dial came to nothing otherwise.
	unanswered
)

// event is what a pool's loop hears, in the order in which it happened on a line.
type event struct {
	kind  eventKind
	uid   types.UID // of the pod; but podsSeen
	reply *leftfoldv1.ControlReply
	pods  []pod
	// wanted is how many pods there should be, with pods.
	wanted int
	// taken is closed once the loop has taken it in; nil: nobody waits for that.
	taken chan<- struct{}
}
