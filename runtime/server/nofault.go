//go:build !faults

package server

import "net/http"

// withFaults does nothing: faults can be provoked only in a build for tests.
func (s *Server) withFaults(next http.Handler) http.Handler { return next }
