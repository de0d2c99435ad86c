package liveness_test

import (
	"testing"
	"time"

	"github.com/leftfold/leftfold/controllers/liveness"
)

func TestAFailedShardIsRestarted(t *testing.T) {
	t.Run("at once on the same pod, then elsewhere, later and later, then stalled", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		w.wants(w.sees(failed("a", first)), "a/account-1 RestartShard ShardFailed 0s SamePod#1 [a]")
		w.wants(w.sees(failed("a", first))) // 250 ms
		w.wants(w.pass(200 * ms))
		w.wants(w.pass(100*ms), "a/account-1 RestartShard ShardFailed 0s AnotherPod#2 [a]")
		w.wants(w.sees(failed("b", first))) // 500 ms
		w.wants(w.pass(400 * ms))
		w.wants(w.pass(100*ms), "b/account-1 RestartShard ShardFailed 0s SamePod#3 [a b]")
		w.wants(w.sees(failed("b", first))) // 1 s
		w.wants(w.pass(900 * ms))
		w.wants(w.pass(100*ms), "b/account-1 RestartShard ShardFailed 0s AnotherPod#4 [a b]")
		w.wants(w.sees(failed("c", first))) // 2 s
		w.wants(w.pass(1900 * ms))
		w.wants(w.pass(100*ms), "c/account-1 RestartShard ShardFailed 0s SamePod#5 [a b c]")
		w.wants(w.sees(failed("c", first)), "c/account-1 StallShard RestartsExhausted 0s #5 [a b c]")
		w.wants(w.sees(failed("c", first)))
		w.wants(w.pass(10 * time.Minute))
	})
	t.Run("the verdict carries what the pod said", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		got := w.tracker.Step(w.now, []liveness.Observation{failed("a", first)})[0]
		if got.Cause != liveness.Panicked || got.Detail != "index out of range" {
			t.Fatalf("got %+v", got)
		}
	})
	t.Run("a short success does not reset the count", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		w.sees(failed("a", first), served("a", first))
		w.pass(time.Minute)
		w.wants(append(w.sees(failed("a", first)), w.pass(second)...),
			"a/account-1 RestartShard ShardFailed 0s AnotherPod#2 [a]")
	})
	t.Run("a long success does", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		w.sees(failed("a", first))
		w.sees(served("a", first))
		w.pass(5 * time.Minute)
		w.wants(w.sees(failed("a", first)), "a/account-1 RestartShard ShardFailed 5m0s SamePod#1 [a]")
	})
	t.Run("a wait that a success overtakes is over", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		w.sees(failed("a", first))
		w.sees(failed("a", first))
		w.wants(w.sees(served("b", first)))
		w.wants(w.pass(second))
	})
	t.Run("a failure told by one that no longer has it is of the past", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		w.sees(failed("a", first))
		w.sees(served("b", first))
		w.wants(w.sees(failed("a", first)))
		w.wants(w.pass(second))
	})
	t.Run("a failure after a handover counts, though the new owner never served it", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		w.sees(failed("a", first))
		w.sees(served("a", first))
		w.sees(liveness.ShardReleased{Member: "a", Shard: first})
		w.wants(append(w.sees(failed("b", first)), w.pass(second)...),
			"b/account-1 RestartShard ShardFailed 0s SamePod#2 [a b]")
	})
	t.Run("not when its pod was given up before it said so, for all of its shards moved then", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		w.sees(refused("a"), redialed("a"))
		w.wants(w.sees(failed("a", first)))
	})
	t.Run("elsewhere when its pod is lost meanwhile", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		w.sees(failed("a", first))
		w.sees(served("b", first))
		w.sees(failed("b", first))
		w.sees(refused("b"), redialed("b"))
		w.silence("b")
		w.wants(w.pass(second), "b/account-1 RestartShard ShardFailed 0s AnotherPod#2 [a b]")
	})
	t.Run("a retry gives a stalled shard a new start", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		for range 6 {
			w.sees(failed("a", first))
			w.pass(10 * second)
		}
		w.wants(w.sees(failed("a", first))) // stalled
		w.wants(w.sees(liveness.Retry{Shard: first}), "a/account-1 RestartShard ShardFailed 1m0s SamePod#1 []")
	})
	t.Run("a stalled shard that is served after all, and fails again, is stalled again", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		for range 6 {
			w.sees(failed("a", first))
			w.pass(10 * second)
		}
		w.sees(served("a", first))
		w.wants(w.sees(failed("a", first)), "a/account-1 StallShard RestartsExhausted 0s #5 [a]")
	})
	t.Run("not when its store went back, for others might not know", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		behind := liveness.ShardFailed{Member: "a", Shard: first, Cause: liveness.WentBack}
		w.wants(w.sees(behind), "a/account-1 StallShard StoreWentBack 0s")
		w.wants(w.pass(10 * time.Minute)) // its pod is not deleted for that either
		w.wants(w.sees(liveness.Retry{Shard: first}), "a/account-1 RestartShard ShardFailed 10m0s SamePod#1 []")
		w.wants(w.sees(behind), "a/account-1 StallShard StoreWentBack 10m0s #1 [a]")
		w.silence("a")
		w.wants(w.pass(2*second), "a Unreachable Unreachable 10m0s")
		w.wants(w.sees(liveness.Retry{Shard: first}))
		w.wants(w.sees(liveness.Left{Member: "a"}), "a/account-1 RestartShard ShardFailed 10m2s AnotherPod#1 [a]")
	})
	t.Run("waits grow to 30 s and no further", func(t *testing.T) {
		tracker := liveness.New(liveness.Settings{MaxRestarts: 100})
		now := epoch
		tracker.Step(now, []liveness.Observation{liveness.Joined{Member: "a"}})
		for try := 1; try <= 100; try++ {
			got := tracker.Step(now, []liveness.Observation{pong("a"), failed("a", first)})
			if try > 1 {
				now = now.Add(30 * second)
				got = append(got, tracker.Step(now, []liveness.Observation{pong("a")})...)
			}
			if len(got) != 1 || got[0].Kind != liveness.RestartShard || got[0].Try != try {
				t.Fatalf("restart %d: got %v", try, told(got))
			}
		}
	})
}

func TestAPodThatDoesNotHelpItselfIsDeleted(t *testing.T) {
	t.Run("when it is Ready=False for long", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		w.sees(liveness.Readiness{Member: "a"})
		w.wants(w.pass(59 * second))
		w.wants(w.pass(second), "a DeletePod NotReadyForLong 0s")
		w.wants(w.pass(10 * time.Minute)) // told once
	})
	t.Run("not when it was ready in between", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		w.sees(liveness.Readiness{Member: "a"})
		w.pass(59 * second)
		w.sees(liveness.Readiness{Member: "a", Ready: true}, liveness.Readiness{Member: "a"})
		w.wants(w.pass(59 * second))
	})
	t.Run("not when it drains", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		w.sees(liveness.Readiness{Member: "a"}, liveness.Drains{Member: "a", Cause: liveness.PodDeleted})
		w.wants(w.pass(10 * time.Minute))
	})
	t.Run("when it is dead and does not come back", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		w.sees(refused("a"), redialed("a"), liveness.Readiness{Member: "a"})
		w.silence("a")
		w.wants(w.pass(time.Minute), "a DeletePod NotReadyForLong 0s")
	})
	t.Run("when all of its shards fail for a while", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		w.sees(served("a", first), served("a", next))
		w.sees(failed("a", first))
		w.wants(w.pass(20 * second)) // the other serves
		w.sees(failed("a", next))
		w.wants(w.pass(9900 * ms))
		w.wants(w.pass(100*ms), "a DeletePod AllShardsFail 20s")
	})
	t.Run("not when one of them serves again", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		w.sees(failed("a", first), failed("a", next))
		w.pass(9 * second)
		w.sees(served("a", next))
		w.wants(w.pass(10 * time.Minute))
	})
	t.Run("not for one shard alone, which is restarted elsewhere", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		w.sees(failed("a", first))
		w.wants(w.pass(time.Minute))
	})
	t.Run("not when most pods are like that; it is held, and says so", func(t *testing.T) {
		w := watching(t, "a", "b", "c")
		w.sees(liveness.Readiness{Member: "a"}, liveness.Readiness{Member: "b"})
		w.wants(w.pass(5*time.Minute), "a Held MostPodsFail 0s", "b Held MostPodsFail 0s")
		w.wants(told(w.tracker.Held()), "a Held MostPodsFail 0s", "b Held MostPodsFail 0s")
		w.wants(w.sees(liveness.Readiness{Member: "a", Ready: true}), "b DeletePod NotReadyForLong 0s")
		w.wants(told(w.tracker.Held()))
	})
	t.Run("even when it is the only one", func(t *testing.T) {
		w := watching(t, "a")
		w.sees(liveness.Readiness{Member: "a"})
		w.wants(w.pass(time.Minute), "a DeletePod NotReadyForLong 0s")
	})
}
