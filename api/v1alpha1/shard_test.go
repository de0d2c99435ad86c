package v1alpha1_test

import "testing"

func TestShardRules(t *testing.T) {
	const message = "metadata.name must be spec.aggregateRef.name, a dash and spec.id"
	checkRules(t, []rule{
		{
			name:     "a Shard is named after its Aggregate and its id",
			manifest: shardManifest,
			accepted: []change{set("metadata.name", "account-12"), set("spec.id", "12")},
			refused:  []change{set("metadata.name", "account-4")},
			says:     []string{message},
		},
		{
			name:     "the name begins with the Aggregate's",
			manifest: shardManifest,
			accepted: []change{set("metadata.name", "a-b-3"), set("spec.aggregateRef.name", "a-b")},
			refused:  []change{set("metadata.name", "acount-3")},
			says:     []string{message},
		},
		{
			name:     "the name has a dash before the id",
			manifest: shardManifest,
			refused:  []change{set("metadata.name", "account3")},
			says:     []string{message},
		},
		{
			name:     "the id in the name has no zeros before it",
			manifest: shardManifest,
			accepted: []change{set("metadata.name", "account-0"), set("spec.id", "0")},
			refused:  []change{set("metadata.name", "account-03")},
			says:     []string{message},
		},
		{
			name:     "the id in the name is a number",
			manifest: shardManifest,
			refused:  []change{set("metadata.name", "account-three")},
			says:     []string{message},
		},
		{
			name:     "an Aggregate is named",
			manifest: shardManifest,
			refused:  []change{drop("spec.aggregateRef")},
			says:     []string{"spec.aggregateRef: Required value"},
		},
		{
			name:     "the name of the Aggregate has at most 58 characters",
			manifest: shardManifest,
			accepted: []change{set("metadata.name", text(58)+"-9999"), set("spec.aggregateRef.name", text(58)), set("spec.id", "9999")},
			refused:  []change{set("metadata.name", text(59)+"-3"), set("spec.aggregateRef.name", text(59))},
			says:     []string{"spec.aggregateRef.name", "58"},
		},
		{
			name:     "the name of the Aggregate is not empty",
			manifest: shardManifest,
			refused:  []change{set("spec.aggregateRef.name", `""`)},
			says:     []string{"spec.aggregateRef.name", "at least 1 chars"},
		},
		{
			name:     "an id has at most four digits",
			manifest: shardManifest,
			accepted: []change{set("metadata.name", "account-9999"), set("spec.id", "9999")},
			refused:  []change{set("metadata.name", "account-10000"), set("spec.id", "10000")},
			says:     []string{"spec.id", "less than or equal to 9999"},
		},
		{
			name:     "an id is not negative",
			manifest: shardManifest,
			accepted: []change{set("metadata.name", "account-0"), set("spec.id", "0")},
			refused:  []change{set("metadata.name", "account--1"), set("spec.id", "-1")},
			says:     []string{"spec.id", "greater than or equal to 0"},
		},
		{
			name:     "an id is given",
			manifest: shardManifest,
			refused:  []change{drop("spec.id")},
			says:     []string{"spec.id: Required value"},
		},
		{
			name:     "slots are given",
			manifest: shardManifest,
			refused:  []change{drop("spec.slots")},
			says:     []string{"spec.slots: Required value"},
		},
		{
			name:     "a first slot is given",
			manifest: shardManifest,
			refused:  []change{drop("spec.slots.first")},
			says:     []string{"spec.slots.first: Required value"},
		},
		{
			name:     "a last slot is given",
			manifest: shardManifest,
			refused:  []change{drop("spec.slots.last")},
			says:     []string{"spec.slots.last: Required value"},
		},
		{
			name:     "the first slot is not above the last",
			manifest: shardManifest,
			accepted: []change{set("spec.slots", "{first: 7, last: 7}")},
			refused:  []change{set("spec.slots", "{first: 8, last: 7}")},
			says:     []string{"spec.slots", "slots.first must not be above slots.last"},
		},
		{
			name:     "slots begin at 0",
			manifest: shardManifest,
			accepted: []change{set("spec.slots.first", "0")},
			refused:  []change{set("spec.slots.first", "-1")},
			says:     []string{"spec.slots.first", "greater than or equal to 0"},
		},
		{
			name:     "slots end at 65535",
			manifest: shardManifest,
			accepted: []change{set("spec.slots.last", "65535")},
			refused:  []change{set("spec.slots.last", "65536")},
			says:     []string{"spec.slots.last", "less than or equal to 65535"},
		},
		{
			name:     "the first slot is not beyond the end",
			manifest: shardManifest,
			accepted: []change{set("spec.slots", "{first: 65535, last: 65535}")},
			refused:  []change{set("spec.slots.first", "65536")},
			says:     []string{"spec.slots.first", "less than or equal to 65535"},
		},
		{
			name:     "the last slot is not before the beginning",
			manifest: shardManifest,
			accepted: []change{set("spec.slots", "{first: 0, last: 0}")},
			refused:  []change{set("spec.slots.last", "-1")},
			says:     []string{"spec.slots.last", "greater than or equal to 0"},
		},
	})
}

func TestWhatOfAShardMayChange(t *testing.T) {
	checkUpdateRules(t, []rule{
		{
			name:     "slots stay",
			manifest: shardManifest,
			accepted: []change{set("metadata.labels", "{team: ledger}")},
			refused:  []change{set("spec.slots.last", "16384")},
			says:     []string{"spec of a Shard cannot change"},
		},
	})
}
