package fault

import "math/rand/v2"

// Rates are the chances, each 0..1, that a call meets a fault of a kind, for
// Random. Their sum is at most 1.
type Rates struct {
	Before, After, Lost, Late float64
	// Methods says which methods fail; nil: Append, Claim, Release, Check and
	// the reads that an owner makes.
	Methods map[Method]bool
}

var ownersMethods = map[Method]bool{
	Append: true, Claim: true, Release: true, Check: true, Shard: true, ReadShard: true,
	ReadEntity: true, LoadEntity: true, SaveSnapshots: true,
}

// latest is how many calls later the work of a random Late is done at most.
const latest = 8

// Random makes calls that no script takes fail by chance. The same seed gives
// the same faults to the same order of calls. The work of a random Late is done
// a few calls later, at the latest by Settle. Rates{} ends it.
func (s *Store) Random(seed uint64, r Rates) {
	if r.Methods == nil {
		r.Methods = ownersMethods
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rates, s.random = r, rand.New(rand.NewPCG(seed, 0))
}

// waiting is the work of a random Late, and how many calls pass before it.
type waiting struct {
	handle *Handle
	calls  int
}

// chance draws the call's fate; s.mu is held.
func (s *Store) chance(c Call) *Handle {
	if s.random == nil || !s.rates.Methods[c.Method] {
		return nil
	}
	draw := s.random.Float64()
	for _, x := range []struct {
		kind Kind
		rate float64
	}{{Before, s.rates.Before}, {After, s.rates.After}, {Lost, s.rates.Lost}, {Late, s.rates.Late}} {
		if draw -= x.rate; draw >= 0 {
			continue
		}
		return &Handle{store: s, fault: Fault{Kind: x.kind}, random: true, reached: make(chan struct{}), released: make(chan struct{})}
	}
	return nil
}

// wait makes later calls do the late work of a random fault.
func (s *Store) wait(h *Handle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := 0
	if s.random != nil {
		calls = s.random.IntN(latest)
	}
	s.waiting = append(s.waiting, waiting{h, 1 + calls})
}

// overdue counts a call and gives the late work whose time has come.
func (s *Store) overdue() []func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	var due []func()
	left := s.waiting[:0]
	for _, w := range s.waiting {
		if w.calls--; w.calls <= 0 {
			due = append(due, w.handle.Release)
		} else {
			left = append(left, w)
		}
	}
	s.waiting = left
	return due
}

// Settle ends Random and does all late work that it left.
func (s *Store) Settle() {
	s.mu.Lock()
	left := s.waiting
	s.waiting, s.random = nil, nil
	s.mu.Unlock()
	for _, w := range left {
		w.handle.Release()
	}
}
