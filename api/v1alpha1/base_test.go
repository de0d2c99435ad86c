package v1alpha1_test

import "testing"

func TestEachManifestOfTheTablesIsAccepted(t *testing.T) {
	for name, manifest := range map[string]string{
		"an EventStore on PostgreSQL": postgresManifest,
		"an EventStore on SQLite":     sqliteManifest,
		"a Runtime":                   runtimeManifest,
		"an Aggregate":                aggregateManifest,
		"a Shard":                     shardManifest,
		"a Projection":                projectionManifest,
	} {
		t.Run(name, func(t *testing.T) {
			if err := create(t, parse(t, manifest)); err != nil {
				t.Error(err)
			}
		})
	}
}
