package shard

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"

	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
	"github.com/leftfold/leftfold/controllers/liveness"
	"github.com/leftfold/leftfold/controllers/placement"
)

// pool is the loop of one Runtime. All but events and view belongs to its
// goroutine alone.
type pool struct {
	runtime types.NamespacedName
	poolConfig
	events chan event
	now    time.Time

	tracker      *liveness.Tracker
	observations []liveness.Observation
	// prompt: there is an observation that is not to wait for the next tick.
	prompt bool

	seats map[types.UID]*seat
	// unborn are the pods that have no address yet.
	unborn  map[types.UID]struct{}
	members map[string]*member
	// departed are those that were members, and since when they are not: an owner
	// of such a name is known to be gone.
	departed map[string]time.Time
	table

	// learning: nothing is done yet, for not all have told what they know. It ends
	// at learnBy at the latest, once the store has spoken.
	learning             bool
	learnBy, learnLast   time.Time
	podsSeen, storeSpoke bool

	definitions      map[definitionKey]Definition
	definitionsStale bool
	// aware counts, for each aggregate, the members that serve its definition.
	aware       map[string]int
	projections []Projection
	viewed      viewed

	// missing: Kubernetes is about to make a pod.
	missing bool
	// comingUntil is until when a pod that takes no shards yet is waited for.
	comingUntil time.Time
	// goingSince is since when every pod is going; zero: one is not, or will come.
	goingSince time.Time

	// owners lists shards whose owner is to be told; at once: before anything else.
	owners map[*shard]struct{}

	// When what is due. Zero: it is not.
	planAt, ownersAt, viewAt, surveyAt time.Time
	// When it was done last.
	planned, surveyed time.Time
	planTook          time.Duration
}

// poolConfig is what a pool needs of the world.
type poolConfig struct {
	settings liveness.Settings
	// dial begins a line to a pod. What happens on it comes back as events.
	dial func(pod) line
	// deletePod lets Kubernetes make another. It returns at once.
	deletePod func(pod, liveness.Reason)
	// publish shows a view, with what changed since the one before.
	publish func(*View, changes)
	metrics *metrics
	log     logr.Logger
	// remembered is what Shard objects say of restarts and failovers.
	remembered map[placement.ShardID]memory
}

// memory is what outlives the operator's process, in a Shard's status.
type memory struct {
	epoch    int64
	restarts int32
	failover *Failover
}

func newPool(runtime types.NamespacedName, config poolConfig) *pool {
	return &pool{
		runtime: runtime, poolConfig: config,
		events:  make(chan event, maxEvents),
		tracker: liveness.New(config.settings),
		seats:   map[types.UID]*seat{}, unborn: map[types.UID]struct{}{},
		members: map[string]*member{}, departed: map[string]time.Time{}, table: newTable(),
		learning: true, definitions: map[definitionKey]Definition{}, aware: map[string]int{},
		owners: map[*shard]struct{}{}, viewed: newViewed(),
	}
}

// run is the loop. It ends the lines when it ends.
func (p *pool) run(ctx context.Context) {
	defer p.end()
	ticker := time.NewTicker(p.settings.Interval)
	defer ticker.Stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	p.now = time.Now()
	p.learnBy, p.learnLast = p.now.Add(p.settings.Timeout), p.now.Add(learnAtMost)
	p.wantSurvey(p.now.Add(surveySoon))
	for {
		tick := false
		select {
		case <-ctx.Done():
			return
		case e := <-p.events:
			p.now = time.Now()
			p.handle(e)
			p.drainEvents()
		case <-ticker.C:
			p.now = time.Now()
			// What was said before the tick counts before it.
			p.drainEvents()
			tick = true
		case <-timer.C:
			p.now = time.Now()
		}
		p.turn(tick)
		timer.Reset(p.sleep())
	}
}

func (p *pool) end() {
	for _, at := range p.seats {
		at.line.close()
	}
}

func (p *pool) drainEvents() {
	for range maxBatch {
		select {
		case e := <-p.events:
			p.handle(e)
		default:
			return
		}
	}
}

// turn does all that is to be done now.
func (p *pool) turn(tick bool) {
	if tick {
		p.judgeTime()
	}
	for range maxVerdictRounds {
		if !tick && !p.prompt {
			break
		}
		observations := p.observations
		p.observations, p.prompt, tick = nil, false, false
		for _, v := range p.tracker.Step(p.now, observations) {
			p.obey(v)
		}
	}
	p.learn()
	if due(p.planAt, p.now) {
		p.plan()
	}
	if due(p.ownersAt, p.now) {
		p.pushOwners()
	}
	if due(p.surveyAt, p.now) {
		p.survey()
	}
	if due(p.viewAt, p.now) {
		p.show()
	}
}

// maxVerdictRounds: verdicts lead to observations (a member that died has left),
// and those to no further ones.
const maxVerdictRounds = 4

func due(at, now time.Time) bool { return !at.IsZero() && !at.After(now) }

// sleep is how long nothing is due but the ticker and events.
func (p *pool) sleep() time.Duration {
	next := p.now.Add(time.Minute)
	for _, at := range []time.Time{p.planAt, p.ownersAt, p.surveyAt, p.viewAt} {
		if !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	return max(0, time.Until(next))
}

// sooner sets what is due to the earlier of two times.
func sooner(at *time.Time, then time.Time) {
	if at.IsZero() || then.Before(*at) {
		*at = then
	}
}

// changed has the view made anew.
func (p *pool) changed() { sooner(&p.viewAt, p.now.Add(viewEvery)) }

// wantPlan has a plan made at the time.
func (p *pool) wantPlan(at time.Time) { sooner(&p.planAt, at) }

// wantCalmPlan has a plan made when that is worth it.
func (p *pool) wantCalmPlan() {
	p.wantPlan(later(p.now, p.planned.Add(max(calmPlan, calmShare*p.planTook))))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// observe puts observations down for liveness. All but signs of life are prompt.
func (p *pool) observe(seen ...liveness.Observation) {
	p.observations = append(p.observations, seen...)
	for _, o := range seen {
		if _, pong := o.(liveness.Pong); !pong {
			p.prompt = true
		}
	}
}

// handle takes in an event.
func (p *pool) handle(e event) {
	if e.taken != nil {
		defer close(e.taken)
	}
	if e.kind == podsSeen {
		p.seePods(e.pods, e.wanted)
		return
	}
	at := p.seats[e.uid]
	if at == nil {
		return // of a pod that is gone
	}
	switch e.kind {
	case opened:
		p.open(at, e.reply.GetWelcome())
	case heard:
		if m := at.member; m != nil && m.connected {
			p.hear(m, e.reply)
		}
	case broken:
		m := at.member
		p.disconnect(at)
		if m != nil {
			p.observe(liveness.Refused{Member: m.incarnation})
		}
	case refused:
		at.tried = true
		if m := at.member; m != nil {
			p.observe(liveness.Refused{Member: m.incarnation, Redial: true})
		}
		if at.gone {
			p.leaveSeat(at)
		}
	case lost, unanswered:
		at.tried = true
		p.disconnect(at)
		if at.gone && p.seats[e.uid] != nil {
			p.leaveSeat(at)
		}
	}
}

// hear takes in a reply.
func (p *pool) hear(m *member, reply *leftfoldv1.ControlReply) {
	switch r := reply.GetKind().(type) {
	case *leftfoldv1.ControlReply_Pong:
		// Nothing else that it says is a sign of life: where nothing reaches a pod, what
		// it has to tell still comes for a while, and it can be asked for nothing.
		p.observe(liveness.Pong{Member: m.incarnation})
		if m.unreachable {
			p.prompt = true
		}
		if m.ready != r.Pong.GetReady() {
			if m.ready = r.Pong.GetReady(); m.ready {
				m.since = p.now
			}
			p.wantPlan(p.now)
			p.definitionsStale = true
			p.changed()
		}
	case *leftfoldv1.ControlReply_Shard:
		p.hearShard(m, r.Shard)
	case *leftfoldv1.ControlReply_Loads:
		p.hearLoads(m, r.Loads)
	case *leftfoldv1.ControlReply_Definition:
		p.hearDefinition(m, r.Definition)
	case *leftfoldv1.ControlReply_Survey:
		p.hearSurvey(m, r.Survey)
	case *leftfoldv1.ControlReply_Draining:
		p.observe(liveness.Drains{Member: m.incarnation, Cause: liveness.Announced})
	}
}

// hearLoads takes in how busy a member's shards are.
func (p *pool) hearLoads(m *member, loads *leftfoldv1.Loads) {
	for _, l := range loads.GetLoads() {
		if s := p.shards[shardID(l.GetShard())]; s != nil && s.owner == m.incarnation {
			s.load = l.GetEventsPerSecond()
		}
	}
	p.wantPlan(later(p.now, p.planned.Add(loadPlan)))
}

// learn ends the time in which nothing is done, once enough is known.
func (p *pool) learn() {
	if !p.learning || !p.podsSeen || !p.storeSpoke {
		return
	}
	if p.now.Before(p.learnBy) {
		for _, at := range p.seats {
			told := at.member != nil && at.member.surveyed
			if !told && (!at.tried || at.member != nil && at.member.connected) {
				return
			}
		}
	}
	p.learning = false
	p.log.Info("all pods have told what they know", "members", len(p.members), "shards", len(p.shards))
	p.wantPlan(p.now)
	p.changed()
}
