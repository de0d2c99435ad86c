package shard

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
	"github.com/leftfold/leftfold/controllers/liveness"
)

// Kinds of definitions, as pods name them.
const (
	aggregateKind  = "Aggregate"
	projectionKind = "Projection"
)

// definitionKey names a definition.
type definitionKey struct{ kind, name string }

// hearDefinition takes in what a pod made of an object.
func (p *pool) hearDefinition(m *member, r *leftfoldv1.DefinitionReport) {
	key := definitionKey{r.GetKind(), r.GetName()}
	before := m.definitions[key]
	p.definitionsStale = true
	p.changed()
	// What the store knows follows from it: shards of a new aggregate above all.
	if m.surveyed {
		p.wantSurvey(p.now)
	}
	if r.GetGone() {
		p.define(m, key, nil)
		if key.kind == aggregateKind {
			m.gone[key.name] = struct{}{}
			if p.aggregates[key.name] != nil && p.allTold() && !p.serves(key.name) {
				p.dropAggregate(key.name)
			}
		}
		return
	}
	p.define(m, key, r)
	delete(m.gone, key.name)
	if key.kind != aggregateKind || r.GetAcceptedGeneration() == before.GetAcceptedGeneration() {
		return
	}
	p.wantPlan(p.now) // it may be given the aggregate's shards now
	if before == nil {
		return
	}
	if a := p.aggregates[key.name]; a != nil {
		for _, s := range a.shards {
			if s.phase == failing || s.phase == stalled {
				p.observe(liveness.Retry{Shard: liveness.ShardID(s.id)})
			}
		}
	}
}

// define puts down what a member made of an object; nil: it has it no more.
func (p *pool) define(m *member, key definitionKey, r *leftfoldv1.DefinitionReport) {
	before := m.definitions[key]
	if r == nil {
		delete(m.definitions, key)
	} else {
		m.definitions[key] = r
	}
	if key.kind != aggregateKind {
		return
	}
	if before.GetAcceptedGeneration() > 0 {
		p.aware[key.name]--
	}
	if r.GetAcceptedGeneration() > 0 {
		p.aware[key.name]++
	}
	if p.aware[key.name] == 0 {
		delete(p.aware, key.name)
	}
}

// undefine forgets what a member made of all objects.
func (p *pool) undefine(m *member) {
	for key := range m.definitions {
		p.define(m, key, nil)
	}
}

// mergeDefinitions makes one of what the pods tell. An object that no ready pod
// tells of now stays as it was seen last.
func (p *pool) mergeDefinitions() []Definition {
	if p.definitionsStale {
		p.definitionsStale = false
		p.mergeReports()
	}
	list := make([]Definition, 0, len(p.definitions))
	for _, d := range p.definitions {
		list = append(list, d)
	}
	slices.SortFunc(list, func(a, b Definition) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return list
}

func (p *pool) mergeReports() {
	reports := map[definitionKey][]*leftfoldv1.DefinitionReport{}
	told, ready := 0, 0
	for _, m := range p.members {
		if !m.connected || m.draining || !m.ready {
			continue
		}
		ready++
		if m.surveyed {
			told++
		}
		for key, r := range m.definitions {
			reports[key] = append(reports[key], r)
		}
	}
	for key := range p.definitions {
		// Only when all have told all they know is one that is missing gone.
		if ready > 0 && told == ready && reports[key] == nil {
			delete(p.definitions, key)
		}
	}
	for key, list := range reports {
		p.definitions[key] = mergeDefinition(key, list, ready)
	}
}

// mergeDefinition makes one of the reports of an object, by ready pods. Of objects
// that took each other's place, the one counts that most have seen.
func mergeDefinition(key definitionKey, reports []*leftfoldv1.DefinitionReport, ready int) Definition {
	seen := map[string]int{}
	for _, r := range reports {
		seen[r.GetUid()]++
	}
	uid := reports[0].GetUid()
	for other, count := range seen {
		if count > seen[uid] || count == seen[uid] && other < uid {
			uid = other
		}
	}
	d := Definition{Kind: key.kind, Name: key.name, UID: types.UID(uid), Observed: -1}
	lowest := int64(-1)
	for _, r := range reports {
		if r.GetUid() != uid {
			continue
		}
		if lowest < 0 || r.GetAcceptedGeneration() < lowest {
			lowest = r.GetAcceptedGeneration()
		}
		// A reason outweighs none of the same generation: some pod does not serve it.
		if g := r.GetObservedGeneration(); g > d.Observed || g == d.Observed && d.Reason == "" {
			d.Observed, d.Reason, d.Message = g, r.GetReason(), r.GetDetail()
		}
	}
	if seen[uid] < ready {
		lowest = 0 // a ready pod has not seen the object yet
	}
	d.Accepted = max(0, lowest)
	return d
}
