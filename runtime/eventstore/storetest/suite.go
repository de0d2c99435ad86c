package storetest

import (
	"testing"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// Option is a setting of Run.
type Option func(*suite)

// WithReopen gives the suite a way to close a store and open the same data again,
// as after a restart. Without it, nothing durable is tested.
func WithReopen(reopen func(t *testing.T, s eventstore.Store) eventstore.Store) Option {
	return func(s *suite) { s.reopen = reopen }
}

type suite struct {
	reopen func(t *testing.T, s eventstore.Store) eventstore.Store
}

// test is one rule; s is an empty store of its own.
type test struct {
	name string
	run  func(t *testing.T, s eventstore.Store)
}

// group is the rules of one part of the contract.
type group struct {
	name  string
	tests []test
}

func (s *suite) groups() []group {
	return []group{
		{"Claim", claimTests},
		{"Append", appendTests},
		{"Race", raceTests},
		{"Read", readTests},
		{"Page", pageTests},
		{"Fidelity", fidelityTests},
		{"Keeper", keeperTests},
		{"Catalog", catalogTests},
		{"Membership", membershipTests},
		{"Context", contextTests},
		{"Close", closeTests},
		{"Restart", s.restartTests()},
	}
}

// Run tests a kind of store. open makes an empty store for one test, which closes
// it itself if it closes it at all: whatever must be freed after a test, open
// leaves to t.Cleanup (where a second Close does no harm).
func Run(t *testing.T, open func(t *testing.T) eventstore.Store, options ...Option) {
	var s suite
	for _, o := range options {
		o(&s)
	}
	for _, g := range s.groups() {
		t.Run(g.name, func(t *testing.T) { g.run(t, open) })
	}
}

func (g *group) run(t *testing.T, open func(t *testing.T) eventstore.Store) {
	for _, test := range g.tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}
