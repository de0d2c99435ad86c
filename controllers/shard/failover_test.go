package shard

import (
	"slices"
	"testing"
	"time"

	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/controllers/placement"
)

var bank = map[string]int{"account": 12, "transfer": 6}

// ownedBy lists the shards that a process owns.
func (w *world) ownedBy(incarnation string) []placement.ShardID {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	var list []placement.ShardID
	for id, r := range w.store.rows {
		if r.owner == incarnation {
			list = append(list, id)
		}
	}
	return list
}

// wantMoves fails unless so many planned moves were counted.
func (w *world) wantMoves(n int) {
	w.t.Helper()
	families, err := w.metrics.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "leftfold_move_seconds" {
			continue
		}
		if got := f.GetMetric()[0].GetHistogram().GetSampleCount(); got != uint64(n) {
			w.t.Errorf("%d planned moves were counted, want %d", got, n)
		}
		return
	}
	w.t.Error("there is no count of planned moves")
}

// wantFailovers fails unless exactly these shards have failed over, for the reason
// and within the time.
func (w *world) wantFailovers(shards []placement.ShardID, reason v1alpha1.FailoverReason, within time.Duration) {
	w.t.Helper()
	for _, s := range w.shown().Shards {
		lost := slices.Contains(shards, placement.ShardID{Aggregate: s.Aggregate, Number: int(s.Number)})
		switch {
		case lost && s.LastFailover == nil:
			w.t.Errorf("%s-%d has no record of its failover", s.Aggregate, s.Number)
		case lost && (s.LastFailover.Reason != reason || s.LastFailover.Duration > within || s.LastFailover.Recovered.IsZero()):
			w.t.Errorf("%s-%d: failover %+v, want %s within %v", s.Aggregate, s.Number, *s.LastFailover, reason, within)
		case !lost && s.LastFailover != nil:
			w.t.Errorf("%s-%d has a record of a failover: %+v", s.Aggregate, s.Number, *s.LastFailover)
		}
	}
}

func TestShardsOfAFreshRuntimeAreSpreadOverItsPods(t *testing.T) {
	inWorld(t, bank, func(w *world) {
		pods := w.add(3, 1)
		w.pass(5 * time.Second)
		w.wantOwned(pods...)
		for incarnation, count := range w.store.owners() {
			if count != 6 {
				t.Errorf("%s owns %d of 18 shards", incarnation, count)
			}
		}
		w.wantFailovers(nil, "", 0)
		if !w.shown().Surveyed {
			t.Error("the view says that not all have told")
		}
	})
}

func TestAKilledProcessLosesItsShardsAtOnce(t *testing.T) {
	inWorld(t, bank, func(w *world) {
		pods := w.add(3, 1)
		w.pass(5 * time.Second)
		lost := w.ownedBy(pods[0].process.incarnation)
		w.kill(pods[0])
		if got := w.ownedBy("bank-1-a"); len(got) > 0 {
			t.Errorf("without any time going by, the dead process still owns %v", got)
		}
		w.wantOwned(pods[1:]...)
		w.wantFailovers(lost, v1alpha1.FailoverProcessDied, time.Millisecond)
		w.wantMoves(0)
		for _, id := range lost {
			for _, p := range pods[1:] {
				if owner, epoch := p.process.knows(id); owner != w.store.row(id).owner || epoch != w.store.row(id).epoch {
					t.Errorf("%s takes %q under %d for the owner of %v", p.pod.name, owner, epoch, id)
				}
			}
		}
	})
}

func TestCallersAreHeldBeforeAnotherOwnerIsKnown(t *testing.T) {
	inWorld(t, bank, func(w *world) {
		pods := w.add(2, 1)
		w.pass(5 * time.Second)
		lost := w.ownedBy(pods[0].process.incarnation)
		pods[1].process.with(func() {
			clear(pods[1].process.nobodyBeforeOwner)
			pods[1].process.stuck = func(placement.ShardID) bool { return true }
		})
		w.kill(pods[0])
		w.pass(2 * ownersPause)
		for _, id := range lost {
			if owner, _ := pods[1].process.knows(id); owner != "" {
				t.Errorf("%q is still taken for the owner of %v", owner, id)
			}
		}
	})
}

// Both ends keep room for a stream's largest message while the stream lasts.
func TestOwnersOfManyShardsAreToldInMessagesOfWhichNoneIsLarge(t *testing.T) {
	inWorld(t, map[string]int{"account": 400, "transfer": 400, "loan": 400}, func(w *world) {
		pods := w.add(2, 1)
		w.pass(5 * time.Second)
		w.kill(pods[0])
		w.pass(5 * time.Second)
		p := pods[1].process
		p.with(func() {
			if p.mostOwners > maxOwners {
				t.Errorf("a message named %d owners, at most %d are wanted", p.mostOwners, maxOwners)
			}
			for id, o := range p.told {
				if o.GetIncarnation() != p.incarnation {
					t.Errorf("%s-%d is said to be %q's", id.Aggregate, id.Number, o.GetIncarnation())
				}
			}
			if len(p.told) != 1200 {
				t.Errorf("it was told of %d shards of 1200", len(p.told))
			}
		})
	})
}

func TestAProcessThatStartsAnewInItsPodIsAnotherOne(t *testing.T) {
	inWorld(t, bank, func(w *world) {
		pods := w.add(2, 1)
		w.pass(5 * time.Second)
		lost := w.ownedBy("bank-1-a")
		w.store.beat("bank-1-a", false)
		w.revive(pods[0], "bank-1-b") // before the operator could find the port closed
		pods[0].line.sever(broken)
		w.pass(5 * time.Second)
		w.wantOwned(pods...)
		if w.store.owners()["bank-1-a"] != 0 || w.store.owners()["bank-1-b"] == 0 {
			t.Errorf("owners are %v", w.store.owners())
		}
		w.wantFailovers(lost, v1alpha1.FailoverProcessDied, time.Millisecond)
	})
}

func TestASilentPodLosesItsShardsAfterTheTimeout(t *testing.T) {
	inWorld(t, bank, func(w *world) {
		pods := w.add(3, 1)
		w.pass(5 * time.Second)
		lost := w.ownedBy("bank-1-a")
		w.freeze(pods[0], true)
		w.pass(700 * time.Millisecond)
		if len(w.ownedBy("bank-1-a")) != len(lost) {
			t.Error("shards moved before the timeout")
		}
		w.pass(600 * time.Millisecond)
		if got := w.ownedBy("bank-1-a"); len(got) > 0 {
			t.Errorf("after the timeout the silent pod still owns %v", got)
		}
		w.wantOwned(pods[1:]...)
		w.wantFailovers(lost, v1alpha1.FailoverUnreachable, time.Millisecond)
	})
}

func TestAPodThatSpeaksAndDoesNotHearLosesItsShards(t *testing.T) {
	inWorld(t, bank, func(w *world) {
		pods := w.add(3, 1)
		w.pass(5 * time.Second)
		lost := w.ownedBy("bank-1-a")
		process := pods[0].process
		process.with(func() { process.frozen = true })
		speak := func(times int) {
			for range times {
				w.pass(100 * time.Millisecond)
				process.with(func() {
					if process.tell != nil { // there is a connection
						process.tell(&leftfoldv1.ControlReply{Kind: &leftfoldv1.ControlReply_Loads{Loads: &leftfoldv1.Loads{}}})
					}
				})
			}
		}
		speak(13)
		if got := w.ownedBy("bank-1-a"); len(got) > 0 {
			t.Errorf("1.3 s after it has heard the last, it still owns %v", got)
		}
		speak(30)
		if got := w.ownedBy("bank-1-a"); len(got) > 0 {
			t.Errorf("it was given %v, for it speaks", got)
		}
		w.wantOwned(pods[1:]...)
		w.wantFailovers(lost, v1alpha1.FailoverUnreachable, time.Millisecond)
	})
}

func TestAPodThatComesBackIsNotBelievedWhatItLost(t *testing.T) {
	inWorld(t, bank, func(w *world) {
		pods := w.add(3, 1)
		w.pass(comingFor + time.Second) // no pod is waited for any more
		w.freeze(pods[0], true)
		w.pass(2 * time.Second)
		grants := w.store.epochs()
		w.freeze(pods[0], false)
		w.pass(150 * time.Millisecond)
		for _, s := range w.shown().Shards {
			if r := w.store.row(placement.ShardID{Aggregate: s.Aggregate, Number: int(s.Number)}); s.Owner != "" && s.Owner != r.owner {
				t.Errorf("%s-%d is shown with %q, the store has %q", s.Aggregate, s.Number, s.Owner, r.owner)
			}
		}
		w.pass(warmFor - 300*time.Millisecond)
		if moved := w.store.epochs() - grants; moved > 0 {
			t.Errorf("%d shards moved to it at once", moved)
		}
		w.pass(5 * time.Second)
		w.wantOwned(pods...)
		if n := len(w.ownedBy("bank-1-a")); n < 5 {
			t.Errorf("the pod that came back has been given %d shards", n)
		}
		if moved := w.store.epochs() - grants; moved > 6 {
			t.Errorf("%d shards were claimed to level it out", moved)
		}
	})
}

func TestTheOnlyPodIsGivenUpOnlyWhenTheStoreAgrees(t *testing.T) {
	inWorld(t, bank, func(w *world) {
		pods := w.add(1, 1)
		w.pass(5 * time.Second)
		before := w.store.epochs()
		w.freeze(pods[0], true)
		w.pass(5 * time.Second)
		if w.store.epochs() != before {
			t.Error("shards were claimed while there was nobody to claim them")
		}
		w.freeze(pods[0], false)
		w.pass(3 * time.Second)
		w.wantOwned(pods...)
	})
}

func TestMostPodsSilentAtOnceAreTheObserversFault(t *testing.T) {
	inWorld(t, bank, func(w *world) {
		pods := w.add(3, 1)
		w.pass(5 * time.Second)
		before := w.store.epochs()
		for _, p := range pods[:2] { // their links are cut; their hearts beat in the store
			w.freeze(p, true)
			w.store.beat(p.process.incarnation, true)
		}
		asked := pods[2].process.surveys()
		w.pass(4 * time.Second)
		if got := w.store.epochs(); got != before {
			t.Errorf("%d claims happened though the store hears the silent pods", got-before)
		}
		if pods[2].process.surveys() == asked {
			t.Error("the store's heartbeats were not asked for")
		}
		for _, p := range pods[:2] {
			w.store.beat(p.process.incarnation, false)
		}
		w.pass(5 * time.Second)
		w.wantOwned(pods[2])
	})
}

func TestTheStoreIsReadByPodsThatAnswer(t *testing.T) {
	inWorld(t, bank, func(w *world) {
		pods := w.add(7, 1)
		w.pass(5 * time.Second)
		silent, living := pods[:5], pods[5:]
		for _, p := range silent {
			w.freeze(p, true)
			w.store.beat(p.process.incarnation, true)
		}
		w.pass(1500 * time.Millisecond)
		before := map[*worldPod]int{}
		for _, p := range living {
			before[p] = p.process.surveys()
		}
		w.pass(2 * time.Second)
		for _, p := range living {
			if got := p.process.surveys() - before[p]; got < 3 {
				t.Errorf("%s was asked %d times in two seconds", p.pod.name, got)
			}
		}
	})
}

func TestEachPodHasItsTurnToReadTheStore(t *testing.T) {
	inWorld(t, bank, func(w *world) {
		pods := w.add(3, 1)
		w.pass(5 * time.Second)
		before := map[*worldPod]int{}
		for _, p := range pods {
			before[p] = p.process.surveys()
		}
		w.pass(6 * surveyEvery)
		for _, p := range pods {
			if got := p.process.surveys() - before[p]; got != 2 {
				t.Errorf("%s was asked %d times of 6", p.pod.name, got)
			}
		}
	})
}

func TestAPodThatIsDeletedHandsOverWithoutAFailover(t *testing.T) {
	inWorld(t, bank, func(w *world) {
		pods := w.add(3, 1)
		w.pass(5 * time.Second)
		had := len(w.ownedBy("bank-1-a"))
		w.goes(usualGrace, pods[0])
		w.pass(2 * time.Second)
		w.wantOwned(pods[1:]...)
		w.wantFailovers(nil, "", 0)
		if pods[0].process.releases != had {
			t.Errorf("%d releases were asked for, of %d shards", pods[0].process.releases, had)
		}
		w.wantMoves(had)
		if !pods[0].process.drainAsked {
			t.Error("the pod was not asked to take no grants")
		}
	})
}

func TestPodsThatAllGoAreNotKeptWaitingForASuccessor(t *testing.T) {
	inWorld(t, bank, func(w *world) {
		pods := w.add(2, 1)
		w.pass(5 * time.Second)
		w.goes(usualGrace, pods...)
		w.pass(retireAfter / 2)
		if left := len(w.ownedBy("bank-1-a")) + len(w.ownedBy("bank-1-b")); left == 0 {
			t.Error("shards were given up before a successor could have come")
		}
		w.pass(2 * retireAfter)
		for _, p := range pods {
			if left := w.ownedBy(p.process.incarnation); len(left) > 0 {
				t.Errorf("%s still owns %v", p.process.incarnation, left)
			}
		}
		w.wantFailovers(nil, "", 0)
	})
}

func TestAPodThatSaysItDrainsIsEmptied(t *testing.T) {
	inWorld(t, bank, func(w *world) {
		pods := w.add(2, 1)
		w.pass(5 * time.Second)
		pods[0].process.announce()
		w.pass(2 * time.Second)
		w.wantOwned(pods[1])
		w.wantFailovers(nil, "", 0)
	})
}

func TestAPodThatIsGoneFromKubernetesAndCannotBeReachedHasLostItsShards(t *testing.T) {
	inWorld(t, bank, func(w *world) {
		pods := w.add(2, 1)
		w.pass(5 * time.Second)
		had := w.ownedBy("bank-1-a")
		w.mu.Lock()
		pods[0].absent = true
		w.mu.Unlock()
		w.freeze(pods[0], true)
		w.see()
		pods[0].line.sever(lost)
		w.pass(50 * time.Millisecond)
		w.wantOwned(pods[1])
		w.wantFailovers(had, v1alpha1.FailoverUnreachable, time.Millisecond)
		if n := len(w.shown().Members); n != 1 {
			t.Errorf("%d members are left", n)
		}
	})
}

func TestARolloutMovesEachShardOnceToTheNewestRevision(t *testing.T) {
	inWorld(t, bank, func(w *world) {
		w.wanted = 3
		old := w.add(3, 1)
		w.pass(5 * time.Second)
		before := w.store.epochs()
		fresh := w.add(1, 2)
		for i := range old { // as a Deployment does it: one is ready for a while, then one goes and the next comes
			w.pass(2 * time.Second)
			left := w.ownedBy(old[i].process.incarnation)
			w.goes(usualGrace, old[i])
			if i < len(old)-1 {
				w.pass(time.Second) // a Deployment that is slow to make it
				next := w.conceive(2)
				w.pass(300 * time.Millisecond)
				w.bear(next)
				w.pass(700 * time.Millisecond)
				if got := w.ownedBy(old[i].process.incarnation); len(got) < len(left) {
					t.Errorf("while the next one started, %s had %d of %d shards", old[i].pod.name, len(got), len(left))
				}
				w.begin(next)
				fresh = append(fresh, next)
			}
			w.pass(2 * time.Second)
			if left := w.ownedBy(old[i].process.incarnation); len(left) > 0 {
				t.Errorf("%s still owns %v", old[i].pod.name, left)
			}
			w.mu.Lock()
			old[i].absent = true
			w.mu.Unlock()
			w.kill(old[i])
			w.see()
		}
		w.pass(5 * time.Second)
		w.wantOwned(fresh...)
		w.wantFailovers(nil, "", 0)
		if moved := w.store.epochs() - before; moved != 18 {
			t.Errorf("%d moves for 18 shards", moved)
		}
	})
}

func TestWhatOnlyEvensThingsOutWaitsForPodsThatAreComing(t *testing.T) {
	inWorld(t, bank, func(w *world) {
		pods := w.add(4, 1)
		w.pass(20 * time.Second)
		w.kill(pods[2])
		w.kill(pods[3])
		w.pass(time.Second)
		before := w.store.epochs()
		w.revive(pods[2], "bank-3-b")
		w.pass(4 * time.Second)
		if got := w.store.epochs(); got != before {
			t.Errorf("%d shards moved while a pod was coming that was to have some", got-before)
		}
		w.revive(pods[3], "bank-4-b")
		w.pass(5 * time.Second)
		w.wantOwned(pods...)
		if got := w.store.epochs(); got > before+9 {
			t.Errorf("%d of 18 shards moved so that four pods have them, and not two", got-before)
		}
		w.kill(pods[3]) // and does not come back
		w.pass(time.Second)
		w.kill(pods[2])
		w.revive(pods[2], "bank-3-c")
		w.pass(comingFor + 5*time.Second)
		w.wantOwned(pods[:3]...)
	})
}

func TestAPodThatHasOnlyJustComeIsGivenTimeToWarmUp(t *testing.T) {
	inWorld(t, bank, func(w *world) {
		pods := w.add(2, 1)
		w.pass(20 * time.Second)
		before := w.store.epochs()
		pods = append(pods, w.add(1, 1)...)
		w.pass(warmFor - 100*time.Millisecond)
		if got := w.store.epochs(); got != before {
			t.Errorf("%d shards moved to it at once", got-before)
		}
		w.pass(time.Second)
		w.wantOwned(pods...)
		w.wantMoves(6)
		w.add(1, 1)
		w.kill(pods[0]) // whose shards cannot wait
		if got := w.ownedBy("bank-1-a"); len(got) > 0 {
			t.Errorf("%v still have no other owner", got)
		}
	})
}

func TestAPodThatGoesKeepsItsShardsForTheOneInItsPlace(t *testing.T) {
	inWorld(t, bank, func(w *world) {
		w.wanted = 3
		pods := w.add(3, 1)
		w.pass(20 * time.Second)
		before := w.store.epochs()
		w.goes(usualGrace, pods[0])
		w.pass(time.Second)
		next := w.conceive(1)
		w.pass(time.Second)
		w.bear(next)
		w.pass(time.Second)
		w.begin(next)
		w.pass(warmFor - 100*time.Millisecond)
		if got := w.store.epochs(); got != before {
			t.Errorf("%d shards moved before there was a warm one", got-before)
		}
		w.pass(time.Second)
		w.wantOwned(pods[1], pods[2], next)
		if got := w.store.epochs(); got != before+6 {
			t.Errorf("%d moves of 6 shards", got-before)
		}
		w.wantFailovers(nil, "", 0)
	})
}

func TestAPodThatGoesKeepsItsShardsForAMomentOnly(t *testing.T) {
	const step = 100 * time.Millisecond
	pending := func(w *world) { w.conceive(1) } // and finds no node
	for _, test := range []struct {
		name   string
		wanted int
		grace  time.Duration
		coming func(*world)
		always bool // more of the same come
		keeps  time.Duration
	}{
		{"none is to come", 1, usualGrace, func(*world) {}, false, 0},
		{"one is to come, and does not", 2, usualGrace, func(*world) {}, false, leavingFor},
		{"one comes and does not arrive", 2, usualGrace, pending, false, leavingFor},
		{"one that does not start is there", 2, usualGrace, func(w *world) { w.bear(w.conceive(1)) }, false, leavingFor},
		{"new ones come all the time", 2, usualGrace, func(w *world) { w.add(1, 1) }, true, leavingFor},
		{"it has little time", 2, leavingNeeds + time.Second, pending, false, time.Second},
		{"it has no time", 2, time.Second, pending, false, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			inWorld(t, bank, func(w *world) {
				pods := w.add(2, 1)
				w.pass(20 * time.Second)
				w.wanted = test.wanted
				w.goes(test.grace, pods[0])
				left := len(w.ownedBy("bank-1-a"))
				test.coming(w)
				for at := time.Duration(0); at < test.keeps-step; at += step {
					if got := len(w.ownedBy("bank-1-a")); got < left {
						t.Errorf("after %s it has %d of %d shards", at, got, left)
						break
					}
					if test.always && at%(5*step) == 0 {
						test.coming(w)
					}
					w.pass(step)
				}
				w.pass(700 * time.Millisecond)
				if got := w.ownedBy("bank-1-a"); len(got) > 0 {
					t.Errorf("it still has %v", got)
				}
				w.wantFailovers(nil, "", 0)
			})
		})
	}
}

func TestANewLeaderMovesNothing(t *testing.T) {
	inWorld(t, bank, func(w *world) {
		pods := w.add(3, 1)
		w.pass(20 * time.Second)
		before := w.store.epochs()
		w.newLeader(nil, 3*time.Second)
		w.pass(20 * time.Second)
		w.wantOwned(pods...)
		if got := w.store.epochs(); got != before {
			t.Errorf("%d shards were claimed anew", got-before)
		}
		w.wantFailovers(nil, "", 0)
	})
}

func TestANewLeaderFindsWhatDiedWhileThereWasNone(t *testing.T) {
	cases := []struct {
		name string
		dies func(*world, *worldPod)
	}{
		{"the pod is gone", func(w *world, p *worldPod) { w.kill(p); p.absent = true }},
		{"its port refuses", func(w *world, p *worldPod) { w.kill(p) }},
		{"another process is in the pod", func(w *world, p *worldPod) { w.kill(p); w.revive(p, "bank-1-b") }},
		{"it does not answer", func(w *world, p *worldPod) { w.freeze(p, true) }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, bank, func(w *world) {
				pods := w.add(3, 1)
				w.pass(5 * time.Second)
				w.stop()
				<-w.done
				c.dies(w, pods[0])
				w.newLeader(nil, 4*time.Second)
				w.pass(3 * time.Second)
				if got := w.ownedBy("bank-1-a"); len(got) > 0 {
					t.Errorf("the dead process still owns %v", got)
				}
				w.pass(2 * time.Second)
				for _, s := range w.shown().Shards {
					if s.State != Owned {
						t.Errorf("%s-%d is %s", s.Aggregate, s.Number, s.State)
					}
				}
			})
		})
	}
}

func TestWhatALeaderHeardBeforeItKnewAllIsToldWhenItDoes(t *testing.T) {
	inWorld(t, bank, func(w *world) {
		pods := w.add(3, 1)
		w.pass(5 * time.Second)
		pods[0].curt = true // so that it waits for one, and hears the others meanwhile
		w.toldOf = nil
		w.newLeader(nil, 0)
		w.pass(3 * time.Second)
		for _, s := range w.shown().Shards {
			if name := objectName(s.Aggregate, s.Number); !slices.Contains(w.toldOf, name) {
				t.Errorf("nobody was told of %s, which %s owns: its status stays as the leader before has written it", name, s.Owner)
			}
		}
	})
}

func TestALeaderThatBeginsWhileTheStoreIsDownActsWhenItIsBack(t *testing.T) {
	inWorld(t, bank, func(w *world) {
		pods := w.add(3, 1)
		w.pass(5 * time.Second)
		w.stop()
		<-w.done
		w.store.down(true)
		w.kill(pods[0])
		pods[0].absent = true
		w.newLeader(nil, 4*time.Second)
		w.pass(30 * time.Second)
		if w.shown().Surveyed {
			t.Error("the leader takes itself to know all, and nobody could read the store")
		}
		w.store.down(false)
		w.pass(2 * surveySoon)
		w.wantOwned(pods[1:]...)
	})
}

func TestATakeoverThatAPodMadeByItselfIsAccepted(t *testing.T) {
	inWorld(t, bank, func(w *world) {
		pods := w.add(2, 1)
		w.pass(5 * time.Second)
		orphans := w.ownedBy("bank-1-a")
		w.stop()
		<-w.done
		w.kill(pods[0])
		pods[0].absent = true
		for _, id := range orphans {
			pods[1].process.adopt(id)
		}
		before := w.store.epochs()
		w.newLeader(nil, 4*time.Second)
		w.pass(5 * time.Second)
		w.wantOwned(pods[1])
		if w.store.epochs() != before {
			t.Error("what was taken over was claimed again")
		}
		for _, s := range w.shown().Shards {
			id := placement.ShardID{Aggregate: s.Aggregate, Number: int(s.Number)}
			if slices.Contains(orphans, id) != (s.LastFailover != nil && s.LastFailover.Reason == v1alpha1.FailoverOrphaned) {
				t.Errorf("%v: last failover %+v", id, s.LastFailover)
			}
		}

		// The next leader knows of it from the Shard objects.
		remembered := map[placement.ShardID]memory{}
		for _, s := range w.shown().Shards {
			remembered[placement.ShardID{Aggregate: s.Aggregate, Number: int(s.Number)}] = memory{
				epoch: s.Epoch, restarts: 3, failover: s.LastFailover,
			}
		}
		detected := w.shown().Shards[0].LastFailover
		w.newLeader(remembered, time.Second)
		w.pass(3 * time.Second)
		if got := w.shown().Shards[0]; got.Restarts != 3 || got.LastFailover != detected {
			t.Errorf("restarts and failover are %d and %v after another change of leaders", got.Restarts, got.LastFailover)
		}
	})
}

func TestAGrantThatTheStoreRefusesTellsTheTruth(t *testing.T) {
	inWorld(t, bank, func(w *world) {
		pods := w.add(3, 1)
		w.pass(5 * time.Second)
		// Another pod takes the shards a moment before the operator hears of the
		// death, and tells of it a little later.
		orphans := w.ownedBy("bank-1-a")
		taker := pods[1].process
		before := w.store.epochs()
		for _, id := range orphans {
			if _, ok := w.store.claim(id, w.store.row(id).epoch, taker.incarnation, taker.address); !ok {
				t.Fatal("the claim was refused")
			}
		}
		w.kill(pods[0])
		w.pass(100 * time.Millisecond)
		taker.with(func() {
			for _, id := range orphans {
				taker.report(&leftfoldv1.ShardReport{
					Shard: wireOf(id), State: leftfoldv1.ShardState_SHARD_STATE_SERVING, Epoch: w.store.row(id).epoch, Orphan: true,
				})
			}
		})
		w.pass(comingFor + 3*time.Second)
		w.wantOwned(pods[1:]...)
		// Six were taken; of the twelve that the taker has then, three go to the other
		// when the dead process does not come back.
		if got := w.store.epochs() - before; got != 9 {
			t.Errorf("%d claims", got)
		}
		w.wantFailovers(orphans, v1alpha1.FailoverOrphaned, time.Second)
	})
}

func TestAClaimThatDoesNotEndGoesElsewhere(t *testing.T) {
	inWorld(t, bank, func(w *world) {
		pods := w.add(3, 1)
		w.pass(5 * time.Second)
		pods[1].process.with(func() { pods[1].process.stuck = func(placement.ShardID) bool { return true } })
		w.kill(pods[0])
		w.pass(claimTimeout - 500*time.Millisecond)
		if w.store.owners()["bank-1-a"] == 0 {
			t.Fatal("nothing was granted to the pod that is stuck")
		}
		w.pass(time.Second)
		if got := w.ownedBy("bank-1-a"); len(got) > 0 {
			t.Errorf("nobody has %v", got)
		}
		w.wantOwned(pods[1:]...)
	})
}

func TestAClaimerThatDiesBeforeItServesIsFollowedAtOnce(t *testing.T) {
	inWorld(t, bank, func(w *world) {
		pods := w.add(3, 1)
		w.pass(5 * time.Second)
		pods[1].process.with(func() { pods[1].process.lags = func(placement.ShardID) bool { return true } })
		w.kill(pods[0])
		if w.store.owners()["bank-2-a"] != 9 {
			t.Fatalf("owners are %v", w.store.owners())
		}
		w.kill(pods[1])
		if got := w.store.owners()["bank-3-a"]; got != 18 {
			t.Errorf("without any time going by, the last pod has %d of 18 shards", got)
		}
		w.wantOwned(pods[2])
		if pods[2].process.refusals > 0 {
			t.Errorf("%d grants were for an epoch that was over", pods[2].process.refusals)
		}
	})
}

func TestAShardThatIsNotReleasedIsTakenAway(t *testing.T) {
	inWorld(t, map[string]int{"account": 4}, func(w *world) {
		pods := w.add(2, 1)
		w.pass(5 * time.Second)
		pods[0].process.with(func() { pods[0].process.clings = func(placement.ShardID) bool { return true } })
		w.goes(usualGrace, pods[0])
		w.pass(releaseTimeout - time.Second)
		if len(w.ownedBy("bank-1-a")) == 0 {
			t.Error("shards were taken away while they drained")
		}
		w.pass(2 * time.Second)
		w.wantOwned(pods[1])
	})
}

func TestMovesThatTakeLongDoNotHoldUpTheOthers(t *testing.T) {
	inWorld(t, bank, func(w *world) {
		pods := w.add(2, 1)
		w.pass(5 * time.Second)
		clinging := map[placement.ShardID]bool{}
		pods[0].process.with(func() {
			pods[0].process.clings = func(id placement.ShardID) bool {
				if len(clinging) < fewMoves { // those that come first
					clinging[id] = true
				}
				return clinging[id]
			}
		})
		w.goes(usualGrace, pods[0])
		w.pass(slowMove + time.Second)
		for _, id := range w.ownedBy("bank-1-a") {
			if !clinging[id] {
				t.Errorf("%v waits for moves that take long", id)
			}
		}
		w.pass(releaseTimeout)
		w.wantOwned(pods[1])
	})
}

func TestAFlappingPodDoesNotKeepShardsDown(t *testing.T) {
	inWorld(t, bank, func(w *world) {
		pods := w.add(3, 1)
		w.pass(5 * time.Second)
		for i := range 10 {
			w.kill(pods[0])
			w.pass(300 * time.Millisecond)
			for _, s := range w.shown().Shards {
				if s.State == Unowned {
					t.Errorf("round %d: %s-%d has no owner", i, s.Aggregate, s.Number)
				}
			}
			w.revive(pods[0], "bank-1-"+string(rune('b'+i)))
			w.pass(700 * time.Millisecond)
		}
		w.pass(5 * time.Second)
		w.wantOwned(pods...)
	})
}

func TestMoreMoveAtOnceWhereThereAreManyMembersOrShards(t *testing.T) {
	for _, test := range []struct{ members, shards, want int }{
		{0, 0, fewMoves}, {3, 16, fewMoves}, {3, 300, fewMoves},
		{3, 3 * 10 * mostTurns, 10}, {200, 10_000, 100},
	} {
		p := &pool{table: newTable()}
		for i := range test.shards {
			p.get(placement.ShardID{Aggregate: "account", Number: i})
		}
		if got := p.movesAtOnce(test.members); got != test.want {
			t.Errorf("%d shards on %d members: %d at once, want %d", test.shards, test.members, got, test.want)
		}
	}
}
