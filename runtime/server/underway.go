package server

import (
	"context"
	"net/http"
	"sync"
)

// underway counts the calls that came before a stop. While they end, the
// listener stays open, so that a caller who comes meanwhile is told NotAttempted
// and not merely refused a connection.
type underway struct {
	mu     sync.Mutex
	calls  int
	closed bool
	ended  chan struct{}
}

func newUnderway() *underway { return &underway{ended: make(chan struct{})} }

// track counts the calls that next serves until wait is called.
func (u *underway) track(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u.begin() {
			defer u.end()
		}
		next.ServeHTTP(w, r)
	})
}

func (u *underway) begin() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return false
	}
	u.calls++
	return true
}

func (u *underway) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.calls--
	if u.closed && u.calls == 0 {
		close(u.ended)
	}
}

// wait counts no further calls, and returns when those counted have ended, or
// ctx has; then it tells how many are left.
func (u *underway) wait(ctx context.Context) (left int) {
	u.mu.Lock()
	if !u.closed {
		u.closed = true
		if u.calls == 0 {
			close(u.ended)
		}
	}
	u.mu.Unlock()
	select {
	case <-u.ended:
	case <-ctx.Done():
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.calls
}
