package shard

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
	"github.com/leftfold/leftfold/controllers/placement"
)

// store is a toy of the real one: it fences by epoch, and no more.
type store struct {
	mu          sync.Mutex
	rows        map[placement.ShardID]*row
	beats       map[string]time.Time // of members that live; since when they do not, of others
	alive       map[string]bool
	projections []*leftfoldv1.SurveyedProjection
	counts      map[string]int // of shards, by owner

	// staleFor is how old a survey may be; 0: not at all.
	staleFor   time.Duration
	read       *leftfoldv1.Survey
	readAt     time.Time
	unreadable bool // its rows cannot be read now
}

type row struct {
	epoch          int64
	owner, address string
	slots          [2]int32
	claims         []string // every owner there was
}

func newStore(aggregates map[string]int) *store {
	s := &store{
		rows: map[placement.ShardID]*row{}, beats: map[string]time.Time{}, alive: map[string]bool{}, counts: map[string]int{},
	}
	for name, shards := range aggregates {
		s.add(name, shards)
	}
	return s
}

func (s *store) add(aggregate string, shards int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	width := 65536 / shards
	s.counts[""] += shards
	for n := range shards {
		s.rows[placement.ShardID{Aggregate: aggregate, Number: n}] = &row{slots: [2]int32{int32(n * width), int32((n+1)*width - 1)}}
	}
}

// claim is the store's fence.
func (s *store) claim(id placement.ShardID, expected int64, owner, address string) (row, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rows[id]
	if r.epoch != expected {
		return *r, false
	}
	r.epoch++
	s.owned(r, owner, address)
	r.claims = append(r.claims, owner)
	return *r, true
}

func (s *store) release(id placement.ShardID, epoch int64, owner string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rows[id]
	if r.epoch != epoch || r.owner != owner {
		return false
	}
	s.owned(r, "", "")
	return true
}

func (s *store) owned(r *row, owner, address string) {
	s.counts[r.owner]--
	s.counts[owner]++
	r.owner, r.address = owner, address
}

func (s *store) row(id placement.ShardID) row {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *s.rows[id]
}

// owners tells how many shards each incarnation owns.
func (s *store) owners() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.counts, func(_ string, count int) bool { return count == 0 })
	return maps.Clone(s.counts)
}

// forgetClaim undoes a shard's last claim, as a failover to a copy that lags does,
// and gives back who had the shard before.
func (s *store) forgetClaim(id placement.ShardID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rows[id]
	r.epoch--
	r.claims = r.claims[:len(r.claims)-1]
	s.owned(r, r.claims[len(r.claims)-1], r.address)
}

// remove takes an aggregate out.
func (s *store) remove(aggregate string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, r := range s.rows {
		if id.Aggregate == aggregate {
			s.counts[r.owner]--
			delete(s.rows, id)
		}
	}
}

// epochs adds up how often shards were claimed.
func (s *store) epochs() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := int64(0)
	for _, r := range s.rows {
		sum += r.epoch
	}
	return sum
}

func (s *store) beat(incarnation string, alive bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.beats[incarnation], s.alive[incarnation] = time.Now(), alive
}

// down makes the store unreadable, or readable again.
func (s *store) down(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unreadable = down
}

func (s *store) survey() *leftfoldv1.Survey {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unreadable {
		return &leftfoldv1.Survey{Error: "the store is down"}
	}
	if s.staleFor > 0 && time.Since(s.readAt) < s.staleFor {
		return s.read
	}
	survey := &leftfoldv1.Survey{Projections: slices.Clone(s.projections)}
	for id, r := range s.rows {
		survey.Shards = append(survey.Shards, &leftfoldv1.SurveyedShard{
			Shard:     &leftfoldv1.Shard{Aggregate: id.Aggregate, Number: int32(id.Number)},
			FirstSlot: r.slots[0], LastSlot: r.slots[1], Epoch: r.epoch, Owner: r.owner, Address: r.address,
		})
	}
	for incarnation, at := range s.beats {
		age := time.Since(at)
		if s.alive[incarnation] {
			age = 0
		}
		survey.Members = append(survey.Members, &leftfoldv1.SurveyedMember{Incarnation: incarnation, Age: durationpb.New(age)})
	}
	s.read, s.readAt = survey, time.Now()
	return survey
}

// process is a runtime pod's process, as far as the operator sees one: it claims
// what it is granted, releases what it is asked to, and tells of it.
type process struct {
	store                     *store
	uid, incarnation, address string

	mu       sync.Mutex
	tell     func(*leftfoldv1.ControlReply) // to the leader; nil: none is here
	term     int64
	stream   int // counts leaders' streams
	notReady bool
	draining bool
	frozen   bool
	shards   map[placement.ShardID]*leftfoldv1.ShardReport
	// definitions that it has: generation accepted by name.
	definitions map[string]int64
	// ails says why a shard cannot be served here; nil: it can.
	ails func(placement.ShardID) *leftfoldv1.ShardReport
	// stuck: a claim of the shard never ends.
	stuck func(placement.ShardID) bool
	// lags: it has claimed the shard, and does not get to serve it.
	lags func(placement.ShardID) bool
	// clings: it does not release the shard.
	clings func(placement.ShardID) bool
	// told is what it knows of owners, released and granted what it was asked.
	told              map[placement.ShardID]*leftfoldv1.Owner
	grants, releases  int
	refusals          int
	asked             int // surveys
	mostOwners        int // in a message
	drainAsked        bool
	forgetful         bool // keeps no owners
	nobodyBeforeOwner map[placement.ShardID]bool
}

func newProcess(s *store, uid, incarnation, address string) *process {
	s.beat(incarnation, true)
	p := &process{
		store: s, uid: uid, incarnation: incarnation, address: address,
		shards: map[placement.ShardID]*leftfoldv1.ShardReport{}, definitions: map[string]int64{},
		told: map[placement.ShardID]*leftfoldv1.Owner{}, nobodyBeforeOwner: map[placement.ShardID]bool{},
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.rows {
		p.definitions[id.Aggregate] = 1
	}
	return p
}

// termSeen is the refusal of a leader of too low a term.
type termSeen int64

func (t termSeen) Error() string { return fmt.Sprintf("term %d was seen", int64(t)) }

// admit takes a leader in and tells it all there is.
func (p *process) admit(hello *leftfoldv1.Hello, tell func(*leftfoldv1.ControlReply)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if hello.GetPodUid() != p.uid {
		return fmt.Errorf("this is pod %q, not %q", p.uid, hello.GetPodUid())
	}
	if hello.GetTerm() < p.term {
		return termSeen(p.term)
	}
	p.term, p.tell = hello.GetTerm(), tell
	p.stream++
	tell(&leftfoldv1.ControlReply{Kind: &leftfoldv1.ControlReply_Welcome{Welcome: &leftfoldv1.Welcome{
		PodUid: p.uid, Incarnation: p.incarnation, Address: p.address,
	}}})
	if p.draining {
		tell(&leftfoldv1.ControlReply{Kind: &leftfoldv1.ControlReply_Draining{Draining: &leftfoldv1.Draining{}}})
	}
	for _, id := range slices.SortedFunc(maps.Keys(p.shards), func(a, b placement.ShardID) int { return a.Number - b.Number }) {
		tell(&leftfoldv1.ControlReply{Kind: &leftfoldv1.ControlReply_Shard{Shard: p.shards[id]}})
	}
	for name := range p.definitions {
		tell(p.definition(name))
	}
	tell(&leftfoldv1.ControlReply{Kind: &leftfoldv1.ControlReply_Survey{Survey: p.store.survey()}})
	return nil
}

func (p *process) definition(name string) *leftfoldv1.ControlReply {
	return &leftfoldv1.ControlReply{Kind: &leftfoldv1.ControlReply_Definition{Definition: &leftfoldv1.DefinitionReport{
		Kind: aggregateKind, Name: name, Uid: "uid-" + name,
		ObservedGeneration: p.definitions[name], AcceptedGeneration: p.definitions[name], Gone: p.definitions[name] == 0,
	}}}
}

// define has the process take an aggregate up, or give it up (generation 0).
func (p *process) define(name string, generation int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.definitions[name] = generation
	if p.tell != nil {
		p.tell(p.definition(name))
	}
	if generation == 0 {
		delete(p.definitions, name)
	}
}

// leave: a leader's stream has ended.
func (p *process) leave(stream int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stream == stream {
		p.tell = nil
	}
}

// current is the number of the present stream.
func (p *process) current() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stream
}

// announce has the process say that it drains.
func (p *process) announce() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.draining = true
	if p.tell != nil {
		p.tell(&leftfoldv1.ControlReply{Kind: &leftfoldv1.ControlReply_Draining{Draining: &leftfoldv1.Draining{}}})
	}
}

// receive does what the leader asks.
func (p *process) receive(request *leftfoldv1.ControlRequest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen {
		return
	}
	switch r := request.GetKind().(type) {
	case *leftfoldv1.ControlRequest_Ping:
		p.reply(&leftfoldv1.ControlReply{Kind: &leftfoldv1.ControlReply_Pong{Pong: &leftfoldv1.Pong{
			Number: r.Ping.GetNumber(), Ready: !p.notReady,
		}}})
	case *leftfoldv1.ControlRequest_Grant:
		p.grants++
		p.take(shardID(r.Grant.GetShard()), r.Grant.GetExpectedEpoch(), false)
	case *leftfoldv1.ControlRequest_Release:
		p.releases++
		p.giveUp(shardID(r.Release.GetShard()), r.Release.GetEpoch())
	case *leftfoldv1.ControlRequest_Owners:
		p.mostOwners = max(p.mostOwners, len(r.Owners.GetOwners()))
		for _, o := range r.Owners.GetOwners() {
			p.learn(o)
		}
	case *leftfoldv1.ControlRequest_Survey:
		p.asked++
		p.reply(&leftfoldv1.ControlReply{Kind: &leftfoldv1.ControlReply_Survey{Survey: p.store.survey()}})
	case *leftfoldv1.ControlRequest_Drain:
		p.drainAsked = true
	}
}

// learn merges an owner as the wire's comments say.
func (p *process) learn(o *leftfoldv1.Owner) {
	if p.forgetful {
		return
	}
	id := shardID(o.GetShard())
	before := p.told[id]
	if before != nil && o.GetEpoch() < before.GetEpoch() {
		return
	}
	if o.GetIncarnation() == "" {
		p.nobodyBeforeOwner[id] = true
	}
	p.told[id] = o
}

func (p *process) reply(r *leftfoldv1.ControlReply) {
	if p.tell != nil {
		p.tell(r)
	}
}

// report tells of a shard, and keeps it for the next leader as the real one does.
func (p *process) report(r *leftfoldv1.ShardReport) {
	switch r.GetState() {
	case leftfoldv1.ShardState_SHARD_STATE_RELEASED, leftfoldv1.ShardState_SHARD_STATE_REFUSED:
		delete(p.shards, shardID(r.GetShard()))
	default:
		p.shards[shardID(r.GetShard())] = r
	}
	p.reply(&leftfoldv1.ControlReply{Kind: &leftfoldv1.ControlReply_Shard{Shard: r}})
}

func wireOf(id placement.ShardID) *leftfoldv1.Shard {
	return &leftfoldv1.Shard{Aggregate: id.Aggregate, Number: int32(id.Number)}
}

// take claims a shard, on a grant or by itself.
func (p *process) take(id placement.ShardID, expected int64, orphan bool) {
	wire := wireOf(id)
	if !orphan {
		p.report(&leftfoldv1.ShardReport{Shard: wire, State: leftfoldv1.ShardState_SHARD_STATE_CLAIMING, Epoch: expected})
	}
	if p.stuck != nil && p.stuck(id) {
		return
	}
	r, ok := p.store.claim(id, expected, p.incarnation, p.address)
	if !ok {
		p.refusals++
		p.report(&leftfoldv1.ShardReport{
			Shard: wire, State: leftfoldv1.ShardState_SHARD_STATE_REFUSED, Epoch: r.epoch, Owner: r.owner, Address: r.address,
		})
		return
	}
	if !orphan {
		p.report(&leftfoldv1.ShardReport{Shard: wire, State: leftfoldv1.ShardState_SHARD_STATE_CLAIMING, Epoch: r.epoch})
	}
	if p.lags != nil && p.lags(id) {
		return
	}
	if p.ails != nil {
		if failed := p.ails(id); failed != nil {
			failed.Shard, failed.Epoch, failed.State = wire, r.epoch, leftfoldv1.ShardState_SHARD_STATE_FAILED
			p.report(failed)
			return
		}
	}
	p.report(&leftfoldv1.ShardReport{
		Shard: wire, State: leftfoldv1.ShardState_SHARD_STATE_SERVING, Epoch: r.epoch, Orphan: orphan,
	})
}

// adopt has the process claim a shard by itself.
func (p *process) adopt(id placement.ShardID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.take(id, p.store.row(id).epoch, true)
}

// fail has a shard that is served here fail.
func (p *process) fail(id placement.ShardID, cause leftfoldv1.FailureCause, detail string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.report(&leftfoldv1.ShardReport{
		Shard: wireOf(id), State: leftfoldv1.ShardState_SHARD_STATE_FAILED,
		Epoch: p.shards[id].GetEpoch(), Cause: cause, Detail: detail,
	})
}

func (p *process) giveUp(id placement.ShardID, epoch int64) {
	wire := wireOf(id)
	p.report(&leftfoldv1.ShardReport{Shard: wire, State: leftfoldv1.ShardState_SHARD_STATE_DRAINING, Epoch: epoch})
	if p.clings != nil && p.clings(id) {
		return
	}
	if p.ails != nil { // found out when it compares the store, to release
		if failed := p.ails(id); failed.GetCause() == leftfoldv1.FailureCause_FAILURE_CAUSE_STORE_WENT_BACK {
			failed.Shard, failed.Epoch, failed.State = wire, epoch, leftfoldv1.ShardState_SHARD_STATE_FAILED
			p.report(failed)
			return
		}
	}
	p.store.release(id, epoch, p.incarnation)
	p.report(&leftfoldv1.ShardReport{Shard: wire, State: leftfoldv1.ShardState_SHARD_STATE_RELEASED, Epoch: epoch})
}

// with does something to the process between two requests.
func (p *process) with(do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	do()
}

// surveys counts how often it was asked what the store knows.
func (p *process) surveys() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

// knows tells who the process takes for the owner.
func (p *process) knows(id placement.ShardID) (incarnation string, epoch int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.told[id].GetIncarnation(), p.told[id].GetEpoch()
}
