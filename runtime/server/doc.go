// Package server is the composition root of the data plane: the only package
// that knows every implementation, and the place where the order of start and
// stop is written down.
//
// Start: stores are opened and migrated; aggregates are made known and their
// definitions accepted; shards are claimed; projections begin; then, and not
// before, the listener answers and the ready line is printed.
//
// Stop, on SIGTERM: new calls are refused with NotAttempted while those under
// way end; streams end; projections stop; shards drain and are released; stores
// close.
//
// It must hold no rule of its own about events, shards or projections.
package server
