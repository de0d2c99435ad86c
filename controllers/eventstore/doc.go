// Package eventstore reconciles EventStores: it looks at the database behind each,
// brings its schema up to date and marks whose it is; for SQLite it makes the
// volume.
//
// A database cannot be watched, so one that is ready is looked at again every half
// minute to minute, and one that is not after a time that grows with how long it
// has not been. Nothing is written to the API server when nothing has changed.
//
//	what is found                                      Ready  beside it    reason
//	answers, safe, ours, up to date                    True   -            Ready
//	its tables are being brought up to date            False  Reconciling  Migrating
//	the Secret is not there                            False  Reconciling  SecretNotFound
//	no answer, or the role is refused                  False  Reconciling  StoreUnreachable
//	the Secret has no usable connection URI            False  Stalled      SecretKeyMissing
//	would lose what it acknowledged, lacks a right     False  Stalled      StoreUnsuitable
//	the schema is another EventStore's                 False  Stalled      SchemaInUse
//	the schema was changed by too new a release        False  Stalled      SchemaTooNew
//	the EventStore is being deleted                    False  Reconciling  Deleting
//
// # Deletion
//
// With Retain the mark is taken off the schema, so that whichever EventStore names
// it next finds the data, and the volume loses its owner. That waits for nobody: a
// database that does not answer within [markTimeout] keeps the mark, which
// EventStores of the same name do not mind.
//
// With Delete the schema is dropped once no pod of any Runtime uses it, by the
// heartbeats in it, and the volume is deleted. While pods use it or the database
// does not answer, the EventStore stays and says so. It goes all the same, and
// leaves the data, when the connection's Secret is gone (as when the namespace is
// deleted), when deletionPolicy is changed to Retain, and when the schema never
// was its own.
//
// It must never print what a Secret holds, drop a schema that is not marked as this
// EventStore's, or decide which pods run.
package eventstore
