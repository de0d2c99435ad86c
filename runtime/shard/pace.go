package shard

import (
	"math"
	"sync/atomic"
	"time"
)

// paceWindow is about how far back the average of a shard's load looks: long
// enough that a burst does not move shards, short enough that a day's rhythm does.
const paceWindow = time.Minute

// pace is a decaying average of events a second. The host's ticks feed it, so a
// commit only counts. It weighs what it has seen: a shard that came a second ago
// shows its pace of that second, and not a sixtieth of it.
type pace struct {
	last    time.Time
	counted int64
	events  float64
	seconds float64
	rate    atomic.Uint64 // float64
}

// measure takes note of what was committed since the last tick.
func (s *Shard) measure(now time.Time) {
	p, written := &s.pace, s.written.Load()
	if p.last.IsZero() {
		p.last, p.counted = now, written
		return
	}
	elapsed := now.Sub(p.last).Seconds()
	if elapsed <= 0 {
		return
	}
	decay := math.Exp(-elapsed / paceWindow.Seconds())
	p.events = p.events*decay + float64(written-p.counted)
	p.seconds = p.seconds*decay + elapsed
	p.last, p.counted = now, written
	p.rate.Store(math.Float64bits(p.events / p.seconds))
}

// Load is the number of events a second that the shard has written, averaged over
// about the last minute.
func (s *Shard) Load() float64 { return math.Float64frombits(s.pace.rate.Load()) }
