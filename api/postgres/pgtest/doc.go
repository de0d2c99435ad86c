// Package pgtest gives tests a real PostgreSQL: a private server of the
// process's own, with fsync on, reached by an ordinary role without extensions
// or superuser rights.
//
//	func TestSomething(t *testing.T) {
//		store, err := postgres.Open(ctx, postgres.Options{
//			URL:    pgtest.URL(t),
//			Schema: pgtest.Schema(t),
//		})
//
// The server starts with the first test that asks and is shared by all tests of
// the process. It ends with the process however that ends (a failure, a panic,
// a kill -9): a small shell beside it holds the other end of a pipe, stops the
// server when the pipe closes, and removes its folder. Nothing has to be
// called, TestMain included.
//
// Tests that need a server of their own, to configure, crash or restart it, use
// Start. Programs that are no tests (benchmarks) use Launch.
//
// Environment:
//
//	LEFTFOLD_TEST_POSTGRES      URL of a server to use for URL and Schema instead
//	                            of a private one; its role may create schemas
//	LEFTFOLD_TEST_POSTGRES_BIN  folder with initdb and postgres; otherwise the
//	                            newest of /usr/lib/postgresql/*/bin, then PATH
//
// It never uses, changes or stops a server that it did not start.
package pgtest
