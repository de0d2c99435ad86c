package shard

import (
	"fmt"
	"hash/maphash"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
)

func genRecord(t *rapid.T) record {
	var print eventstore.Hash
	if rapid.Bool().Draw(t, "keyed") {
		print[0] = 1 + byte(rapid.IntRange(0, 200).Draw(t, "print"))
	}
	r := newRecord(rapid.String().Draw(t, "id"), print, time.UnixMicro(rapid.Int64Range(0, 1<<50).Draw(t, "at")))
	r.version, r.seq = rapid.Int64Min(0).Draw(t, "version"), rapid.Int64Min(0).Draw(t, "seq")
	switch rapid.IntRange(0, 2).Draw(t, "kind") {
	case 0:
		r.events = rapid.Int64Range(1, 1000).Draw(t, "events")
	case 1:
		r.refusal = &problem.Problem{
			Reason: problem.Reason(rapid.String().Draw(t, "reason")), Detail: rapid.String().Draw(t, "detail"),
			Field: rapid.String().Draw(t, "field"), Rejected: rapid.Bool().Draw(t, "rejected"),
			Version: rapid.Int64().Draw(t, "problem version"),
		}
	}
	return r
}

var compareRecords = cmp.Options{cmp.AllowUnexported(record{}), cmpopts.IgnoreFields(record{}, "entry")}

func TestAWindowSurvivesItsEncoding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w window
		want := rapid.SliceOfN(rapid.Custom(genRecord), 0, 20).Draw(t, "records")
		for _, r := range want {
			w.remember(r)
		}
		w.begin(newRecord("pending", eventstore.Hash{}, time.Now())) // is not stored
		got, err := decodeWindow(w.encode())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, compareRecords, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}

func TestAnOutcomeSurvivesItsEncoding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := genRecord(t)
		seq, p, err := decodeOutcome(encodeOutcome(r.seq, r.refusal))
		if err != nil || seq != r.seq {
			t.Fatalf("seq %d, %v", seq, err)
		}
		if diff := cmp.Diff(r.refusal, p); diff != "" {
			t.Error(diff)
		}
	})
}

func FuzzDecodeWindow(f *testing.F) {
	var w window
	w.remember(newRecord("a", eventstore.Hash{1}, time.UnixMicro(5)))
	f.Add(w.encode())
	f.Add([]byte{windowFormat, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, src []byte) {
		records, err := decodeWindow(src)
		if err == nil && len(records) > len(src) {
			t.Errorf("%d records in %d bytes", len(records), len(src))
		}
	})
}

// TestAWindowRemembersWhatItPromises compares it with a list of everything.
func TestAWindowRemembersWhatItPromises(t *testing.T) {
	const keep = time.Minute
	rapid.Check(t, func(t *rapid.T) {
		last := rapid.IntRange(1, 8).Draw(t, "last")
		var w window
		var all []record
		rows := make(map[string]int64) // live outcome rows, by time
		now := time.UnixMicro(1e15)
		for i := range rapid.IntRange(1, 120).Draw(t, "commands") {
			now = now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "pause")) * time.Second)
			var print eventstore.Hash
			if rapid.Bool().Draw(t, "keyed") {
				print[0] = 1
			}
			r := newRecord(fmt.Sprint("id", i), print, now)
			if rapid.Bool().Draw(t, "events") {
				r.events = 1
			}
			w.begin(r)
			if rapid.IntRange(0, 5).Draw(t, "dropped") == 0 {
				w.dropPending()
				continue
			}
			w.committed(int64(i), int64(i))
			all = append(all, r)
			if r.hasRow() {
				rows[r.id] = r.at
			}
			w.trim(now, last, keep, func(r *record) {
				if rows[r.id] != r.at {
					t.Fatalf("the row of %s was let go twice", r.id)
				}
				delete(rows, r.id)
			})
			// Asked later, while nothing was trimmed.
			later := now.Add(time.Duration(rapid.IntRange(0, 90).Draw(t, "later")) * time.Second)
			for j, r := range all {
				promised := j >= len(all)-last || r.keyed && later.Sub(time.UnixMicro(r.at)) < keep
				got := w.find(r.id, later, keep)
				if promised && got == nil {
					t.Fatalf("%s is forgotten", r.id)
				}
				if !promised && got != nil {
					t.Fatalf("%s is still known", r.id)
				}
				if _, row := rows[r.id]; promised && r.hasRow() && !row {
					t.Fatalf("the row of %s was let go too early", r.id)
				}
			}
			if n := len(w.recent) - w.first; n > last {
				t.Fatalf("%d recent records", n)
			}
		}
	})
}

func TestHowManyCommandsAWindowKeeps(t *testing.T) {
	const last = 100
	door := func(int) bool { return false }
	key := func(int) bool { return true }
	cases := map[string]struct {
		keyed func(n int) bool
		want  int
	}{
		"without keys: few":                                 {door, doorIDs},
		"with keys: all that were promised":                 {key, last},
		"a key among them: up to that":                      {func(n int) bool { return n == 450 }, 50},
		"a key long ago: few":                               {func(n int) bool { return n == 50 }, doorIDs},
		"keys until a while ago: as many as still promised": {func(n int) bool { return n < 470 }, last},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var w window
			start := time.Now()
			for n := range 500 {
				var print eventstore.Hash
				if c.keyed(n) {
					print[0] = 1
				}
				w.remember(newRecord(fmt.Sprint(n), print, start.Add(time.Duration(n)*time.Second)))
				w.trim(start.Add(time.Duration(n)*time.Second), last, time.Nanosecond, func(*record) {})
			}
			kept := 0
			w.each(func(*record) { kept++ })
			if kept != c.want {
				t.Errorf("%d are kept, want %d", kept, c.want)
			}
			if places := w.size() / recordBytes; places > c.want+c.want/2+8 {
				t.Errorf("%d places for %d records", places, c.want)
			}
			for i := range w.recent {
				if w.recent[i].id != "" && w.sums[i] != maphash.String(idSeed, w.recent[i].id) {
					t.Errorf("the sum at %d is not that of its id", i)
				}
			}
		})
	}
}
