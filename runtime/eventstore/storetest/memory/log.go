package memory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// Claim implements eventstore.Log.
func (s *Store) Claim(ctx context.Context, r eventstore.ClaimRequest) (eventstore.ShardState, error) {
	if err := s.begin(ctx); err != nil {
		return eventstore.ShardState{}, err
	}
	defer s.data.Unlock()
	row := s.data.shards[r.Shard]
	if row == nil {
		return eventstore.ShardState{}, fmt.Errorf("claim shard %s: %w", r.Shard, eventstore.ErrUnknownName)
	}
	if row.Epoch != r.Expected {
		return eventstore.ShardState{}, fmt.Errorf("claim shard %s: %w: epoch %d, expected %d", r.Shard, eventstore.ErrRefused, row.Epoch, r.Expected)
	}
	was := row.ShardState
	row.before = &was
	row.Epoch, row.Token, row.Owner, row.Address = r.Expected+1, r.Token, r.Owner, r.Address
	return s.data.state(row), nil
}

// holds reports whether the lease is that of the shard's owner.
func (s *Store) holds(l eventstore.Lease) bool {
	row := s.data.shards[l.Shard]
	if row == nil || row.Owner == "" {
		return false
	}
	if s.options.Without == Token {
		l.Token = row.Token
	}
	return row.Lease == l
}

// Release implements eventstore.Log.
func (s *Store) Release(ctx context.Context, t eventstore.Tenure) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.data.Unlock()
	row := s.data.shards[t.Shard]
	if !s.holds(t.Lease) || row.Head != t.Head || row.HeadHash != t.HeadHash {
		return fmt.Errorf("release shard %s: %w", t.Shard, eventstore.ErrRefused)
	}
	row.before = nil
	row.Owner, row.Address, row.Token = "", "", eventstore.Token{}
	return nil
}

// Check implements eventstore.Log.
func (s *Store) Check(ctx context.Context, tenures []eventstore.Tenure) ([]bool, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.data.Unlock()
	holds := make([]bool, len(tenures))
	for i, t := range tenures {
		row := s.data.shards[t.Shard]
		holds[i] = s.holds(t.Lease) && (row.Head > t.Head || row.Head == t.Head && row.HeadHash == t.HeadHash)
	}
	return holds, nil
}

// Append implements eventstore.Log.
func (s *Store) Append(ctx context.Context, batches []eventstore.Batch) []eventstore.AppendResult {
	results := make([]eventstore.AppendResult, len(batches))
	if err := s.begin(ctx); err != nil {
		for i := range results {
			results[i] = eventstore.AppendResult{Status: eventstore.NotAttempted, Err: err}
		}
		return results
	}
	defer s.data.Unlock()
	met := map[eventstore.ShardID]bool{}
	for i, b := range batches {
		if met[b.Lease.Shard] {
			panic(fmt.Sprintf("memory: two batches of shard %s in one append", b.Lease.Shard))
		}
		met[b.Lease.Shard] = true
		if !s.holds(b.Lease) && s.options.Without != Fence || s.data.shards[b.Lease.Shard] == nil {
			results[i] = eventstore.AppendResult{Status: eventstore.Refused}
			continue
		}
		results[i] = s.data.append(b)
	}
	return results
}

// append writes a batch under a lease that holds.
func (d *database) append(b eventstore.Batch) eventstore.AppendResult {
	row := d.shards[b.Lease.Shard]
	if row.Head != b.Head || row.HeadHash != b.HeadHash || row.floor > b.Generation() {
		return eventstore.AppendResult{Status: eventstore.Refused}
	}
	if err := storable(b); err != nil {
		return eventstore.AppendResult{Status: eventstore.Invalid, Err: err}
	}
	mustContinue(row, b)
	if err := d.conflict(b); err != nil {
		return eventstore.AppendResult{Status: eventstore.Conflict, Err: err}
	}
	if len(b.Events)+len(b.Outcomes) > 0 {
		row.before = nil
	}
	for _, e := range b.Events {
		e.Data, _ = eventstore.AppendCanonical(nil, e.Data) // storable has seen to it
		e.Meta.Time, e.RecordedAt = e.Meta.Time.UTC(), e.RecordedAt.UTC()
		row.log = append(row.log, e)
		key := entity{e.Shard.Aggregate, e.Entity}
		at, _ := find(d.entities[key], e.Version)
		d.entities[key] = slices.Insert(d.entities[key], at, e)
		row.Head, row.HeadHash, row.HeadTime = e.Seq, e.Hash, e.RecordedAt
	}
	for _, o := range b.Outcomes {
		key := entity{b.Lease.Shard.Aggregate, o.Entity}
		if d.outcomes[key] == nil {
			d.outcomes[key] = map[string]eventstore.Outcome{}
		}
		o.Answer, o.Time = slices.Clone(o.Answer), o.Time.UTC()
		d.outcomes[key][o.CommandID] = o
	}
	return eventstore.AppendResult{Status: eventstore.Appended}
}

// conflict finds an event whose key is taken already, or twice in the batch.
func (d *database) conflict(b eventstore.Batch) error {
	type key struct {
		entity  string
		version int64
	}
	own := map[key]bool{}
	for _, e := range b.Events {
		k := key{e.Entity, e.Version}
		if _, taken := find(d.entities[entity{e.Shard.Aggregate, e.Entity}], e.Version); taken || own[k] {
			return fmt.Errorf("entity %q has version %d already", e.Entity, e.Version)
		}
		own[k] = true
	}
	return nil
}

// find gives the place of a version in an entity's events.
func find(events []eventstore.Event, version int64) (int, bool) {
	return slices.BinarySearchFunc(events, version, func(e eventstore.Event, v int64) int { return cmp.Compare(e.Version, v) })
}

// storable refuses what PostgreSQL cannot hold.
func storable(b eventstore.Batch) error {
	for _, e := range b.Events {
		if _, err := eventstore.AppendCanonical(nil, e.Data); err != nil {
			return fmt.Errorf("event %d of shard %s: %w", e.Seq, e.Shard, err)
		}
		if err := texts(e.Entity, e.Type, e.Meta.Principal, e.CommandID); err != nil {
			return fmt.Errorf("event %d of shard %s: %w", e.Seq, e.Shard, err)
		}
	}
	for _, o := range b.Outcomes {
		if err := texts(o.Entity, o.CommandID); err != nil {
			return fmt.Errorf("outcome of %q: %w", o.CommandID, err)
		}
	}
	return nil
}

func texts(all ...string) error {
	for _, s := range all {
		if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
			return errors.New("a text is not UTF-8 or holds U+0000")
		}
	}
	return nil
}

// mustContinue panics when the owner has not kept its side of the contract.
func mustContinue(row *shard, b eventstore.Batch) {
	prev, at := b.HeadHash, row.HeadTime
	for i, e := range b.Events {
		wrong := ""
		link, err := e.Link(prev)
		switch {
		case err != nil:
			wrong = err.Error()
		case e.Shard != b.Lease.Shard:
			wrong = "another shard " + e.Shard.String()
		case e.Seq != b.Head+int64(i)+1:
			wrong = fmt.Sprintf("sequence %d after head %d", e.Seq, b.Head+int64(i))
		case e.Epoch != b.Lease.Epoch:
			wrong = fmt.Sprintf("epoch %d under a lease of %d", e.Epoch, b.Lease.Epoch)
		case e.RecordedAt.Before(at):
			wrong = "recorded before the event before it"
		case e.Hash != link:
			wrong = "hash is not the link"
		}
		if wrong != "" {
			panic(fmt.Sprintf("memory: event %d of the batch for shard %s: %s", i, b.Lease.Shard, wrong))
		}
		prev, at = e.Hash, e.RecordedAt
	}
}
