package routing

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

// step is one thing that happens in a world, some time after the one before.
type step struct {
	after time.Duration
	what  string
	do    func(*script)
}

// script is a world in which things happen, and what became of its commands.
type script struct {
	*world
	mu      sync.Mutex
	answers map[string]error // nil: success
	calls   sync.WaitGroup
	thawed  map[string]chan struct{}
}

var names = []string{"a", "b", "c"}

// anyStep draws what happens next. Commands come in anywhere, with and without a
// caller's key; shards move, processes freeze, connections break in every way;
// news come late or never.
func anyStep(n *int) *rapid.Generator[step] {
	return rapid.Custom(func(t *rapid.T) step {
		s := step{after: time.Duration(rapid.SampledFrom([]int{0, 1, 10, 30, 200, 1500}).Draw(t, "after")) * time.Millisecond}
		at := rapid.SampledFrom(names).Draw(t, "at")
		kind := rapid.SampledFrom([]string{
			"send", "send", "send", "send", "claim", "release", "push", "fate", "fate", "late", "freeze", "thaw", "close", "close", "silent",
		}).Draw(t, "kind")
		s.what = kind + " " + at
		switch kind {
		case "send":
			*n++
			id, keyed := fmt.Sprintf("k%d", *n), rapid.Bool().Draw(t, "keyed")
			patience := time.Duration(rapid.SampledFrom([]int{50, 1000, 10000}).Draw(t, "patience")) * time.Millisecond
			s.do = func(w *script) { w.command(at, id, keyed, patience) }
		case "claim":
			s.do = func(w *script) { w.claim(at) }
		case "release":
			s.do = func(w *script) { w.release(at) }
		case "push":
			s.do = func(w *script) { w.push(at) }
		case "fate":
			fate := rapid.SampledFrom([]string{"none", "unreachable", "lost before", "lost after", "slow", "lost, then no room"}).Draw(t, "fate")
			s.what += " " + fate
			s.do = func(w *script) { at := w.holder(at); w.processes[at].fate(w.fates(at)[fate]) }
		case "late":
			s.do = func(w *script) { at := w.holder(at); w.processes[at].fate(w.fates(at)["late"]) }
		case "freeze":
			s.do = func(w *script) { w.freeze(w.holder(at)) }
		case "thaw":
			s.do = func(w *script) { w.thaw(at) }
		case "close":
			s.do = func(w *script) {
				w.set(func() { w.closed = true })
				time.AfterFunc(100*time.Millisecond, func() { w.set(func() { w.closed = false }) })
			}
		case "silent":
			s.do = func(w *script) { w.set(func() { w.silent = !w.silent }) }
		}
		return s
	})
}

// holder is the owner, or the given process when there is none: what befalls
// others matters little.
func (s *script) holder(otherwise string) string {
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	return cmp.Or(s.owner, otherwise)
}

func (s *script) set(change func()) {
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	change()
}

func (s *script) fates(at string) map[string]func(context.Context, func(context.Context) outcome) outcome {
	late := make(chan struct{})
	time.AfterFunc(700*time.Millisecond, func() { close(late) })
	p := s.processes[at]
	return map[string]func(context.Context, func(context.Context) outcome) outcome{
		"none": nil, "unreachable": unreachable, "lost before": lostBefore, "lost after": lostAfter,
		"slow": takes(80 * time.Millisecond),
		// The connection breaks once, and the attempt runs all the same, later.
		"late": func(ctx context.Context, arrive func(context.Context) outcome) outcome {
			p.fate(nil)
			p.late.Go(func() {
				<-late
				arrive(context.WithoutCancel(ctx))
			})
			return outcome{err: ErrLost}
		},
		"lost, then no room": func(ctx context.Context, arrive func(context.Context) outcome) outcome {
			p.fate(func(context.Context, func(context.Context) outcome) outcome {
				return outcome{err: problem.New(problem.Overloaded, "no room")}
			})
			return lostAfter(ctx, arrive)
		},
	}
}

func (s *script) freeze(at string) {
	if s.thawed[at] == nil {
		s.thawed[at] = make(chan struct{})
		s.processes[at].fate(s.processes[at].frozenUntil(s.thawed[at]))
	}
}

func (s *script) thaw(at string) {
	if thawed := s.thawed[at]; thawed != nil {
		close(thawed)
		s.thawed[at] = nil
		s.processes[at].fate(nil)
	}
}

func (s *script) command(at, id string, keyed bool, patience time.Duration) {
	s.calls.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_, err := s.processes[at].router.Handle(ctx, aggregate, shard.Command{Entity: entity, ID: id, Keyed: keyed})
		s.mu.Lock()
		defer s.mu.Unlock()
		s.answers[id] = err
	})
}

// lie tells what is untrue of an answer, when the command ran so often in the end.
func lie(err error, ran int) string {
	p := problem.From(err)
	switch {
	case ran > 1:
		return "it ran more than once"
	case err == nil && ran != 1:
		return "it was answered as done"
	case err == nil:
		return ""
	case p.Reason == problem.OutcomeUnknown:
		return ""
	case !p.Rejected && p.Reason != problem.NotAttempted && p.Reason != problem.Overloaded:
		return "nobody said so"
	case ran != 0:
		return "it was answered as not done"
	}
	return ""
}

// rounds times the library's number of scripts (100) find a rule that is missing
// above for almost certain, in a second or two.
const rounds = 20

func TestEveryCommandIsAnsweredOnceWithTheTruthAboutWhetherItRan(t *testing.T) {
	for i := range rounds {
		t.Run(fmt.Sprint(i), everyAnswerIsTrue)
	}
}

func everyAnswerIsTrue(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := 0
		steps := rapid.SliceOfN(anyStep(&n), 1, 60).Draw(rt, "steps")
		var lies []string
		synctest.Test(t, func(*testing.T) {
			s := &script{
				world:   newWorld(Config{HoldFor: 2 * time.Second}, names...),
				answers: map[string]error{}, thawed: map[string]chan struct{}{},
			}
			for _, step := range steps {
				time.Sleep(step.after)
				step.do(s)
			}
			s.calls.Wait()
			for _, name := range names {
				s.thaw(name)
			}
			for _, p := range s.processes {
				p.late.Wait()
			}
			s.close()
			for id, err := range s.answers {
				if why := lie(err, s.times(id)); why != "" {
					lies = append(lies, fmt.Sprintf("%s was answered %v and ran %d times: %s", id, err, s.times(id), why))
				}
			}
			if len(s.answers) != n {
				lies = append(lies, fmt.Sprintf("%d of %d commands were answered", len(s.answers), n))
			}
		})
		if lies != nil {
			var told strings.Builder
			for _, step := range steps {
				fmt.Fprintf(&told, "  +%s %s\n", step.after, step.what)
			}
			rt.Fatalf("%s\nwhat happened:\n%s", strings.Join(lies, "\n"), told.String())
		}
	})
}
