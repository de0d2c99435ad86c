package storetest

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

var fidelityTests = []test{
	{"every column of an event comes back", columns},
	{"data comes back equal in value, and the chain verifies over what comes back", func(t *testing.T, s eventstore.Store) {
		wantData(t, s, awkward)
	}},
	{"random data comes back equal in value", func(t *testing.T, s eventstore.Store) {
		const seed = 20260301
		random := rand.New(rand.NewPCG(seed, 0))
		var texts []string
		for range 300 {
			texts = append(texts, randomObject(random, 4))
		}
		wantData(t, s, texts)
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}},
	{"event and row times come back in UTC", func(t *testing.T, s eventstore.Store) {
		o := single(t, s)
		e := deposit("a")
		e.RecordedAt = dawn.In(time.FixedZone("somewhere", 3*3600+1800))
		o.append(t, e)
		got, err := s.ReadShard(t.Context(), o.lease.Shard, 0, 1)
		if err != nil || len(got) != 1 {
			t.Fatalf("%d, %v", len(got), err)
		}
		for name, at := range map[string]time.Time{
			"recorded": got[0].RecordedAt, "meta": got[0].Meta.Time, "head": rowOf(t, s, o.lease.Shard).HeadTime,
		} {
			if at.Location() != time.UTC || !at.Equal(dawn) {
				t.Errorf("%s time is %s", name, at)
			}
		}
	}},
}

func columns(t *testing.T, s eventstore.Store) {
	o := single(t, s)
	o.at = time.Time{}
	first := eventstore.Event{
		Entity: "a", Data: json.RawMessage(`{}`), Meta: eventstore.Meta{Time: time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC)},
		RecordedAt: time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC),
	}
	second := eventstore.Event{
		Entity: "\U0001f600/'\"\\", Type: strings.Repeat("T", 63), TypeVersion: math.MaxInt32, Data: json.RawMessage(`{"a":{"b":[1,"2",null,true]}}`),
		Meta:      eventstore.Meta{Time: time.Date(1969, 12, 31, 23, 59, 59, 999_999_000, time.UTC), Principal: "é\u2028\"\\{}' \U0001f600"},
		CommandID: strings.Repeat("~", 128), Generation: math.MaxInt64, RecordedAt: time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	for i := range second.RequestHash {
		second.RequestHash[i] = byte(i * 11)
	}
	third := second
	third.Meta.Time = time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
	third.RecordedAt = third.Meta.Time
	third.TypeVersion, third.Generation = -1, 0
	b := o.append(t, first, second, third)
	got, err := s.ReadShard(t.Context(), o.lease.Shard, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	want := b.Events
	for i := range want {
		wantSameValue(t, string(want[i].Data), got[i].Data)
		want[i].Data, got[i].Data = nil, nil
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	CheckInvariants(t, s)
}

// awkward are objects that databases rewrite.
var awkward = []string{
	`{}`,
	`{"":""}`,
	`{"b":1,"a":2,"aa":3,"B":4,"ab":5,"é":6,"z":7,"\ue000":8,"\ud83d\ude00":9}`,
	`{"ints":[0,-0,1,-1,9007199254740991,9007199254740992,9007199254740993,9223372036854775807,-9223372036854775808,18446744073709551616]}`,
	`{"decimals":[1.0,1.50,0.1,0.10,-0.0,0.000,1e0,1E+2,12e-1,123456789.123456789123456789,0.1234567890123456789012345678901234567890]}`,
	`{"exponents":[1e20,1e21,1e22,1e100,1e308,1.7976931348623157e308,5e-324,1e-6,1e-7,1e-100,1e999,1e-1000,123e-5,-1.5e-10]}`,
	`{"long":123456789012345678901234567890123456789012345678901234567890.123456789012345678901234567890}`,
	`{"escapes":"\"\\\/\b\f\n\r\t\u0001\u001f\u007f\u0080\u00e9\u2028\u2029\ufeff\ufffe\uffff\ud83d\ude00"}`,
	`{"strings":["","null","1"," ","\\u0000","\\","'","$$","--","é","e\u0301"]}`,
	`{"nested":` + strings.Repeat(`{"x":[`, 60) + `1` + strings.Repeat(`]}`, 60) + `}`,
	`  { "spaces" : [ 1 , 2 , { } , [ ] ] }  `,
	`{"literals":[true,false,null]}`,
	`{"large":"` + strings.Repeat("0123456789abcdef", 4096) + `"}`,
	`{"many":[` + strings.Repeat(`{"k":1},`, 2000) + `{}]}`,
}

func wantData(t *testing.T, s eventstore.Store, texts []string) {
	t.Helper()
	o := single(t, s)
	var events []eventstore.Event
	for _, text := range texts {
		e := deposit("a")
		e.Data = json.RawMessage(text)
		events = append(events, e)
	}
	b := o.append(t, events...)
	got, err := s.ReadShard(t.Context(), o.lease.Shard, 0, len(texts)+1)
	if err != nil {
		t.Fatal(err)
	}
	wantEvents(t, got, b.Events)
	for i, text := range texts {
		wantSameValue(t, text, got[i].Data)
	}
	if err := eventstore.VerifyChain(eventstore.Hash{}, got); err != nil {
		t.Error(err)
	}
	CheckInvariants(t, s)
}

func wantSameValue(t *testing.T, want string, got []byte) {
	t.Helper()
	a, errA := eventstore.AppendCanonical(nil, []byte(want))
	b, errB := eventstore.AppendCanonical(nil, got)
	if errA != nil || errB != nil || string(a) != string(b) {
		t.Errorf("%.200s (%v)\ncame back as\n%.200s (%v)", want, errA, got, errB)
	}
}

// randomObject makes a JSON object with spellings that a canonical form undoes.
func randomObject(r *rand.Rand, depth int) string {
	var members []string
	for i := range r.IntN(5) {
		members = append(members, fmt.Sprintf("%s : %s", randomString(r, fmt.Sprint(i)), randomValue(r, depth-1)))
	}
	r.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	return "{" + strings.Join(members, ",") + "}"
}

func randomValue(r *rand.Rand, depth int) string {
	kind := r.IntN(6)
	if depth <= 0 {
		kind %= 4
	}
	switch kind {
	case 0:
		return []string{"true", "false", "null", "-0", "0.0"}[r.IntN(5)]
	case 1:
		return fmt.Sprint(r.Int64() - r.Int64())
	case 2:
		return fmt.Sprintf("%d.%de%d", r.Int32(), r.Uint64(), r.IntN(80)-40)
	case 3:
		return randomString(r, "")
	case 4:
		var elements []string
		for range r.IntN(4) {
			elements = append(elements, randomValue(r, depth-1))
		}
		return "[" + strings.Join(elements, " , ") + "]"
	}
	return randomObject(r, depth)
}

func randomString(r *rand.Rand, end string) string {
	var b strings.Builder
	b.WriteByte('"')
	for range r.IntN(6) {
		switch r.IntN(4) {
		case 0:
			fmt.Fprintf(&b, `\u%04x`, 1+r.IntN(0xd7ff))
		case 1:
			fmt.Fprintf(&b, `\ud%03x\ud%03x`, 0x800+r.IntN(0x400), 0xc00+r.IntN(0x400))
		case 2:
			b.WriteRune(rune(0xe000 + r.IntN(0x2000)))
		default:
			b.WriteByte("abcxyz019 _-'%$"[r.IntN(15)])
		}
	}
	b.WriteString(end + `"`)
	return b.String()
}
