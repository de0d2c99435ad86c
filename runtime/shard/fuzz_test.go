package shard

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/leftfold/leftfold/runtime/behavior"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
)

// counting is a behaviour whose state is how many events there were.
type counting struct{ behavior.Behavior }

func (counting) Zero() behavior.State { return 0 }

func (counting) Evolve(s behavior.State, _ behavior.Event, _ behavior.Meta) (behavior.State, error) {
	return s.(int) + 1, nil
}

func (counting) DecodeState(data []byte) (behavior.State, error) {
	var n int
	err := json.Unmarshal(data, &n)
	return n, err
}

func (counting) Fingerprint() [32]byte { return [32]byte{1} }

// shelf is a store that holds one entity of five events, and a snapshot of it.
type shelf struct {
	eventstore.Reader
	snapshot eventstore.Snapshot
}

const shelved = 5

func (shelf) ReadEntity(_ context.Context, _ eventstore.AggregateID, entity string, after int64, limit int) (out []eventstore.Event, _ error) {
	for v := max(after, 0) + 1; v <= shelved && len(out) < limit; v++ {
		out = append(out, eventstore.Event{
			Entity: entity, Version: v, Seq: 10 + v, Hash: eventstore.Hash{byte(v)}, CommandID: string('a' + rune(v)), RequestHash: eventstore.Hash{9},
			Meta: eventstore.Meta{Time: time.UnixMicro(v)},
		})
	}
	return out, nil
}

func (s shelf) LoadEntity(ctx context.Context, a eventstore.AggregateID, entity string, limit int) (eventstore.Loading, error) {
	events, err := s.ReadEntity(ctx, a, entity, max(s.snapshot.Version, 1)-1, limit)
	return eventstore.Loading{Snapshot: s.snapshot, Events: events}, err
}

// FuzzLoadDamagedSnapshot: an entity loads to its head whatever its snapshot row
// holds. A row that cannot be read, or is not of this log, counts for nothing, and
// then state and window are those of the events.
func FuzzLoadDamagedSnapshot(f *testing.F) {
	var w window
	w.remember(newRecord("kept", eventstore.Hash{1}, time.UnixMicro(5)))
	f.Add(int64(3), int64(13), byte(3), []byte("3"), w.encode())
	f.Add(int64(5), int64(15), byte(5), []byte("5"), []byte{windowFormat})
	f.Add(int64(3), int64(13), byte(4), []byte("3"), w.encode())
	f.Add(int64(1<<63-1), int64(-1), byte(0), []byte("{"), []byte{})
	f.Add(int64(-1<<63), int64(-1), byte(0), []byte(""), []byte{windowFormat, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	def := &Definition{Behavior: counting{}, DedupCommands: 3, DedupFor: time.Minute}
	f.Fuzz(func(t *testing.T, version, seq int64, hash byte, state, window []byte) {
		row := eventstore.Snapshot{Version: version, Seq: seq, Hash: eventstore.Hash{hash}, State: state, Window: window, Behavior: counting{}.Fingerprint()}
		l := loader{reader: shelf{snapshot: row}, behavior: counting{}, timeout: time.Minute, log: slog.New(slog.DiscardHandler)}
		got, err := l.entity(t.Context(), "e", time.UnixMicro(100), def)
		if err != nil {
			t.Fatal(err)
		}
		if got.at.version != shelved || got.seq != 10+shelved || got.hash != (eventstore.Hash{shelved}) {
			t.Errorf("loaded to version %d, seq %d, hash %v", got.at.version, got.seq, got.hash)
		}
		fits := version >= 1 && version <= shelved && seq == 10+version && int64(hash) == version
		n, stateErr := counting{}.DecodeState(state)
		records, windowErr := decodeWindow(window)
		want := shelved
		usable := fits && stateErr == nil && windowErr == nil
		if usable {
			want = n.(int) + shelved - int(version)
		}
		if got.at.state != want || got.snapshot != map[bool]int64{true: version}[usable] {
			t.Errorf("state is %v from the snapshot at %d; want %d", got.at.state, got.snapshot, want)
		}
		kept := 0
		got.window.each(func(*record) { kept++ })
		if kept > shelved+len(records) {
			t.Errorf("%d commands are remembered of %d events and %d records", kept, shelved, len(records))
		}
	})
}

// FuzzDecodeOutcome: what is read is what would be written.
func FuzzDecodeOutcome(f *testing.F) {
	f.Add(encodeOutcome(7, nil))
	f.Add(encodeOutcome(-1, problem.On(problem.CheckFailed, "amount", "is too low")))
	f.Add([]byte{outcomeFormat, flagRefused | flagAuthor, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, row []byte) {
		seq, p, err := decodeOutcome(row)
		if err != nil {
			return
		}
		again, q, err := decodeOutcome(encodeOutcome(seq, p))
		if err != nil || again != seq || (p == nil) != (q == nil) {
			t.Fatalf("%x: %d %v, and then %d %v, %v", row, seq, p, again, q, err)
		}
		if p != nil && (p.Reason != q.Reason || p.Detail != q.Detail || p.Field != q.Field || p.Version != q.Version || p.Rejected != q.Rejected) {
			t.Errorf("%x: %+v became %+v", row, p, q)
		}
	})
}
