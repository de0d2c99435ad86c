package server_test

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/leftfold/leftfold/runtime/control/controltest"
)

// leave asks a pod to go, as SIGTERM does, and gives how it went.
func (r *managedRig) leave() <-chan error {
	done := make(chan error, 1)
	go func() { done <- r.Leave() }()
	return done
}

func (r *managedRig) gone(t *testing.T, done <-chan error, begun time.Time, atLeast, atMost time.Duration) {
	t.Helper()
	select {
	case err := <-done:
		if took := time.Since(begun); err != nil || took < atLeast || took > atMost {
			t.Errorf("the pod left after %s with %v, want between %s and %s", took, err, atLeast, atMost)
		}
	case <-time.After(patience * 2):
		t.Fatal("the pod does not leave")
	}
	r.client.CloseIdleConnections()
}

// dismisses tells whether an answer ends its connection.
func (r *managedRig) dismisses(t *testing.T) bool {
	t.Helper()
	response, err := r.client.Get(r.rig.URL() + "/v1/definitions")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.Close
}

func TestAPodThatLeavesHandsItsShardsOffAndServesUntilThen(t *testing.T) {
	t.Parallel()
	r := newFleet(t, postgresPlace(t)).start(t, probe(t))
	o := r.operator(t)
	grantAll(o)
	if r.dismisses(t) {
		t.Error("an answer asks its caller to go before the pod does")
	}
	begun := time.Now()
	done := r.leave()
	o.Until("the draining", func(s *controltest.Seen) bool { return s.Draining })
	if code, _ := r.opsGet(t, "/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("/readyz is %d", code)
	}
	for i := 0; i < 4 || time.Since(begun) < 2500*time.Millisecond; i++ {
		r.add(t, fmt.Sprintf("e-%d", i%4)) // it still owns them all
		<-time.After(50 * time.Millisecond)
	}
	if !r.dismisses(t) {
		t.Error("an answer does not ask its caller to go")
	}
	for number := range int32(probeShards) {
		o.Release("probe", number, 1)
		o.Shard("probe", number, released)
	}
	// Callers have heard long since, but its end would be in the new owners' way.
	r.gone(t, done, time.Now(), 900*time.Millisecond, 6*time.Second)
	if err := o.Ended(); err == nil {
		t.Error("the stream did not end")
	}
}

func TestAPodThatLeavesWithoutAnOperatorDrainsByItself(t *testing.T) {
	t.Parallel()
	f := newFleet(t, postgresPlace(t))
	r, other := f.start(t, probe(t), brisk), f.start(t, probe(t), brisk)
	o := r.operator(t)
	grantAll(o)
	r.add(t, "e-1")
	o.Close()
	begun := time.Now()
	r.gone(t, r.leave(), begun, 3*time.Second, 12*time.Second)
	survey := other.operator(t).Survey()
	for _, s := range survey.GetShards() {
		if s.GetOwner() != "" && s.GetOwner() != other.Incarnation() {
			t.Errorf("the store has %v", s)
		}
	}
	if got := survey.GetMembers(); len(got) != 1 {
		t.Errorf("the members are %v", got)
	}
}

func TestCallsUnderWayEndBeforeAPodDoes(t *testing.T) {
	t.Parallel()
	r := newFleet(t, postgresPlace(t)).start(t, probe(t))
	o := r.operator(t)
	grantAll(o)
	finish := r.begin(t, probePath("slow")+"/Add")
	stream := r.stream(t, "/v1/events/probe")
	begun := time.Now()
	done := r.leave()
	o.Until("the draining", func(s *controltest.Seen) bool { return s.Draining })
	var calls sync.WaitGroup
	calls.Go(func() {
		// The body comes while the pod drains, and its shards are here still.
		if status := finish(`{"amount":1}`); status != http.StatusOK {
			t.Errorf("the call under way got %d", status)
		}
	})
	calls.Wait()
	for number := range int32(probeShards) {
		o.Release("probe", number, 1)
	}
	r.gone(t, done, begun, 3*time.Second, 12*time.Second)
	for _, more := stream.next(t); more; _, more = stream.next(t) {
	}
}
