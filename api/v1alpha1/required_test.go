package v1alpha1_test

import (
	"fmt"
	"testing"
)

func TestWhatIsNeededIsAskedFor(t *testing.T) {
	for _, place := range []struct{ manifest, path string }{
		{postgresManifest, "spec.postgres.connectionSecretRef.name"},
		{runtimeManifest, "spec"},
		{runtimeManifest, "spec.storeRef.name"},
		{aggregateManifest, "spec"},
		{aggregateManifest, "spec.runtimeRef.name"},
		{aggregateManifest, "spec.types[0].name"},
		{aggregateManifest, "spec.types[0].fields"},
		{aggregateManifest, "spec.types[0].fields[0].name"},
		{aggregateManifest, "spec.state[0].name"},
		{aggregateManifest, "spec.commands[0].name"},
		{aggregateManifest, "spec.commands[0].fields[0].name"},
		{aggregateManifest, "spec.commands[0].let[0].name"},
		{aggregateManifest, "spec.commands[0].let[0].value"},
		{aggregateManifest, "spec.commands[0].reject[0].when"},
		{aggregateManifest, "spec.commands[0].reject[0].reason"},
		{aggregateManifest, "spec.commands[0].emit[0].event"},
		{aggregateManifest, "spec.commands[1].emit[0].forEach.in"},
		{aggregateManifest, "spec.commands[1].emit[0].forEach.as"},
		{aggregateManifest, "spec.events"},
		{aggregateManifest, "spec.events[0].name"},
		{aggregateManifest, "spec.events[0].fields[0].name"},
		{shardManifest, "spec"},
		{shardManifest, "spec.aggregateRef.name"},
		{projectionManifest, "spec"},
		{projectionManifest, "spec.sources"},
		{projectionManifest, "spec.table.key.name"},
		{projectionManifest, "spec.table.key.type"},
		{projectionManifest, "spec.table.key.value"},
		{projectionManifest, "spec.table.columns"},
		{projectionManifest, "spec.table.columns[0].name"},
		{projectionManifest, "spec.table.apply"},
		{projectionManifest, "spec.table.apply[0].event"},
		{projectionManifest, "spec.table.apply[1].forEach.in"},
		{projectionManifest, "spec.table.apply[1].forEach.as"},
	} {
		checkRules(t, []rule{{
			name:     place.path + " is needed",
			manifest: place.manifest,
			refused:  []change{drop(place.path)},
			says:     []string{place.path + ": Required value"},
		}})
	}
}

// TestNamesThatReferToOthers holds references to the rules of the names that
// they repeat, so that a slip is told where it was made.
func TestNamesThatReferToOthers(t *testing.T) {
	for _, path := range []string{"spec.commands[0].emit[0].event", "spec.table.apply[2].event"} {
		manifest := aggregateManifest
		if path == "spec.table.apply[2].event" {
			manifest = projectionManifest
		}
		checkRules(t, []rule{
			{
				name:     path + " begins with a capital",
				manifest: manifest,
				refused:  []change{set(path, "withdrawn")},
				says:     []string{path, "should match '^[A-Z]"},
			},
			{
				name:     path + " has at most 63 characters",
				manifest: manifest,
				refused:  []change{set(path, capital(64))},
				says:     []string{path, "63"},
			},
			{
				name:     path + " is not empty",
				manifest: manifest,
				refused:  []change{set(path, `""`)},
				says:     []string{path, "at least 1 chars"},
			},
		})
	}
	for _, place := range []struct {
		manifest, path string
		most           int
	}{
		{aggregateManifest, "spec.runtimeRef.name", 253},
		{projectionManifest, "spec.sources[0].aggregate", 58},
		{projectionManifest, "spec.table.apply[0].aggregate", 58},
		{runtimeManifest, "spec.pod.serviceAccountName", 253},
		{runtimeManifest, "spec.pod.priorityClassName", 253},
	} {
		checkRules(t, []rule{
			{
				name:     fmt.Sprintf("%s has at most %d characters", place.path, place.most),
				manifest: place.manifest,
				refused:  []change{set(place.path, text(place.most+1))},
				says:     []string{place.path, fmt.Sprint(place.most)},
			},
			{
				name:     place.path + " is not empty",
				manifest: place.manifest,
				refused:  []change{set(place.path, `""`)},
				says:     []string{place.path, "at least 1 chars"},
			},
		})
	}
}
