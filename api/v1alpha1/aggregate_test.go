package v1alpha1_test

import (
	"fmt"
	"testing"
)

func TestAggregateRules(t *testing.T) {
	checkRules(t, []rule{
		{
			name:     "the name has at most 58 characters",
			manifest: aggregateManifest,
			accepted: []change{set("metadata.name", text(58))},
			refused:  []change{set("metadata.name", text(59))},
			says:     []string{"metadata.name of an Aggregate must be at most 58 characters"},
		},
		{
			name:     "a Runtime is named",
			manifest: aggregateManifest,
			refused:  []change{drop("spec.runtimeRef")},
			says:     []string{"spec.runtimeRef: Required value"},
		},
		{
			name:     "the name of the Runtime is not empty",
			manifest: aggregateManifest,
			refused:  []change{set("spec.runtimeRef.name", `""`)},
			says:     []string{"spec.runtimeRef.name", "at least 1 chars"},
		},
		{
			name:     "there is a shard",
			manifest: aggregateManifest,
			accepted: []change{set("spec.shards", "1")},
			refused:  []change{set("spec.shards", "0")},
			says:     []string{"spec.shards", "greater than or equal to 1"},
		},
		{
			name:     "there are at most 256 shards",
			manifest: aggregateManifest,
			accepted: []change{set("spec.shards", "256")},
			refused:  []change{set("spec.shards", "257")},
			says:     []string{"spec.shards", "less than or equal to 256"},
		},
		{
			name:     "there is an event",
			manifest: aggregateManifest,
			accepted: []change{drop("spec.commands"), drop("spec.types"), set("spec.events", "[{name: Happened}]"), drop("spec.state")},
			refused:  []change{drop("spec.commands"), set("spec.events", "[]")},
			says:     []string{"spec.events", "at least 1 items"},
		},
		{
			name:     "empty lists and maps say what leaving them out says",
			manifest: aggregateManifest,
			accepted: []change{
				set("spec.types", "[]"), set("spec.state", "[]"),
				set("spec.commands", "[{name: Do, fields: [], let: [], reject: [], emit: [{event: Done, set: {}}]}]"),
				set("spec.events", "[{name: Done, fields: [], apply: {}}]"),
			},
			refused: []change{set("spec.commands", "{}")},
			says:    []string{"spec.commands"},
		},
		{
			name:     "a command emits events that are declared",
			manifest: aggregateManifest,
			accepted: []change{set("spec.commands[0].emit[0].event", "LimitSet")},
			refused:  []change{set("spec.commands[0].emit[0].event", "Withdrew")},
			says:     []string{"commands[].emit[].event must name one of spec.events"},
		},
		{
			name:     "a snapshot is taken every event or more seldom",
			manifest: aggregateManifest,
			accepted: []change{set("spec.snapshots.every", "1")},
			refused:  []change{set("spec.snapshots.every", "0")},
			says:     []string{"spec.snapshots.every", "greater than or equal to 1"},
		},
		{
			name:     "a snapshot is taken every 100,000 events or more often",
			manifest: aggregateManifest,
			accepted: []change{set("spec.snapshots.every", "100000")},
			refused:  []change{set("spec.snapshots.every", "100001")},
			says:     []string{"spec.snapshots.every", "less than or equal to 100000"},
		},
		{
			name:     "an entity stays a second at least",
			manifest: aggregateManifest,
			accepted: []change{set("spec.passivation.idleSeconds", "1")},
			refused:  []change{set("spec.passivation.idleSeconds", "0")},
			says:     []string{"spec.passivation.idleSeconds", "greater than or equal to 1"},
		},
		{
			name:     "an entity stays idle for a day at most",
			manifest: aggregateManifest,
			accepted: []change{set("spec.passivation.idleSeconds", "86400")},
			refused:  []change{set("spec.passivation.idleSeconds", "86401")},
			says:     []string{"spec.passivation.idleSeconds", "less than or equal to 86400"},
		},
		{
			name:     "one command at least is remembered",
			manifest: aggregateManifest,
			accepted: []change{set("spec.deduplication.commands", "1")},
			refused:  []change{set("spec.deduplication.commands", "0")},
			says:     []string{"spec.deduplication.commands", "greater than or equal to 1"},
		},
		{
			name:     "10,000 commands at most are remembered by number",
			manifest: aggregateManifest,
			accepted: []change{set("spec.deduplication.commands", "10000")},
			refused:  []change{set("spec.deduplication.commands", "10001")},
			says:     []string{"spec.deduplication.commands", "less than or equal to 10000"},
		},
		{
			name:     "commands are remembered for a minute at least",
			manifest: aggregateManifest,
			accepted: []change{set("spec.deduplication.minutes", "1")},
			refused:  []change{set("spec.deduplication.minutes", "0")},
			says:     []string{"spec.deduplication.minutes", "greater than or equal to 1"},
		},
		{
			name:     "commands are remembered for a week at most",
			manifest: aggregateManifest,
			accepted: []change{set("spec.deduplication.minutes", "10080")},
			refused:  []change{set("spec.deduplication.minutes", "10081")},
			says:     []string{"spec.deduplication.minutes", "less than or equal to 10080"},
		},
	})
}

func TestWhatOfAnAggregateMayChange(t *testing.T) {
	checkUpdateRules(t, []rule{
		{
			name:     "the number of shards stays",
			manifest: aggregateManifest,
			accepted: []change{set("spec.snapshots.every", "50")},
			refused:  []change{set("spec.shards", "17")},
			says:     []string{"spec.shards", "shards cannot change"},
		},
		{
			name:     "the default number of shards stays as well",
			manifest: aggregateManifest,
			accepted: []change{drop("spec.shards")},
			refused:  []change{set("spec.shards", "1")},
			says:     []string{"spec.shards", "shards cannot change"},
		},
	})
}

// TestHowManyOfEachAnAggregateHas holds every list and map to the number that
// is promised: the last that fits is accepted, one more is refused.
func TestHowManyOfEachAnAggregateHas(t *testing.T) {
	field := func(i int) string { return fmt.Sprintf("{name: f%d, type: int}", i) }
	for _, list := range []struct {
		path string
		most int
		item func(i int) string
	}{
		{"spec.types", 64, func(i int) string { return fmt.Sprintf("{name: T%d, fields: [{name: f, type: int}]}", i) }},
		{"spec.types[0].fields", 64, field},
		{"spec.state", 64, field},
		{"spec.commands", 64, func(i int) string { return fmt.Sprintf("{name: C%d}", i) }},
		{"spec.commands[0].fields", 64, field},
		{"spec.commands[0].let", 64, func(i int) string { return fmt.Sprintf("{name: l%d, value: '1'}", i) }},
		{"spec.commands[0].reject", 16, func(i int) string { return fmt.Sprintf("{when: 'false', reason: R%d}", i) }},
		{"spec.commands[0].emit", 16, func(int) string { return "{event: Withdrawn}" }},
		{"spec.events[0].fields", 64, field},
	} {
		checkRules(t, []rule{{
			name:     fmt.Sprintf("%s has at most %d items", list.path, list.most),
			manifest: aggregateManifest,
			accepted: []change{repeat(list.path, list.most, list.item)},
			refused:  []change{repeat(list.path, list.most+1, list.item)},
			says:     []string{list.path, fmt.Sprintf("at most %d items", list.most)},
		}})
	}
	for _, path := range []string{"spec.commands[0].emit[0].set", "spec.events[0].apply"} {
		checkRules(t, []rule{{
			name:     path + " has at most 64 entries",
			manifest: aggregateManifest,
			accepted: []change{set(path, entries(64, `"1"`))},
			refused:  []change{set(path, entries(65, `"1"`))},
			says:     []string{path, "at most 64"},
		}})
	}
	checkRules(t, []rule{
		{
			name:     "there are at most 128 events",
			manifest: aggregateManifest,
			accepted: []change{drop("spec.commands"), repeat("spec.events", 128, event)},
			refused:  []change{drop("spec.commands"), repeat("spec.events", 129, event)},
			says:     []string{"spec.events", "at most 128 items"},
		},
		{
			name:     "a type has a field",
			manifest: aggregateManifest,
			refused:  []change{set("spec.types[0].fields", "[]")},
			says:     []string{"spec.types[0].fields", "at least 1 items"},
		},
	})
}

// TestTheLargestAggregateIsAccepted fills every list to its end: the cost of
// the rules must not refuse what the limits allow.
func TestTheLargestAggregateIsAccepted(t *testing.T) {
	names := func(prefix string) func(i int) string {
		return func(i int) string { return fmt.Sprintf("{name: %s, type: map<map<list<int>>>}", long(prefix, i)) }
	}
	fields := "[" + join(64, names("f")) + "]"
	emits := "[" + join(16, func(int) string { return "{event: " + long("E", 127) + "}" }) + "]"
	err := create(t, parse(t, aggregateManifest,
		repeat("spec.types", 16, func(i int) string { return fmt.Sprintf("{name: %s, fields: %s}", long("T", i), fields) }),
		set("spec.state", fields),
		repeat("spec.commands", 64, func(i int) string {
			return fmt.Sprintf("{name: %s, fields: %s, emit: %s}", long("C", i), fields, emits)
		}),
		repeat("spec.events", 128, func(i int) string { return fmt.Sprintf("{name: %s}", long("E", i)) }),
	))
	if err != nil {
		t.Error(err)
	}
}

func event(i int) string { return fmt.Sprintf("{name: E%d}", i) }

// long returns the i-th of many names of the greatest length.
func long(prefix string, i int) string {
	name := fmt.Sprintf("%s%d", prefix, i)
	return name + text(63-len(name))
}

func join(count int, item func(i int) string) string {
	joined := ""
	for i := range count {
		joined += item(i) + ", "
	}
	return joined
}
