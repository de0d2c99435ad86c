package shard

import (
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
	"github.com/leftfold/leftfold/controllers/liveness"
	"github.com/leftfold/leftfold/controllers/placement"
)

// seat is a pod and the line to it.
type seat struct {
	pod  pod
	line line
	// member is the process in it as far as is known: by its Welcome, or by the
	// store, which has its address.
	member *member
	// answered or refused a dial since the pool began: it need not be waited for.
	tried bool
	// gone: the pod is no more in Kubernetes; the seat stays while it is connected.
	gone bool
}

// member is a process that can own shards.
type member struct {
	incarnation, address string
	// seat is nil while no pod is known of it.
	seat *seat
	// connected: there is a stream to it. ready: it says it takes grants.
	connected, ready bool
	// since is when it said that last, not having said it before.
	since time.Time
	// draining: it goes, and is to be emptied; drainingSince is when that was heard.
	draining      bool
	drainingSince time.Time
	// unreachable: its shards were given up, but it may come back.
	unreachable bool
	// told holds the shards that it named on this stream, until it has told all.
	told map[placement.ShardID]struct{}
	// surveyed: it has told all it knows, on this stream.
	surveyed bool
	// hearing is the survey that it is telling; nil: it is telling none.
	hearing *hearing
	// progress is when it last told something of a grant. It is given no shards
	// until slowUntil, since a claim did not end there, unless nobody else is left.
	progress, slowUntil time.Time
	// asked is when it was asked last what the store knows.
	asked time.Time
	// definitions that it has told of; gone lists aggregates that it had and has no
	// more.
	definitions map[definitionKey]*leftfoldv1.DefinitionReport
	gone        map[string]struct{}
}

// grantable: it can be asked to take a shard.
func (m *member) grantable() bool {
	return m != nil && m.connected && m.ready && !m.unreachable
}

func (m *member) send(r *leftfoldv1.ControlRequest) {
	if m.seat != nil {
		m.seat.line.send(r)
	}
}

// seePods takes in which pods there are, and how many there should be.
func (p *pool) seePods(pods []pod, wanted int) {
	p.podsSeen, p.missing = true, isMissing(pods, wanted)
	present := map[types.UID]bool{}
	for _, seen := range pods {
		present[seen.uid] = true
		at := p.seats[seen.uid]
		if at == nil {
			if seen.dial == "" {
				p.seeUnborn(seen)
				continue // it is too early for it
			}
			at = &seat{pod: seen, line: p.dial(seen)}
			p.seats[seen.uid] = at
			p.comingUntil = p.now.Add(comingFor)
			p.adoptGhost(at)
		}
		p.seePod(at, seen)
	}
	maps.DeleteFunc(p.unborn, func(uid types.UID, _ struct{}) bool { return !present[uid] || p.seats[uid] != nil })
	for uid, at := range p.seats {
		if !present[uid] {
			at.gone = true
			if at.member == nil || !at.member.connected {
				p.leaveSeat(at)
			} else {
				p.observe(liveness.Drains{Member: at.member.incarnation, Cause: liveness.PodDeleted})
			}
		}
	}
	staying := slices.ContainsFunc(pods, func(seen pod) bool { return !seen.deleted })
	switch {
	case staying:
		p.goingSince = time.Time{}
	case p.goingSince.IsZero():
		p.goingSince = p.now
	}
	p.wantPlan(p.now)
	p.changed()
}

// isMissing tells whether Kubernetes is about to make a pod: not all are of the newest
// revision, and there are no more than wanted; in an update there is one more.
func isMissing(pods []pod, wanted int) bool {
	stay, newest, revision := 0, 0, int64(0)
	for _, seen := range pods {
		if seen.deleted {
			continue
		}
		stay++
		if seen.revision > revision {
			newest, revision = 0, seen.revision
		}
		if seen.revision == revision {
			newest++
		}
	}
	return newest < wanted && stay <= wanted
}

// seeUnborn takes in a pod without an address: it is about to come, if it is not to go
// before.
func (p *pool) seeUnborn(seen pod) {
	if seen.deleted {
		delete(p.unborn, seen.uid)
		return
	}
	if _, known := p.unborn[seen.uid]; !known {
		p.unborn[seen.uid] = struct{}{}
		p.comingUntil = p.now.Add(comingFor)
	}
}

func (p *pool) seePod(at *seat, seen pod) {
	before := at.pod
	at.pod, at.gone = seen, false
	m := at.member
	if m == nil {
		return
	}
	p.tellPod(m)
	if before.node != seen.node {
		p.markMember(m)
	}
}

// tellPod tells liveness what Kubernetes says of a member's pod.
func (p *pool) tellPod(m *member) {
	p.observe(liveness.Readiness{Member: m.incarnation, Ready: m.seat.pod.ready})
	if m.seat.pod.deleted {
		p.observe(liveness.Drains{Member: m.incarnation, Cause: liveness.PodDeleted})
	}
}

// leaveSeat forgets a pod that is gone from Kubernetes and cannot be reached.
func (p *pool) leaveSeat(at *seat) {
	at.line.close()
	delete(p.seats, at.pod.uid)
	if m := at.member; m != nil {
		p.lose(m, liveness.Silent, p.now)
		p.forget(m)
	}
	p.changed()
}

// adoptGhost finds the process that the store has at a pod's address.
func (p *pool) adoptGhost(at *seat) {
	for _, m := range p.members {
		if m.seat == nil && m.address == at.pod.dial {
			m.seat, at.member = at, m
			return
		}
	}
}

// open begins a stream: the pod has said who it is.
func (p *pool) open(at *seat, w *leftfoldv1.Welcome) {
	at.tried = true
	for _, m := range p.members {
		same := m.seat == at || m.address == w.GetAddress()
		if same && m.incarnation != w.GetIncarnation() {
			p.replaced(m)
		}
	}
	m := p.members[w.GetIncarnation()]
	if m == nil {
		m = &member{incarnation: w.GetIncarnation()}
		p.members[m.incarnation] = m
		delete(p.departed, m.incarnation)
	}
	m.address, m.seat, at.member = w.GetAddress(), at, m
	p.undefine(m)
	m.definitions, m.gone = map[definitionKey]*leftfoldv1.DefinitionReport{}, map[string]struct{}{}
	m.connected, m.surveyed, m.hearing, m.told = true, false, nil, map[placement.ShardID]struct{}{}
	m.progress = p.now
	p.observe(liveness.Joined{Member: m.incarnation}, liveness.Pong{Member: m.incarnation})
	p.tellPod(m)
	p.pushAllOwners(m)
	p.changed()
	p.log.V(1).Info("a pod answers", "pod", at.pod.name, "incarnation", m.incarnation, "version", w.GetVersion())
}

// replaced: another process answers in its place, so it is dead.
func (p *pool) replaced(m *member) {
	m.connected, m.ready = false, false
	p.observe(
		liveness.Refused{Member: m.incarnation},
		liveness.Refused{Member: m.incarnation, Redial: true})
}

// disconnect: there is no stream any more. What follows from it, liveness says.
func (p *pool) disconnect(at *seat) {
	m := at.member
	if m == nil || !m.connected {
		return
	}
	m.connected, m.ready, m.surveyed, m.told = false, false, false, nil
	p.comingUntil = p.now.Add(comingFor)
	p.changed()
	if at.gone {
		p.leaveSeat(at)
	}
}

// forget a member that is no more to be watched.
func (p *pool) forget(m *member) {
	p.undefine(m)
	delete(p.members, m.incarnation)
	p.departed[m.incarnation] = p.now
	if m.seat != nil && m.seat.member == m {
		m.seat.member = nil
	}
	p.observe(liveness.Left{Member: m.incarnation})
	p.definitionsStale = true
	p.changed()
}

// hasDeparted tells whether a process is known to be gone.
func (p *pool) hasDeparted(incarnation string) bool {
	_, departed := p.departed[incarnation]
	return departed
}

// rememberDeparted forgets those that left long ago.
func (p *pool) rememberDeparted() {
	for incarnation, at := range p.departed {
		if p.now.Sub(at) > departedFor {
			delete(p.departed, incarnation)
		}
	}
}

// ghost begins to watch an owner that the store names and that was not heard of.
func (p *pool) ghost(incarnation, address string) *member {
	m := &member{incarnation: incarnation, address: address}
	p.members[incarnation] = m
	for _, at := range p.seats {
		if at.member == nil && at.pod.dial == address {
			m.seat, at.member = at, m
		}
	}
	p.observe(liveness.Joined{Member: incarnation})
	return m
}

// markMember has all that is told of a member's shards made anew.
func (p *pool) markMember(m *member) {
	for _, s := range p.shards {
		if s.owner == m.incarnation {
			s.dirty = true
		}
	}
	p.changed()
}
