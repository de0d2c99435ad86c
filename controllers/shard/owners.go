package shard

import (
	"slices"
	"time"

	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
)

// tellOwner has all pods told who owns a shard.
func (p *pool) tellOwner(s *shard) {
	s.aggregate.owners = nil
	p.owners[s] = struct{}{}
	sooner(&p.ownersAt, p.now.Add(ownersPause))
}

// maxOwners is how many owners a message names, about 40 KiB: a connection keeps room
// for the largest message it has sent or received as long as it lasts.
const maxOwners = 500

// pushOwners tells all pods the owners that have changed. The same messages serve all.
func (p *pool) pushOwners() {
	p.ownersAt = time.Time{}
	if len(p.owners) == 0 {
		return
	}
	changed := make([]*leftfoldv1.Owner, 0, len(p.owners))
	for s := range p.owners {
		if p.shards[s.id] == s {
			changed = append(changed, p.ownerOf(s))
		}
	}
	clear(p.owners)
	for some := range slices.Chunk(changed, maxOwners) {
		message := ownersMessage(some)
		for _, m := range p.members {
			if m.connected {
				m.send(message)
			}
		}
	}
}

// pushAllOwners tells a pod that came all owners, an aggregate at a time, so that
// no message grows large. The messages are kept for the next one that comes.
func (p *pool) pushAllOwners(m *member) {
	for _, a := range p.aggregates {
		if a.owners == nil {
			owners := make([]*leftfoldv1.Owner, 0, len(a.shards))
			for _, s := range a.shards {
				owners = append(owners, p.ownerOf(s))
			}
			a.owners = ownersMessage(owners)
		}
		m.send(a.owners)
	}
}

// ownerOf is who answers for a shard: nobody, while no process says that it does.
func (p *pool) ownerOf(s *shard) *leftfoldv1.Owner {
	owner := &leftfoldv1.Owner{Shard: s.wire(), Epoch: s.epoch}
	if m := p.members[s.owner]; m != nil && s.serving {
		owner.Incarnation, owner.Address = m.incarnation, m.address
	}
	return owner
}

func ownersMessage(owners []*leftfoldv1.Owner) *leftfoldv1.ControlRequest {
	return &leftfoldv1.ControlRequest{Kind: &leftfoldv1.ControlRequest_Owners{Owners: &leftfoldv1.Owners{Owners: owners}}}
}
