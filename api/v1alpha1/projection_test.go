package v1alpha1_test

import (
	"fmt"
	"testing"
)

func TestProjectionRules(t *testing.T) {
	const second = "{aggregate: loan, events: [Opened, Repaid]}"
	checkRules(t, []rule{
		{
			name:     "a projection has a target",
			manifest: projectionManifest,
			refused:  []change{drop("spec.table")},
			says:     []string{"spec.table is needed"},
		},
		{
			name:     "a projection has a source",
			manifest: projectionManifest,
			refused:  []change{set("spec.sources", "[]")},
			says:     []string{"spec.sources", "at least 1 items"},
		},
		{
			name:     "a source names an Aggregate",
			manifest: projectionManifest,
			refused:  []change{drop("spec.sources[0].aggregate")},
			says:     []string{"spec.sources[0].aggregate: Required value"},
		},
		{
			name:     "the Aggregate of a source has a name of at most 58 characters",
			manifest: projectionManifest,
			accepted: []change{drop("spec.table.apply[0].aggregate"), set("spec.sources[0].aggregate", text(58))},
			refused:  []change{drop("spec.table.apply[0].aggregate"), set("spec.sources[0].aggregate", text(59))},
			says:     []string{"spec.sources[0].aggregate", "58"},
		},
		{
			name:     "a source without events takes all, and one with none takes none: it is refused",
			manifest: projectionManifest,
			accepted: []change{drop("spec.sources[0].events")},
			refused:  []change{set("spec.sources[0].events", "[]")},
			says:     []string{"spec.sources[0].events", "at least 1 items"},
		},
		{
			name:     "an event of a rule is one that a source names",
			manifest: projectionManifest,
			accepted: []change{set("spec.table.apply[2].event", "Opened")},
			refused:  []change{set("spec.table.apply[2].event", "Deposited")},
			says:     []string{"table.apply[].event must be one that spec.sources names"},
		},
		{
			name:     "an event of a rule may be any where a source takes all",
			manifest: projectionManifest,
			accepted: []change{drop("spec.sources[0].events"), set("spec.table.apply[2].event", "Deposited")},
			refused:  []change{set("spec.table.apply[2].event", "Deposited")},
			says:     []string{"table.apply[].event must be one that spec.sources names"},
		},
		{
			name:     "an event of a rule is looked for in the rule's own aggregate",
			manifest: projectionManifest,
			accepted: []change{appendTo("spec.sources[1]", second), set("spec.table.apply[2]", "{aggregate: loan, event: Repaid, delete: true}")},
			refused:  []change{appendTo("spec.sources[1]", second), set("spec.table.apply[2]", "{aggregate: account, event: Repaid, delete: true}")},
			says:     []string{"table.apply[].event must be one that spec.sources names"},
		},
		{
			name:     "an aggregate of a rule is a source",
			manifest: projectionManifest,
			accepted: []change{set("spec.table.apply[2].aggregate", "account")},
			refused:  []change{set("spec.table.apply[2].aggregate", "loan")},
			says:     []string{"table.apply[].aggregate must be one of spec.sources[].aggregate"},
		},
		{
			name:     "an aggregate stands beside an event whose name sources share",
			manifest: projectionManifest,
			accepted: []change{appendTo("spec.sources[1]", second)},
			refused:  []change{appendTo("spec.sources[1]", second), drop("spec.table.apply[0].aggregate")},
			says:     []string{"table.apply[].aggregate is needed beside an event whose name several sources share"},
		},
		{
			name:     "a rule sets or deletes, not both",
			manifest: projectionManifest,
			accepted: []change{set("spec.table.apply[0].delete", "false")},
			refused:  []change{set("spec.table.apply[0].delete", "true")},
			says:     []string{"spec.table.apply[0]", "set exactly one of set and delete: true"},
		},
		{
			name:     "a rule sets or deletes, not neither",
			manifest: projectionManifest,
			refused:  []change{drop("spec.table.apply[0].set")},
			says:     []string{"spec.table.apply[0]", "set exactly one of set and delete: true"},
		},
		{
			name:     "a rule that sets, sets something",
			manifest: projectionManifest,
			refused:  []change{set("spec.table.apply[0].set", "{}")},
			says:     []string{"spec.table.apply[0].set", "at least 1 properties"},
		},
		{
			name:     "a table is named in SQL's small letters",
			manifest: projectionManifest,
			accepted: []change{set("spec.table.name", "balances_2")},
			refused:  []change{set("spec.table.name", "Balances")},
			says:     []string{"spec.table.name", "should match"},
		},
		{
			name:     "the name of a table has at most 63 characters",
			manifest: projectionManifest,
			accepted: []change{set("spec.table.name", text(63))},
			refused:  []change{set("spec.table.name", text(64))},
			says:     []string{"spec.table.name", "63"},
		},
		{
			name:     "the name of a table is not empty",
			manifest: projectionManifest,
			refused:  []change{set("spec.table.name", `""`)},
			says:     []string{"spec.table.name", "at least 1 chars"},
		},
		{
			name:     "a table without a name takes the projection's, which must make one",
			manifest: projectionManifest,
			accepted: []change{drop("spec.table.name"), set("metadata.name", "open-balances-2")},
			refused:  []change{drop("spec.table.name"), set("metadata.name", "2-balances")},
			says:     []string{"spec.table.name is needed, because metadata.name does not make a table name"},
		},
		{
			name:     "a projection may have any name beside the name of a table",
			manifest: projectionManifest,
			accepted: []change{set("metadata.name", "2.balances")},
			refused:  []change{drop("spec.table.name"), set("metadata.name", "balances.v2")},
			says:     []string{"spec.table.name is needed, because metadata.name does not make a table name"},
		},
		{
			name:     "a table has a key",
			manifest: projectionManifest,
			refused:  []change{drop("spec.table.key")},
			says:     []string{"spec.table.key: Required value"},
		},
		{
			name:     "a key is of a type that can be asked for",
			manifest: projectionManifest,
			accepted: []change{set("spec.table.key.type", "timestamp")},
			refused:  []change{set("spec.table.key.type", "double")},
			says:     []string{"spec.table.key.type", `"string", "int", "bool", "timestamp", "duration"`},
		},
		{
			name:     "a table has a column",
			manifest: projectionManifest,
			refused:  []change{set("spec.table.columns", "[]")},
			says:     []string{"spec.table.columns", "at least 1 items"},
		},
		{
			name:     "a column is not named as the key, in any case",
			manifest: projectionManifest,
			accepted: []change{set("spec.table.columns[0].name", "accounts")},
			refused:  []change{set("spec.table.columns[0].name", "acCount")},
			says:     []string{"spec.table", "columns[].name must differ from key.name"},
		},
		{
			name:     "columns differ in more than case",
			manifest: projectionManifest,
			accepted: []change{set("spec.table.columns[0].name", "balances")},
			refused:  []change{set("spec.table.columns[0].name", "baLance")},
			says:     []string{"spec.table", "columns[].name must differ in more than case"},
		},
		{
			name:     "a column is not a system column",
			manifest: projectionManifest,
			accepted: []change{set("spec.table.columns[0].name", "xmins")},
			refused:  []change{set("spec.table.columns[0].name", "xmin")},
			says:     []string{"spec.table.columns[0].name", "name is a system column of PostgreSQL"},
		},
		{
			name:     "a key is not a system column",
			manifest: projectionManifest,
			accepted: []change{set("spec.table.key.name", "tableoids")},
			refused:  []change{set("spec.table.key.name", "tableoid")},
			says:     []string{"spec.table.key.name", "name is a system column of PostgreSQL"},
		},
		{
			name:     "a table has a rule",
			manifest: projectionManifest,
			refused:  []change{set("spec.table.apply", "[]")},
			says:     []string{"spec.table.apply", "at least 1 items"},
		},
	})
}

func TestWhatOfAProjectionMayChange(t *testing.T) {
	checkUpdateRules(t, []rule{{
		name:     "the target stays a table, whose columns may change",
		manifest: projectionManifest,
		accepted: []change{appendTo("spec.table.columns[2]", "{name: opened, type: timestamp}")},
		refused:  []change{drop("spec.table")},
		says:     []string{"spec.table is needed"},
	}})
}

func TestHowManyOfEachAProjectionHas(t *testing.T) {
	for _, list := range []struct {
		path string
		most int
		item func(i int) string
		with []change
	}{
		{"spec.sources", 16, func(i int) string { return fmt.Sprintf("{aggregate: a%d}", i) }, []change{drop("spec.table.apply[0].aggregate")}},
		{"spec.sources[0].events", 128, func(i int) string { return fmt.Sprintf("E%d", i) }, []change{set("spec.table.apply", "[{event: E0, delete: true}]")}},
		{"spec.table.columns", 64, func(i int) string { return fmt.Sprintf("{name: c%d, type: int}", i) }, nil},
		{"spec.table.apply", 256, func(int) string { return "{event: Closed, delete: true}" }, nil},
	} {
		checkRules(t, []rule{{
			name:     fmt.Sprintf("%s has at most %d items", list.path, list.most),
			manifest: projectionManifest,
			accepted: append([]change{repeat(list.path, list.most, list.item)}, list.with...),
			refused:  append([]change{repeat(list.path, list.most+1, list.item)}, list.with...),
			says:     []string{list.path, fmt.Sprintf("at most %d items", list.most)},
		}})
	}
	checkRules(t, []rule{{
		name:     "a rule sets at most 64 columns",
		manifest: projectionManifest,
		accepted: []change{set("spec.table.apply[0].set", entries(64, `"1"`))},
		refused:  []change{set("spec.table.apply[0].set", entries(65, `"1"`))},
		says:     []string{"spec.table.apply[0].set", "at most 64"},
	}})
}
