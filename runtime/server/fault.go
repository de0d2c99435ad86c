//go:build faults

package server

import (
	"fmt"
	"net/http"
	"strconv"
)

// This file is in builds for tests alone, which ask for it by the tag "faults".

// withFaults adds what makes a part of the process fail to the port of health and
// metrics:
//
//	POST /faults/panic?aggregate=NAME&shard=NUMBER   the shard's goroutine panics
func (s *Server) withFaults(next http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", next)
	mux.HandleFunc("POST /faults/panic", func(w http.ResponseWriter, r *http.Request) {
		name := r.FormValue("aggregate")
		number, err := strconv.ParseInt(r.FormValue("shard"), 10, 32)
		_, a, unknown := s.find(name)
		if err != nil || unknown != nil || number < 0 || int(number) >= len(a.ranges) || a.shard(int32(number)) == nil {
			http.Error(w, fmt.Sprintf("shard %q of %q is not served here", r.FormValue("shard"), name), http.StatusNotFound)
			return
		}
		a.shard(int32(number)).Panic()
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}
