package shard

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sort"
	"time"

	"github.com/leftfold/leftfold/runtime/behavior"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
)

// Entities are loaded by a few goroutines of the host, while the shard serves
// others: the snapshot, if it is of this definition's fold and its event is in
// the log, and the events after it; the window from the snapshot, the events and
// the outcome rows.

// loaded is an entity as the store has it.
type loadedEntity struct {
	at       fold
	seq      int64
	hash     eventstore.Hash
	snapshot int64 // version of the snapshot it was loaded from
	window   window
	stale    []eventstore.Outcome // rows that have left the window
}

// load starts loading an absent entity.
func (s *Shard) load(e *entity) {
	e.phase = loading
	s.loads[e] = struct{}{}
	s.startLoad(e, 0)
}

// Each attempt has twice the time of the one before, so many times: an entity
// that remembers very many keys must not stay out of reach for its size alone.
const patientLoads = 4

func (s *Shard) startLoad(e *entity, tries int) {
	def := s.cur
	l := loader{
		reader: s.host.cfg.Store, aggregate: s.id.Aggregate, name: s.aggregate,
		behavior: def.Behavior, timeout: s.limits().CallTimeout << min(tries, patientLoads), log: s.log,
	}
	s.host.loads.submit(func() {
		got, err := l.guarded(s.ctx, e.id, s.host.cfg.Now(), def)
		s.post(func() { s.loadDone(e, def, got, err, tries) })
	})
}

func (s *Shard) loadDone(e *entity, def *Definition, got *loadedEntity, err error, tries int) {
	if s.ended || e.phase != loading {
		return
	}
	if def != s.cur && (err != nil || def.Behavior.Fingerprint() != s.cur.Behavior.Fingerprint()) {
		s.startLoad(e, 0)
		return
	}
	if err != nil {
		s.loadFailed(e, err, tries)
		return
	}
	delete(s.loads, e)
	e.phase = ready
	e.committed, e.spec = got.at, got.at
	e.seq, e.hash, e.window, e.snapshot = got.seq, got.hash, got.window, got.snapshot
	for _, o := range got.stale {
		s.host.pruner.add(s.id.Aggregate, o)
	}
	s.resize(e)
	readers := e.readers
	e.readers = nil
	for _, r := range readers {
		s.read(e, r)
	}
	s.schedule(e)
}

// loadFailed tries again as long as somebody waits; an entity that the behaviour
// cannot fold fails its callers at once.
func (s *Shard) loadFailed(e *entity, err error, tries int) {
	s.sweep(e)
	p := problem.From(err)
	if p.Reason != problem.BehaviorFailed && e.waiting()+len(e.readers) > 0 {
		if tries == 0 {
			s.log.Warn("cannot load an entity; trying again", slog.Any("error", err))
		}
		time.AfterFunc(backoff(tries), func() {
			s.post(func() {
				if !s.ended && e.phase == loading {
					s.startLoad(e, tries+1)
				}
			})
		})
		return
	}
	delete(s.loads, e)
	e.phase = absent
	for e.waiting() > 0 {
		s.answer(e.pop(), reply{err: p})
	}
	s.answerAll(e.readers, p)
	e.readers = nil
	s.remove(e)
}

// loader reads entities; it belongs to nobody and may be used anywhere.
type loader struct {
	reader    eventstore.Reader
	aggregate eventstore.AggregateID
	name      string
	behavior  behavior.Behavior
	timeout   time.Duration
	log       *slog.Logger
}

// Events are read in pages of this many.
const loadPage = 500

// guarded is entity, with a panic being the failure of that entity alone: its
// callers are told so, and the shard goes on.
func (l loader) guarded(ctx context.Context, id string, now time.Time, def *Definition) (got *loadedEntity, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			l.log.Error("loading an entity panicked; its callers fail, the shard goes on",
				slog.Any("panic", cause), slog.String("stack", string(debug.Stack())))
			got, err = nil, problem.New(problem.BehaviorFailed, "the entity cannot be loaded")
		}
	}()
	return l.entity(ctx, id, now, def)
}

// entity loads an entity at its head, with its window.
func (l loader) entity(ctx context.Context, id string, now time.Time, def *Definition) (*loadedEntity, error) {
	var records []record
	got, err := l.fold(ctx, id, nil, func(ev *eventstore.Event) {
		records = addEvent(records, ev)
		if len(records) >= recordsAtOnce && len(records) > 4*def.DedupCommands {
			records = pruneRecords(records, now, def)
		}
	})
	if err != nil {
		return nil, err
	}
	for _, o := range got.outcomes {
		rec := newRecord(o.CommandID, o.RequestHash, o.Time)
		rec.keyed, rec.version = true, o.Version
		if rec.seq, rec.refusal, err = decodeOutcome(o.Answer); err != nil {
			return nil, fmt.Errorf("outcome of command %q: %w", o.CommandID, err)
		}
		records = append(records, rec)
	}
	got.buildWindow(id, append(got.remembered, records...), now, def)
	return &got.loadedEntity, nil
}

// buildWindow puts all that is known of an entity's commands in order. Of
// several records of one id the latest counts.
func (g *folded) buildWindow(entity string, records []record, now time.Time, def *Definition) {
	sort.SliceStable(records, func(i, j int) bool {
		a, b := &records[i], &records[j]
		if a.version != b.version {
			return a.version < b.version
		}
		// At one version: first the command whose events led to it.
		if (a.events > 0) != (b.events > 0) {
			return a.events > 0
		}
		return a.at < b.at
	})
	last := make(map[string]int, len(records))
	for i := range records {
		last[records[i].id] = i
	}
	for i := range records {
		if last[records[i].id] != i {
			continue
		}
		g.window.remember(records[i])
		if len(g.window.recent)-g.window.first > 2*def.DedupCommands {
			g.trim(entity, now, def)
		}
	}
	g.trim(entity, now, def)
}

func (g *folded) trim(entity string, now time.Time, def *Definition) {
	g.window.trim(now, def.DedupCommands, def.DedupFor, func(r *record) {
		g.stale = append(g.stale, eventstore.Outcome{Entity: entity, CommandID: r.id, Time: time.UnixMicro(r.at).UTC()})
	})
}

// addEvent adds a stored event to the record of its command: the events of one
// command follow each other, and have one time. A later command under the same
// key, whose window has passed, has another.
func addEvent(records []record, ev *eventstore.Event) []record {
	at := ev.Meta.Time.UnixMicro()
	if n := len(records); n > 0 && records[n-1].id == ev.CommandID && records[n-1].at == at &&
		records[n-1].version == ev.Version-1 && records[n-1].seq == ev.Seq-1 {
		r := &records[n-1]
		r.version, r.seq, r.events = ev.Version, ev.Seq, r.events+1
		return records
	}
	r := newRecord(ev.CommandID, ev.RequestHash, ev.Meta.Time)
	r.version, r.seq, r.events = ev.Version, ev.Seq, 1
	return append(records, r)
}

// A long history is not remembered whole while it is folded: beyond so many
// records, what has left the window goes.
const recordsAtOnce = 4096

func pruneRecords(records []record, now time.Time, def *Definition) []record {
	horizon := now.Add(-def.DedupFor).UnixMicro()
	recent := len(records) - def.DedupCommands
	kept := records[:0]
	for i, r := range records {
		if i >= recent || r.keyed && r.at > horizon {
			kept = append(kept, r)
		}
	}
	return kept
}

// folded is an entity's state, and what is remembered of its commands besides the
// events: by its snapshot, and in rows.
type folded struct {
	loadedEntity
	remembered []record
	outcomes   []eventstore.Outcome
}

// fold loads an entity's state: at its head, or before the first event that stop
// tells to stop at. visit sees each event that is folded.
func (l loader) fold(ctx context.Context, id string, stop func(*eventstore.Event) bool, visit func(*eventstore.Event)) (out *folded, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			l.log.Error("behaviour panicked while folding stored events",
				slog.Any("panic", cause), slog.String("stack", string(debug.Stack())))
			out, err = nil, problem.New(problem.BehaviorFailed, "the entity's events cannot be folded")
		}
	}()
	ctx = eventstore.Within(ctx, loadBytes)
	out = &folded{}
	out.at.state = l.behavior.Zero()
	page, more, err := l.begin(ctx, id, out, stop)
	ctx, cancel := context.WithCancel(ctx)
	var reading <-chan readPage
	defer func() {
		cancel()
		if reading != nil {
			<-reading
		}
	}()
	for err == nil {
		// The next page comes while this one is folded: the database works on one
		// processor and the fold on another.
		if more {
			after := out.at.version
			if n := len(page); n > 0 {
				after = page[n-1].Version
			}
			reading = l.ahead(ctx, id, after)
		}
		for i := range page {
			ev := &page[i]
			if stop != nil && stop(ev) {
				return out, nil
			}
			if err = l.evolve(out, ev); err != nil {
				return nil, err
			}
			if visit != nil {
				visit(ev)
			}
		}
		if !more {
			return out, nil
		}
		next := <-reading
		reading = nil
		page, err = next.events, next.err
		more = mayGoOn(page)
	}
	return nil, err
}

// readPage is a page of events that was read ahead.
type readPage struct {
	events []eventstore.Event
	err    error
}

// ahead reads a page beside the caller.
func (l loader) ahead(ctx context.Context, id string, after int64) <-chan readPage {
	out := make(chan readPage, 1)
	go func() {
		defer func() {
			if cause := recover(); cause != nil {
				out <- readPage{err: fmt.Errorf("reading events panicked: %v\n%s", cause, debug.Stack())}
			}
		}()
		events, err := l.events(ctx, id, after)
		out <- readPage{events, err}
	}()
	return out
}

// begin starts the fold, at the entity's snapshot if that can be used, and gives the
// events that follow. more tells that there may be others after those.
func (l loader) begin(ctx context.Context, id string, out *folded, stop func(*eventstore.Event) bool) (page []eventstore.Event, more bool, err error) {
	call, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	stored, err := l.reader.LoadEntity(call, l.aggregate, id, loadPage)
	if err != nil {
		return nil, false, fmt.Errorf("load: %w", err)
	}
	out.outcomes = stored.Outcomes
	switch {
	case stored.Snapshot.Version < 1:
		return stored.Events, mayGoOn(stored.Events), nil
	case l.fromSnapshot(&stored, out, stop):
		return stored.Events[1:], mayGoOn(stored.Events), nil
	}
	return nil, true, nil
}

// fromSnapshot starts the fold at the snapshot, and tells whether that can be done.
func (l loader) fromSnapshot(stored *eventstore.Loading, out *folded, stop func(*eventstore.Event) bool) bool {
	snap, page := &stored.Snapshot, stored.Events
	if snap.Behavior != l.behavior.Fingerprint() {
		return false
	}
	if len(page) == 0 || page[0].Version != snap.Version || page[0].Seq != snap.Seq || page[0].Hash != snap.Hash {
		l.log.Warn("a snapshot does not fit the log; ignored", slog.Int64("version", snap.Version))
		return false
	}
	if stop != nil && stop(&page[0]) {
		return false // the snapshot is later than what is asked for
	}
	state, err := l.behavior.DecodeState(snap.State)
	if err != nil {
		l.log.Warn("a snapshot cannot be read; ignored", slog.Int64("version", snap.Version), slog.Any("error", err))
		return false
	}
	records, err := decodeWindow(snap.Window)
	if err != nil {
		l.log.Warn("a snapshot's window cannot be read; ignored", slog.Int64("version", snap.Version), slog.Any("error", err))
		return false
	}
	out.at = fold{state: state, version: snap.Version, time: page[0].Meta.Time}
	out.seq, out.hash, out.snapshot, out.remembered = snap.Seq, snap.Hash, snap.Version, records
	return true
}

func (l loader) events(ctx context.Context, id string, after int64) ([]eventstore.Event, error) {
	call, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	page, err := l.reader.ReadEntity(call, l.aggregate, id, after, loadPage)
	if err != nil {
		return nil, fmt.Errorf("read events after version %d: %w", after, err)
	}
	return page, nil
}

func (l loader) evolve(out *folded, ev *eventstore.Event) error {
	if ev.Version != out.at.version+1 {
		return fmt.Errorf("the log has version %d where %d belongs", ev.Version, out.at.version+1)
	}
	state, err := l.behavior.Evolve(out.at.state,
		behavior.Event{Type: ev.Type, TypeVersion: ev.TypeVersion, Data: ev.Data},
		behavior.Meta{
			Aggregate: l.name, Entity: ev.Entity, Version: ev.Version,
			Time: ev.Meta.Time, CommandID: ev.CommandID, Principal: ev.Meta.Principal,
		})
	if err != nil {
		l.log.Error("the behaviour cannot fold a stored event",
			slog.String("shard", ev.Shard.String()), slog.Int64("seq", ev.Seq), slog.String("type", ev.Type), slog.Any("error", err))
		return problem.New(problem.BehaviorFailed, "the entity's events cannot be folded")
	}
	out.at = fold{state: state, version: ev.Version, time: ev.Meta.Time}
	out.seq, out.hash = ev.Seq, ev.Hash
	return nil
}
