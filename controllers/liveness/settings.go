package liveness

import "time"

// Settings say how soon what is given up. Values of 0 or less mean the default.
type Settings struct {
	// Interval between two pings. Step must be called at least as often. Default:
	// 200 ms.
	Interval time.Duration
	// Timeout is how long a member may be silent. At least twice the interval,
	// which api's rules see to. Default: 1 s.
	Timeout time.Duration
	// LateStep is how far apart two steps may be before silence proves nothing.
	// Default: half of the timeout.
	LateStep time.Duration
	// StoreTimeout is the age at which a heartbeat in the store no longer speaks
	// for a member. Default: 2.5 s, two beats of the pods and time to commit.
	StoreTimeout time.Duration
	// NotReady is how long a pod may be Ready=False before it is deleted. Default:
	// 60 s, so that a slow start of a full node is over.
	NotReady time.Duration
	// Failing is how long all shards of a member may fail before its pod is
	// deleted. Default: 10 s, so that the others it was granted can come up.
	Failing time.Duration
	// MaxRestarts in a row before a shard is stalled. Default: 5.
	MaxRestarts int
	// Backoff before the second restart; it doubles with each. Default: 250 ms.
	Backoff time.Duration
	// MaxBackoff is the longest wait. Default: 30 s.
	MaxBackoff time.Duration
	// Forgive is how long a shard must be served for its failures to be forgotten.
	// Default: 5 min.
	Forgive time.Duration
}

func (s Settings) withDefaults() Settings {
	def := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	def(&s.Interval, 200*time.Millisecond)
	def(&s.Timeout, time.Second)
	def(&s.LateStep, s.Timeout/2)
	def(&s.StoreTimeout, 2500*time.Millisecond)
	def(&s.NotReady, time.Minute)
	def(&s.Failing, 10*time.Second)
	def(&s.Backoff, 250*time.Millisecond)
	def(&s.MaxBackoff, 30*time.Second)
	def(&s.Forgive, 5*time.Minute)
	if s.MaxRestarts <= 0 {
		s.MaxRestarts = 5
	}
	return s
}

// nearlySilent is how long a member may be silent before it counts as one of many
// that are cut off: two intervals less than the timeout, but always more than a
// member in good health may be.
func (s Settings) nearlySilent() time.Duration {
	return min(s.Timeout, max(s.Timeout-2*s.Interval, s.Timeout/2+s.Interval))
}
