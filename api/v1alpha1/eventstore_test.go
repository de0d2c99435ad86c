package v1alpha1_test

import (
	"strings"
	"testing"
)

func TestEventStoreRules(t *testing.T) {
	checkRules(t, []rule{
		{
			name:     "a store is PostgreSQL or SQLite, not both",
			manifest: postgresManifest,
			refused:  []change{set("spec.sqlite", "{storage: 1Gi}")},
			says:     []string{"set exactly one of spec.postgres and spec.sqlite"},
		},
		{
			name:     "a store is PostgreSQL or SQLite, not neither",
			manifest: sqliteManifest,
			refused:  []change{drop("spec.sqlite")},
			says:     []string{"set exactly one of spec.postgres and spec.sqlite"},
		},
		{
			name:     "a spec is needed",
			manifest: sqliteManifest,
			refused:  []change{drop("spec")},
			says:     []string{"spec: Required value"},
		},
		{
			name:     "the connection is in a Secret",
			manifest: postgresManifest,
			refused:  []change{drop("spec.postgres.connectionSecretRef")},
			says:     []string{"spec.postgres.connectionSecretRef: Required value"},
		},
		{
			name:     "the Secret has a name",
			manifest: postgresManifest,
			accepted: []change{set("spec.postgres.connectionSecretRef.name", text(253))},
			refused:  []change{set("spec.postgres.connectionSecretRef.name", `""`)},
			says:     []string{"spec.postgres.connectionSecretRef.name", "at least 1 chars"},
		},
		{
			name:     "the name of the Secret has at most 253 characters",
			manifest: postgresManifest,
			accepted: []change{set("spec.postgres.connectionSecretRef.name", text(253))},
			refused:  []change{set("spec.postgres.connectionSecretRef.name", text(254))},
			says:     []string{"spec.postgres.connectionSecretRef.name", "253"},
		},
		{
			name:     "the key of the Secret is one that a Secret can have",
			manifest: postgresManifest,
			accepted: []change{set("spec.postgres.connectionSecretRef.key", "a.b-C_9")},
			refused:  []change{set("spec.postgres.connectionSecretRef.key", "a/b")},
			says:     []string{"spec.postgres.connectionSecretRef.key", "should match"},
		},
		{
			name:     "the key of the Secret has at most 253 characters",
			manifest: postgresManifest,
			accepted: []change{set("spec.postgres.connectionSecretRef.key", text(253))},
			refused:  []change{set("spec.postgres.connectionSecretRef.key", text(254))},
			says:     []string{"spec.postgres.connectionSecretRef.key", "253"},
		},
		{
			name:     "the key of the Secret is not empty",
			manifest: postgresManifest,
			accepted: []change{set("spec.postgres.connectionSecretRef.key", "u")},
			refused:  []change{set("spec.postgres.connectionSecretRef.key", `""`)},
			says:     []string{"spec.postgres.connectionSecretRef.key", "at least 1 chars"},
		},
		{
			name:     "a schema is a plain SQL name",
			manifest: postgresManifest,
			accepted: []change{set("spec.postgres.schema", "_bank_2")},
			refused:  []change{set("spec.postgres.schema", "Bank")},
			says:     []string{"spec.postgres.schema", "lower case letters"},
		},
		{
			name:     "a schema does not begin with a digit",
			manifest: postgresManifest,
			accepted: []change{set("spec.postgres.schema", "b2")},
			refused:  []change{set("spec.postgres.schema", "2b")},
			says:     []string{"spec.postgres.schema", "not begin with a digit"},
		},
		{
			name:     "a schema is not one of PostgreSQL's own",
			manifest: postgresManifest,
			accepted: []change{set("spec.postgres.schema", "pg")},
			refused:  []change{set("spec.postgres.schema", "pg_bank")},
			says:     []string{"spec.postgres.schema", "pg_"},
		},
		{
			name:     "a schema has at most 63 characters",
			manifest: postgresManifest,
			accepted: []change{set("spec.postgres.schema", text(63))},
			refused:  []change{set("spec.postgres.schema", text(64))},
			says:     []string{"spec.postgres.schema", "63"},
		},
		{
			name:     "a schema is not empty",
			manifest: postgresManifest,
			accepted: []change{set("spec.postgres.schema", "b")},
			refused:  []change{set("spec.postgres.schema", `""`)},
			says:     []string{"spec.postgres.schema", "at least 1 chars"},
		},
		{
			name:     "storage is a size",
			manifest: sqliteManifest,
			accepted: []change{set("spec.sqlite.storage", "500M")},
			refused:  []change{set("spec.sqlite.storage", "large")},
			says:     []string{"spec.sqlite.storage", "should match"},
		},
		{
			name:     "storage is more than nothing",
			manifest: sqliteManifest,
			accepted: []change{set("spec.sqlite.storage", "1")},
			refused:  []change{set("spec.sqlite.storage", "0")},
			says:     []string{"spec.sqlite.storage", "more than 0"},
		},
		{
			name:     "the deletion policy is Retain or Delete",
			manifest: postgresManifest,
			accepted: []change{set("spec.deletionPolicy", "Delete")},
			refused:  []change{set("spec.deletionPolicy", "Keep")},
			says:     []string{"spec.deletionPolicy", `"Retain", "Delete"`},
		},
	})
}

func TestWhatOfAnEventStoreMayChange(t *testing.T) {
	checkUpdateRules(t, []rule{
		{
			name:     "the schema stays",
			manifest: postgresManifest,
			accepted: []change{set("spec.postgres.connectionSecretRef.name", "other")},
			refused:  []change{set("spec.postgres.schema", "other")},
			says:     []string{"spec.postgres.schema", "schema cannot change", "make a new EventStore"},
		},
		{
			name:     "PostgreSQL does not become SQLite",
			manifest: postgresManifest,
			accepted: []change{set("spec.deletionPolicy", "Delete")},
			refused:  []change{drop("spec.postgres"), set("spec.sqlite", "{storage: 1Gi}")},
			says:     []string{"spec.postgres and spec.sqlite cannot take each other's place"},
		},
		{
			name:     "SQLite does not become PostgreSQL",
			manifest: sqliteManifest,
			accepted: []change{set("spec.deletionPolicy", "Delete")},
			refused:  []change{drop("spec.sqlite"), set("spec.postgres", "{connectionSecretRef: {name: bank-db}}")},
			says:     []string{"spec.postgres and spec.sqlite cannot take each other's place"},
		},
		{
			name:     "storage grows and does not shrink",
			manifest: sqliteManifest,
			accepted: []change{set("spec.sqlite.storage", "1025Mi")},
			refused:  []change{set("spec.sqlite.storage", "1023Mi")},
			says:     []string{"spec.sqlite.storage", "storage cannot shrink"},
		},
	})
}

// text returns a word of so many lower case letters.
func text(length int) string { return strings.Repeat("a", length) }

// capital returns a word of so many letters, the first a capital.
func capital(length int) string { return "A" + strings.Repeat("a", length-1) }
