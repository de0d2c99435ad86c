package v1alpha1_test

import (
	"strings"
	"testing"
)

// TestNamesInDeclarations holds every place where an author writes a name to
// the rule for its kind of name.
func TestNamesInDeclarations(t *testing.T) {
	capitals := []struct{ manifest, path string }{
		{aggregateManifest, "spec.types[0].name"},
		{aggregateManifest, "spec.commands[0].name"},
		{aggregateManifest, "spec.commands[0].reject[0].reason"},
		{aggregateManifest, "spec.events[2].name"},
		{projectionManifest, "spec.sources[0].events[3]"},
	}
	for _, place := range capitals {
		manifest := withSpare(place.manifest)
		checkRules(t, []rule{
			{
				name:     place.path + " begins with a capital",
				manifest: manifest,
				accepted: []change{set(place.path, "Limit2a")},
				refused:  []change{set(place.path, "limit")},
				says:     []string{place.path, "should match '^[A-Z]"},
			},
			{
				name:     place.path + " is letters and digits",
				manifest: manifest,
				accepted: []change{set(place.path, "L")},
				refused:  []change{set(place.path, "Daily-Limit")},
				says:     []string{place.path, "should match '^[A-Z]"},
			},
			{
				name:     place.path + " has at most 63 characters",
				manifest: manifest,
				accepted: []change{set(place.path, capital(63))},
				refused:  []change{set(place.path, capital(64))},
				says:     []string{place.path, "63"},
			},
			{
				name:     place.path + " is not empty",
				manifest: manifest,
				refused:  []change{set(place.path, `""`)},
				says:     []string{place.path, "at least 1 chars"},
			},
		})
	}

	small := []struct{ manifest, path string }{
		{aggregateManifest, "spec.types[0].fields[0].name"},
		{aggregateManifest, "spec.state[0].name"},
		{aggregateManifest, "spec.commands[0].fields[0].name"},
		{aggregateManifest, "spec.commands[0].let[0].name"},
		{aggregateManifest, "spec.commands[1].emit[0].forEach.as"},
		{aggregateManifest, "spec.events[0].fields[0].name"},
		{projectionManifest, "spec.table.key.name"},
		{projectionManifest, "spec.table.columns[0].name"},
		{projectionManifest, "spec.table.apply[1].forEach.as"},
	}
	for _, place := range small {
		checkRules(t, []rule{
			{
				name:     place.path + " begins with a small letter",
				manifest: place.manifest,
				accepted: []change{set(place.path, "xY2")},
				refused:  []change{set(place.path, "XY2")},
				says:     []string{place.path, "should match '^[a-z]"},
			},
			{
				name:     place.path + " is letters and digits",
				manifest: place.manifest,
				accepted: []change{set(place.path, "xY")},
				refused:  []change{set(place.path, "x_y")},
				says:     []string{place.path, "should match '^[a-z]"},
			},
			{
				name:     place.path + " has at most 63 characters",
				manifest: place.manifest,
				accepted: []change{set(place.path, text(63))},
				refused:  []change{set(place.path, text(64))},
				says:     []string{place.path, "63"},
			},
			{
				name:     place.path + " is not empty",
				manifest: place.manifest,
				refused:  []change{set(place.path, `""`)},
				says:     []string{place.path, "at least 1 chars"},
			},
		})
		for _, word := range []string{"in", "true", "false", "null"} {
			checkRules(t, []rule{{
				name:     place.path + " is not the word " + word,
				manifest: place.manifest,
				accepted: []change{setText(place.path, word+"s")},
				refused:  []change{setText(place.path, word)},
				says:     []string{place.path, "is a word of the expression language (in, true, false, null): choose another"},
			}})
		}
	}
}

// withSpare adds an event that nothing refers to, so that its name can be
// changed alone.
func withSpare(manifest string) string {
	manifest = strings.Replace(manifest, "  snapshots:", "  - {name: Spare}\n  snapshots:", 1)
	return strings.Replace(manifest, "Closed]}", "Closed, Spare]}", 1)
}

func TestTypesOfFields(t *testing.T) {
	places := []struct{ manifest, path string }{
		{aggregateManifest, "spec.types[0].fields[0].type"},
		{aggregateManifest, "spec.state[0].type"},
		{aggregateManifest, "spec.commands[0].fields[0].type"},
		{aggregateManifest, "spec.events[0].fields[0].type"},
		{projectionManifest, "spec.table.columns[0].type"},
	}
	for _, place := range places {
		for _, accepted := range []string{
			"string", "int", "double", "bool", "bytes", "timestamp", "duration", "Limit", capital(63),
			"list<int>", "map<Limit>", "map<list<string>>", "list<map<list<map<" + capital(63) + ">>>>",
		} {
			checkRules(t, []rule{{
				name:     place.path + " may be " + accepted,
				manifest: place.manifest,
				accepted: []change{set(place.path, accepted)},
				refused:  []change{set(place.path, "set<int>")},
				says:     []string{place.path, "type must be string, int, double, bool, bytes, timestamp, duration"},
			}})
		}
		for _, refused := range []string{
			"integer", "limit", "list", "list<>", "list<int", "int>", "map<string,int>", "list<int>>", "list<<int>>", "List<int>", " int",
			"list<list<list<list<list<int>>>>>", capital(64),
		} {
			checkRules(t, []rule{{
				name:     place.path + " is not " + refused,
				manifest: place.manifest,
				accepted: []change{set(place.path, "int")},
				refused:  []change{setText(place.path, refused)},
				says:     []string{place.path, "type must be string, int, double, bool, bytes, timestamp, duration"},
			}})
		}
		checkRules(t, []rule{
			{
				name:     place.path + " is given",
				manifest: place.manifest,
				refused:  []change{drop(place.path)},
				says:     []string{place.path + ": Required value"},
			},
			{
				name:     place.path + " is not empty",
				manifest: place.manifest,
				refused:  []change{set(place.path, `""`)},
				says:     []string{place.path, "at least 1 chars"},
			},
			{
				name:     place.path + " has at most 96 characters",
				manifest: place.manifest,
				refused:  []change{setText(place.path, text(97))},
				says:     []string{place.path, "96"},
			},
		})
	}
}

func TestExpressionsHave1To4096Characters(t *testing.T) {
	for _, place := range []struct{ manifest, path string }{
		{aggregateManifest, "spec.types[0].fields[0].check"},
		{aggregateManifest, "spec.commands[0].fields[0].check"},
		{aggregateManifest, "spec.commands[0].fields[1].default"},
		{aggregateManifest, "spec.commands[0].let[0].value"},
		{aggregateManifest, "spec.commands[0].reject[0].when"},
		{aggregateManifest, "spec.commands[0].reject[0].message"},
		{aggregateManifest, "spec.commands[0].emit[0].when"},
		{aggregateManifest, "spec.commands[0].emit[0].set.amount"},
		{aggregateManifest, "spec.commands[1].emit[0].forEach.in"},
		{aggregateManifest, "spec.events[0].apply.balance"},
		{projectionManifest, "spec.table.key.value"},
		{projectionManifest, "spec.table.apply[0].set.owner"},
		{projectionManifest, "spec.table.apply[1].key"},
		{projectionManifest, "spec.table.apply[1].when"},
		{projectionManifest, "spec.table.apply[1].forEach.in"},
	} {
		checkRules(t, []rule{
			{
				name:     place.path + " has at most 4,096 characters",
				manifest: place.manifest,
				accepted: []change{set(place.path, text(4096))},
				refused:  []change{set(place.path, text(4097))},
				says:     []string{place.path, "4096"},
			},
			{
				name:     place.path + " is not empty",
				manifest: place.manifest,
				accepted: []change{set(place.path, "x")},
				refused:  []change{set(place.path, `""`)},
				says:     []string{place.path, "at least 1 chars"},
			},
			{
				name:     place.path + " is text, not what YAML turned it into",
				manifest: place.manifest,
				accepted: []change{set(place.path, `"true"`)},
				refused:  []change{set(place.path, "true")},
				says:     []string{place.path, "must be of type string"},
			},
		})
	}
}

// TestExpressionsThatHaveNoPlace: where a check or a default has no place, one
// of a wrong length is refused as well, rather than one rule hiding the other.
func TestExpressionsThatHaveNoPlace(t *testing.T) {
	for _, path := range []string{
		"spec.state[0].check", "spec.state[0].default", "spec.types[0].fields[0].default",
		"spec.events[0].fields[0].check", "spec.events[0].fields[0].default",
	} {
		checkRules(t, []rule{
			{
				name:     path + " is not empty",
				manifest: aggregateManifest,
				refused:  []change{set(path, `""`)},
				says:     []string{path, "at least 1 chars"},
			},
			{
				name:     path + " has at most 4,096 characters",
				manifest: aggregateManifest,
				refused:  []change{set(path, text(4097))},
				says:     []string{path, "4096"},
			},
		})
	}
}

func TestWhereFieldsTakeChecksAndDefaults(t *testing.T) {
	checkRules(t, []rule{
		{
			name:     "state takes no check",
			manifest: aggregateManifest,
			refused:  []change{set("spec.state[0].check", "self != ''")},
			says:     []string{"spec.state", "state[] takes no check and no default"},
		},
		{
			name:     "state takes no default",
			manifest: aggregateManifest,
			refused:  []change{set("spec.state[0].default", "'new'")},
			says:     []string{"spec.state", "state[] takes no check and no default"},
		},
		{
			name:     "a type takes a check and no default",
			manifest: aggregateManifest,
			accepted: []change{set("spec.types[0].fields[0].check", "self > 1")},
			refused:  []change{set("spec.types[0].fields[0].default", "'1'")},
			says:     []string{"spec.types[0].fields", "types[].fields[] takes no default"},
		},
		{
			name:     "an event takes no check",
			manifest: aggregateManifest,
			refused:  []change{set("spec.events[0].fields[0].check", "self > 1")},
			says:     []string{"spec.events[0].fields", "events[].fields[] takes no check and no default"},
		},
		{
			name:     "an event takes no default",
			manifest: aggregateManifest,
			refused:  []change{set("spec.events[0].fields[0].default", "'1'")},
			says:     []string{"spec.events[0].fields", "events[].fields[] takes no check and no default"},
		},
		{
			name:     "a field of a command has a default or is optional, not both",
			manifest: aggregateManifest,
			accepted: []change{set("spec.commands[0].fields[1].optional", "false"), set("spec.commands[0].fields[0].optional", "true")},
			refused:  []change{set("spec.commands[0].fields[1].optional", "true")},
			says:     []string{"spec.commands[0].fields[1]", "set default or optional, not both"},
		},
	})
}

func TestNamesAreGivenOnce(t *testing.T) {
	for _, place := range []struct{ manifest, path, item string }{
		{aggregateManifest, "spec.types[1]", "{name: Limit, fields: [{name: other, type: int}]}"},
		{aggregateManifest, "spec.types[0].fields[1]", "{name: single, type: string}"},
		{aggregateManifest, "spec.state[3]", "{name: status, type: int}"},
		{aggregateManifest, "spec.commands[2]", "{name: Withdraw}"},
		{aggregateManifest, "spec.commands[0].fields[2]", "{name: amount, type: string}"},
		{aggregateManifest, "spec.commands[0].let[1]", "{name: fee, value: '1'}"},
		{aggregateManifest, "spec.events[2]", "{name: Withdrawn}"},
		{aggregateManifest, "spec.events[0].fields[2]", "{name: amount, type: string}"},
		{projectionManifest, "spec.sources[1]", "{aggregate: account, events: [Opened]}"},
		{projectionManifest, "spec.sources[0].events[3]", "Opened"},
		{projectionManifest, "spec.table.columns[2]", "{name: owner, type: int}"},
	} {
		checkRules(t, []rule{{
			name:     place.path + " repeats a name",
			manifest: place.manifest,
			refused:  []change{appendTo(place.path, place.item)},
			says:     []string{place.path, "Duplicate value"},
		}})
	}
}
