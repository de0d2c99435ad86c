package liveness_test

import (
	"testing"
	"time"

	"github.com/leftfold/leftfold/controllers/liveness"
)

func TestRefusedConnections(t *testing.T) {
	t.Run("one refusal asks for an immediate redial", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		w.wants(w.sees(refused("a")), "a Redial ConnectionRefused 0s")
		w.wants(w.sees(refused("a"))) // it is under way
	})
	t.Run("a refused redial proves the process dead, in the same step", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		w.wants(w.sees(refused("a"), redialed("a")),
			"a Redial ConnectionRefused 0s", "a Dead ProcessDied 0s")
		w.silence("a")
		w.wants(w.pass(5 * second)) // and it is told once
	})
	t.Run("a redial that gets through clears the suspicion", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		w.sees(refused("a"))
		w.wants(w.sees(pong("a")))
		w.wants(w.pass(5 * second))
		w.wants(w.sees(redialed("a")), "a Redial ConnectionRefused 5s") // begins anew
	})
	t.Run("a redial that never ends is silence", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		w.sees(refused("a"))
		w.silence("a")
		w.wants(w.pass(2*second), "a Unreachable Unreachable 0s")
	})
	t.Run("all members can be dead, without the store", func(t *testing.T) {
		w := watching(t, "a", "b")
		w.wants(w.sees(refused("a"), refused("b"), redialed("a"), redialed("b")),
			"a Redial ConnectionRefused 0s", "b Redial ConnectionRefused 0s",
			"a Dead ProcessDied 0s", "b Dead ProcessDied 0s")
	})
	t.Run("refusals count in a late step too", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		w.now = w.now.Add(3 * second)
		w.wants(w.sees(refused("a"), redialed("a")),
			"a Redial ConnectionRefused 3s", "a Dead ProcessDied 3s")
	})
	t.Run("an unreachable member can turn out dead", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		w.silence("a")
		w.pass(2 * second)
		w.wants(w.sees(refused("a"), redialed("a")),
			"a Redial ConnectionRefused 2s", "a Dead ProcessDied 2s")
	})
	t.Run("a dead member that is heard has recovered", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		w.sees(refused("a"), redialed("a"))
		w.wants(w.sees(pong("a")), "a Recovered HeardAgain 0s")
	})
}

func TestSilence(t *testing.T) {
	t.Run("for the timeout makes a member unreachable, not before", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		w.pass(200 * ms)
		w.silence("a")
		w.wants(w.pass(900 * ms))
		w.wants(w.pass(100*ms), "a Unreachable Unreachable 200ms")
		w.wants(w.pass(5 * second)) // told once
	})
	t.Run("of one that was never heard counts from when it joined", func(t *testing.T) {
		w := watching(t, "a", "b")
		w.pass(500 * ms)
		w.sees(liveness.Joined{Member: "c"})
		w.wants(w.pass(2*second), "c Unreachable Unreachable 500ms")
	})
	t.Run("of one that left is nothing", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		w.silence("a")
		w.pass(900 * ms)
		w.sees(liveness.Left{Member: "a"})
		w.wants(w.pass(5 * second))
	})
	t.Run("that ends is a recovery, and can come again", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		w.silence("a")
		w.pass(2 * second)
		w.wants(w.sees(pong("a")), "a Recovered HeardAgain 2s")
		w.wants(w.pass(2*second), "a Unreachable Unreachable 2s")
	})
	t.Run("found by a late step is void, and all clocks start again", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		w.silence("a")
		w.pass(500 * ms)
		w.now = w.now.Add(501 * ms)
		w.wants(w.sees())
		w.wants(w.pass(900 * ms))
		w.wants(w.pass(100*ms), "a Unreachable Unreachable 1.001s")
	})
	t.Run("found by a step just in time counts", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		w.silence("a")
		w.pass(500 * ms)
		w.now = w.now.Add(500 * ms)
		w.wants(w.sees(pong("b"), pong("c")), "a Unreachable Unreachable 0s")
	})
	t.Run("is void when the clock goes backwards", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		w.silence("a")
		w.pass(900 * ms)
		w.now = w.now.Add(-time.Hour)
		w.wants(w.sees())
		w.wants(w.pass(900 * ms))
	})
}

func TestSilenceOfMoreThanHalf(t *testing.T) {
	old, fresh := 10*second, 100*ms
	t.Run("exactly half needs no store", func(t *testing.T) {
		w := watching(t, "a", "b", "c", "d")
		w.silence("a", "b")
		w.wants(w.pass(2*second), "a Unreachable Unreachable 0s", "b Unreachable Unreachable 0s")
	})
	t.Run("is held until the store's heartbeats are known", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		w.silence("a", "b")
		w.wants(w.pass(5*second), "a Held AwaitsStore 0s", "b Held AwaitsStore 0s")
		w.wants(told(w.tracker.Held()), "a Held AwaitsStore 0s", "b Held AwaitsStore 0s")
		w.ages = map[string]time.Duration{"a": old, "b": old, "c": fresh}
		w.wants(w.pass(second), "a Unreachable Unreachable 0s", "b Unreachable Unreachable 0s")
		w.wants(told(w.tracker.Held()))
	})
	t.Run("is held for members that the store hears", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		w.silence("a", "b", "c")
		w.ages = map[string]time.Duration{"a": fresh, "b": old, "c": fresh}
		w.wants(w.pass(5*second),
			"a Held StoreHearsIt 0s", "b Unreachable Unreachable 0s", "c Held StoreHearsIt 0s")
		w.ages["a"] = old
		w.wants(w.pass(second), "a Unreachable Unreachable 0s")
	})
	t.Run("counts a member that the store does not know as gone", func(t *testing.T) {
		w := watching(t, "a")
		w.silence("a")
		w.ages = map[string]time.Duration{}
		w.wants(w.pass(2*second), "a Unreachable Unreachable 0s")
	})
	t.Run("does not go by heartbeats read long ago", func(t *testing.T) {
		w := watching(t, "a")
		w.silence("a")
		w.sees(liveness.Heartbeats{Ages: map[string]time.Duration{"a": old}})
		w.wants(w.pass(3*second), "a Held AwaitsStore 0s")
	})
	t.Run("lets the heartbeats that were read grow older", func(t *testing.T) {
		w := watching(t, "a")
		w.silence("a")
		w.pass(200 * ms)
		w.sees(liveness.Heartbeats{Ages: map[string]time.Duration{"a": 1600 * ms}})
		w.wants(w.pass(800*ms), "a Held StoreHearsIt 0s")
		w.wants(w.pass(100*ms), "a Unreachable Unreachable 0s")
	})
	t.Run("is released when enough are heard again", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		w.silence("a", "b")
		w.pass(2 * second)
		w.wants(w.sees(pong("a")), "b Unreachable Unreachable 0s")
		w.wants(told(w.tracker.Held()))
	})
	t.Run("does not count the dead", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		w.sees(refused("a"), redialed("a"))
		w.silence("a", "b")
		w.wants(w.pass(2*second), "b Unreachable Unreachable 0s")
	})
	t.Run("is forgotten by a late step", func(t *testing.T) {
		w := watching(t, "a", "b")
		w.silence("a", "b")
		w.pass(2 * second)
		w.now = w.now.Add(2 * second)
		w.wants(w.sees())
		w.wants(told(w.tracker.Held()))
	})
}

func TestDraining(t *testing.T) {
	t.Run("a member that says so is handed over, told once", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		w.wants(w.sees(liveness.Drains{Member: "a", Cause: liveness.Announced}), "a Draining Announced 0s")
		w.wants(w.sees(liveness.Drains{Member: "a", Cause: liveness.PodDeleted}))
	})
	t.Run("a pod that is being deleted is handed over", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		w.wants(w.sees(liveness.Drains{Member: "a", Cause: liveness.PodDeleted}), "a Draining PodDeleted 0s")
	})
	t.Run("a member that drains can die", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		w.sees(liveness.Drains{Member: "a", Cause: liveness.Announced})
		w.wants(w.sees(refused("a"), redialed("a")), "a Redial ConnectionRefused 0s", "a Dead ProcessDied 0s")
	})
}

func TestObservationsOfStrangersAreIgnored(t *testing.T) {
	w := watching(t, "a")
	w.wants(w.sees(pong("x"), refused("x"), redialed("x"), failed("x", first), served("x", first),
		liveness.Drains{Member: "x"}, liveness.Readiness{Member: "x"}, liveness.Left{Member: "x"},
		liveness.ShardReleased{Member: "x", Shard: first}, liveness.Retry{Shard: first}))
}
