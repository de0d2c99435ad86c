package eventstore

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

func plainEvent() Event {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_901_000, time.UTC)
	return Event{
		Shard: ShardID{Aggregate: 3, Number: 7}, Seq: 1, Entity: "a/b", Version: 1, Epoch: 2,
		Type: "Opened", TypeVersion: 1, Data: json.RawMessage(`{"owner":"x","n":9007199254740993}`),
		Meta: Meta{Time: at, Principal: "p"}, CommandID: "c-1", RequestHash: Hash{1, 2, 3}, Generation: 4,
		RecordedAt: at.Add(time.Millisecond),
	}
}

// vectors are events in a chain: each one's hash covers the one before.
func vectors() map[string]Event {
	unicode := plainEvent()
	unicode.Entity, unicode.Data = "é\U0001f600\u007f", json.RawMessage(`{"\ud83d\ude00":"\u00e9","z":[1.50,1e3,-0]}`)
	early := plainEvent()
	early.Meta.Time, early.RecordedAt = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Unix(0, 0)
	empty := Event{Data: json.RawMessage(`{}`), Meta: Meta{Time: time.Unix(0, 0)}, RecordedAt: time.Unix(0, 0)}
	return map[string]Event{"plain": plainEvent(), "unicode and numbers": unicode, "before 1970": early, "nothing but zeros": empty}
}

// The golden vectors pin the format: stored chains must verify for ever.
func TestLinkIsWhatItAlwaysWas(t *testing.T) {
	const file = "testdata/hash.golden.json"
	got := map[string]string{}
	for name, e := range vectors() {
		for _, prev := range []Hash{{}, {0xff}} {
			h, err := e.Link(prev)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got[name+" after "+hex.EncodeToString(prev[:1])] = h.String()
		}
	}
	if *update {
		b, _ := json.MarshalIndent(got, "", "  ")
		if err := os.WriteFile(file, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	for name := range got {
		if got[name] != want[name] {
			t.Errorf("%s: got %s, want %s", name, got[name], want[name])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d vectors, %d golden ones", len(got), len(want))
	}
}

func TestLinkCoversEveryColumn(t *testing.T) {
	before := plainEvent()
	want, err := before.Link(Hash{})
	if err != nil {
		t.Fatal(err)
	}
	if h, _ := before.Link(Hash{1}); h == want {
		t.Error("the hash before does not count")
	}
	for name, change := range map[string]func(*Event){
		"aggregate":    func(e *Event) { e.Shard.Aggregate++ },
		"shard":        func(e *Event) { e.Shard.Number++ },
		"seq":          func(e *Event) { e.Seq++ },
		"entity":       func(e *Event) { e.Entity += "x" },
		"version":      func(e *Event) { e.Version++ },
		"epoch":        func(e *Event) { e.Epoch++ },
		"type":         func(e *Event) { e.Type += "x" },
		"type version": func(e *Event) { e.TypeVersion++ },
		"data":         func(e *Event) { e.Data = json.RawMessage(`{"owner":"x","n":9007199254740992}`) },
		"time":         func(e *Event) { e.Meta.Time = e.Meta.Time.Add(time.Microsecond) },
		"principal":    func(e *Event) { e.Meta.Principal = "" },
		"command id":   func(e *Event) { e.CommandID = "" },
		"request hash": func(e *Event) { e.RequestHash[31]++ },
		"generation":   func(e *Event) { e.Generation++ },
		"recorded at":  func(e *Event) { e.RecordedAt = e.RecordedAt.Add(time.Microsecond) },
	} {
		e := plainEvent()
		change(&e)
		if h, err := e.Link(Hash{}); err != nil || h == want {
			t.Errorf("%s does not count (%v)", name, err)
		}
	}
	split := plainEvent()
	split.Meta.Principal, split.CommandID = "pc", "-1"
	if h, _ := split.Link(Hash{}); h == want {
		t.Error("the border between two texts does not count")
	}
}

func TestLinkDoesNotSeeSpellingZoneOrHash(t *testing.T) {
	e := plainEvent()
	want, _ := e.Link(Hash{})
	e.Data = json.RawMessage(` {"n": 9007199254740993.0, "owner": "\u0078"}`)
	e.Meta.Time = e.Meta.Time.In(time.FixedZone("", 3600))
	e.Hash = Hash{9}
	if got, err := e.Link(Hash{}); err != nil || got != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

func TestLinkRefusesWhatAStoreWouldChange(t *testing.T) {
	for name, change := range map[string]func(*Event){
		"nanoseconds in the time":           func(e *Event) { e.Meta.Time = e.Meta.Time.Add(1) },
		"nanoseconds in the recording time": func(e *Event) { e.RecordedAt = e.RecordedAt.Add(999) },
		"a year before 1":                   func(e *Event) { e.Meta.Time = time.Date(0, 12, 31, 0, 0, 0, 0, time.UTC) },
		"a year after 9999":                 func(e *Event) { e.RecordedAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"data that is no object":            func(e *Event) { e.Data = json.RawMessage(`[1]`) },
		"no data":                           func(e *Event) { e.Data = nil },
		"data with duplicate keys":          func(e *Event) { e.Data = json.RawMessage(`{"a":1,"a":2}`) },
	} {
		e := plainEvent()
		change(&e)
		if _, err := e.Link(Hash{}); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func chain(t *testing.T, prev Hash, n int) []Event {
	events := make([]Event, n)
	for i := range events {
		e := plainEvent()
		e.Seq, e.Version = int64(i+1), int64(i+1)
		h, err := e.Link(prev)
		if err != nil {
			t.Fatal(err)
		}
		e.Hash, prev = h, h
		events[i] = e
	}
	return events
}

// relink makes the hashes from event i on right again.
func relink(events []Event, i int) {
	for ; i < len(events); i++ {
		prev := Hash{}
		if i > 0 {
			prev = events[i-1].Hash
		}
		events[i].Hash, _ = events[i].Link(prev)
	}
}

func TestVerifyChainNamesTheFirstBadEvent(t *testing.T) {
	if err := VerifyChain(Hash{5}, chain(t, Hash{5}, 9)); err != nil {
		t.Fatal(err)
	}
	if err := VerifyChain(Hash{}, nil); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		damage func([]Event) []Event
		seq    int64
		why    string
	}{
		"changed data":            {func(e []Event) []Event { e[3].Data = json.RawMessage(`{}`); return e }, 4, "the chain gives"},
		"changed hash":            {func(e []Event) []Event { e[3].Hash[0]++; return e }, 4, "the chain gives"},
		"another beginning":       {func(e []Event) []Event { return e[1:] }, 2, "the chain gives"},
		"an event left out":       {func(e []Event) []Event { return append(e[:3], e[4:]...) }, 5, "follows event 3"},
		"an event twice":          {func(e []Event) []Event { e[3] = e[2]; return e }, 3, "follows event 3"},
		"data that is not JSON":   {func(e []Event) []Event { e[3].Data = nil; return e }, 4, "not storable"},
		"an event of elsewhere":   {func(e []Event) []Event { e[3].Shard.Number++; relink(e, 3); return e }, 4, "of shard 3/7"},
		"an epoch that goes down": {func(e []Event) []Event { e[3].Epoch--; relink(e, 3); return e }, 4, "epoch 1 after epoch 2"},
		"a time that goes down": {func(e []Event) []Event {
			e[3].RecordedAt = e[3].RecordedAt.Add(-time.Second)
			relink(e, 3)
			return e
		}, 4, "recorded before"},
	} {
		err := VerifyChain(Hash{}, c.damage(chain(t, Hash{}, 9)))
		var ce *ChainError
		if !errors.As(err, &ce) || ce.Seq != c.seq || !strings.Contains(ce.Reason, c.why) {
			t.Errorf("%s: got %v, want event %d and %q", name, err, c.seq, c.why)
		}
	}
}

func BenchmarkLink(b *testing.B) {
	e := plainEvent()
	var h Hasher
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.Link(Hash{}, &e); err != nil {
			b.Fatal(err)
		}
	}
}
