package routing

import (
	"context"
	"time"
)

// want asks for the store to be asked, until unwant is called.
func (t *route) want() {
	if t.router.cfg.Lookup == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wanting++
	if t.looking {
		return
	}
	r := t.router
	r.mu.RLock() // Close waits for this, and then for the goroutine
	defer r.mu.RUnlock()
	if !r.closed {
		t.looking = true
		r.lookers.Go(t.look)
	}
}

func (t *route) unwant() {
	if t.router.cfg.Lookup == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wanting--
}

// look asks the store, at once and again after pauses, until nobody wants it any
// more. It ends after a pause only, so the shard is never asked for more often
// than that, however callers come and go. What the store does not tell, waiting
// callers need not know: their time is bounded.
func (t *route) look() {
	pause := firstPause
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-t.router.ctx.Done():
			return
		}
		t.mu.Lock()
		if t.wanting == 0 {
			t.looking = false
			t.mu.Unlock()
			return
		}
		seen := t.remote
		t.mu.Unlock()
		ctx, cancel := context.WithTimeout(t.router.ctx, lookupTimeout)
		stored, err := t.router.cfg.Lookup(ctx, t.aggregate, t.number)
		cancel()
		if err == nil {
			t.learnStored(seen, stored)
		}
		if err == nil && stored != seen {
			pause = firstPause
		}
		timer.Reset(pause)
		pause = min(2*pause, lastPause)
	}
}
