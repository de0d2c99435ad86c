package definition

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// deadline bounds every wait: far more than a change may take, for a busy machine.
const deadline = 20 * time.Second

func pool(name string) *v1alpha1.Runtime {
	return &v1alpha1.Runtime{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.RuntimeSpec{StoreRef: v1alpha1.LocalReference{Name: "store"}}}
}

func counter(name, runtime string) *v1alpha1.Aggregate {
	return &v1alpha1.Aggregate{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.AggregateSpec{
		RuntimeRef: v1alpha1.LocalReference{Name: runtime}, Shards: 1,
		State:    []v1alpha1.Field{{Name: "count", Type: "int"}},
		Commands: []v1alpha1.Command{{Name: "Add", Emit: []v1alpha1.Emission{{Event: "Added"}}}},
		Events:   []v1alpha1.Event{{Name: "Added", Apply: map[string]v1alpha1.Expression{"count": "state.count + 1"}}},
	}}
}

func totals(name, table, aggregate string) *v1alpha1.Projection {
	return &v1alpha1.Projection{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.ProjectionSpec{
		Sources: []v1alpha1.Source{{Aggregate: aggregate}},
		Table: &v1alpha1.Table{
			Name: table, Key: v1alpha1.Key{Name: "entity", Type: "string", Value: "meta.entity"},
			Columns: []v1alpha1.Column{{Name: "total", Type: "int"}},
			Apply:   []v1alpha1.Rule{{Event: "Added", Set: map[string]v1alpha1.Expression{"total": "row.total + 1"}}},
		},
	}}
}

// breakIt gives an aggregate an expression of the wrong type.
func breakIt(a *v1alpha1.Aggregate) *v1alpha1.Aggregate {
	a.Spec.Events[0].Apply["count"] = "'one'"
	return a
}

// told is one call of a Target, and when it came.
type told struct {
	set *Set // nil: ServeStored
	at  time.Time
}

// listener is a Target that passes on what it is told.
type listener struct {
	calls chan told
	fail  atomic.Int32 // how many more calls fail
}

func newListener() *listener { return &listener{calls: make(chan told, 1000)} }

func (l *listener) Apply(_ context.Context, set *Set) error {
	l.calls <- told{set, time.Now()}
	if l.fail.Add(-1) >= 0 {
		return errors.New("the store is away")
	}
	return nil
}

func (l *listener) ServeStored(ctx context.Context) error { return l.Apply(ctx, nil) }

// next gives the next call.
func (l *listener) next(t *testing.T) told {
	t.Helper()
	select {
	case c := <-l.calls:
		return c
	case <-time.After(deadline):
		t.Fatal("the target was told nothing")
		return told{}
	}
}

// until waits for a set that is as wanted.
func (l *listener) until(t *testing.T, what string, is func(*Set) bool) told {
	t.Helper()
	for {
		select {
		case c := <-l.calls:
			if c.set != nil && is(c.set) {
				return c
			}
		case <-time.After(deadline):
			t.Fatalf("waited in vain for a set with %s", what)
		}
	}
}

// heldOf is the reason for which an object is held; empty when it is not.
func heldOf(s *Set, kind, name string) string {
	for _, h := range s.Held {
		if h.Kind == kind && h.Name == name {
			return h.Reason
		}
	}
	return ""
}

func has(names ...string) func(*Set) bool {
	return func(s *Set) bool { return slices.Equal(append(s.AggregateNames(), s.ProjectionNames()...), names) }
}

func TestAPodServesTheDefinitionsOfItsRuntimeAlone(t *testing.T) {
	p := newPlace(t)
	p.create(pool("pool"), pool("other"), counter("mine", "pool"), counter("theirs", "other"), counter("nobodys", "none"),
		totals("of-mine", "", "mine"), totals("of-theirs", "", "theirs"), totals("of-nothing", "", "missing"))
	l := newListener()
	p.watch(l)
	c := l.until(t, "mine and of-mine", has("mine", "of-mine"))
	if a := c.set.Aggregates["mine"]; a.Compiled == nil || a.Object.UID == "" || a.Object.Generation != 1 || a.Object.Spec.Snapshots.Every != 100 {
		t.Errorf("got %+v", a.Object)
	}
	if c.set.Projections["of-mine"].Compiled == nil {
		t.Error("the projection did not compile")
	}
	if len(c.set.Held) != 0 {
		t.Errorf("held are %+v", c.set.Held)
	}
}

func TestABrokenObjectKeepsNoOtherFromBeingServed(t *testing.T) {
	p := newPlace(t)
	sound, broken := counter("sound", "pool"), breakIt(counter("broken", "pool"))
	p.create(pool("pool"), sound, broken, totals("of-sound", "", "sound"), totals("of-broken", "", "broken"))
	l := newListener()
	p.watch(l)
	// What was accepted of the broken one before may be what its projection fits.
	c := l.until(t, "all but broken", has("sound", "of-broken", "of-sound"))
	if len(c.set.Held) != 1 {
		t.Fatalf("held are %+v", c.set.Held)
	}
	h := c.set.Held[0]
	if h.Kind != v1alpha1.KindAggregate || h.Name != "broken" || h.UID != string(broken.UID) || h.Generation != 1 || h.Reason != v1alpha1.ReasonInvalidExpression {
		t.Errorf("held is %+v", h)
	}
	for _, part := range []string{"spec.events[0].apply.count", "is string, needs int", "convert with int("} {
		if !strings.Contains(h.Detail, part) {
			t.Errorf("%q does not say %q", h.Detail, part)
		}
	}
	if !c.set.Declares(v1alpha1.KindAggregate, "broken") || c.set.Declares(v1alpha1.KindAggregate, "none") {
		t.Error("Declares does not tell what is declared")
	}
	broken.Spec.Events[0].Apply["count"] = "state.count + 2"
	p.update(broken)
	c = l.until(t, "all", has("broken", "sound", "of-broken", "of-sound"))
	if len(c.set.Held) != 0 || c.set.Aggregates["broken"].Object.Generation != 2 {
		t.Errorf("held are %+v, and the mended one is of generation %d", c.set.Held, c.set.Aggregates["broken"].Object.Generation)
	}
}

func TestATableIsKeptByTheOlderProjection(t *testing.T) {
	p := newPlace(t)
	older := totals("z-older", "shared", "counter")
	p.create(pool("pool"), counter("counter", "pool"), older)
	// Creation times are whole seconds; the younger one is to be of a later one.
	for older.CreationTimestamp.Truncate(time.Second).Equal(time.Now().Truncate(time.Second)) {
		<-time.After(20 * time.Millisecond)
	}
	p.create(totals("a-younger", "shared", "counter"))
	l := newListener()
	p.watch(l)
	c := l.until(t, "the older", has("counter", "z-older"))
	if got := heldOf(c.set, v1alpha1.KindProjection, "a-younger"); got != v1alpha1.ReasonTableNameTaken {
		t.Errorf("the younger is held for %q", got)
	}
	p.remove(older)
	l.until(t, "the younger", has("counter", "a-younger"))
}

func TestObjectsThatGoAndComeBackAreNoticed(t *testing.T) {
	p := newPlace(t)
	first := counter("counter", "pool")
	p.create(pool("pool"), first)
	l := newListener()
	p.watch(l)
	l.until(t, "counter", has("counter"))
	p.remove(first)
	l.until(t, "nothing", has())
	p.create(counter("counter", "pool"))
	if c := l.until(t, "counter", has("counter")); c.set.Aggregates["counter"].Object.UID == first.UID {
		t.Error("the object that was made again has the old one's UID")
	}
}

func TestAChangeIsThereWithinASecond(t *testing.T) {
	p := newPlace(t)
	a := counter("counter", "pool")
	p.create(pool("pool"), a)
	for i := range 30 { // what a watch has to judge beside it
		p.create(totals("totals-"+strconv.Itoa(i), "", "counter"))
	}
	l := newListener()
	p.watch(l)
	l.until(t, "all projections", func(s *Set) bool { return len(s.Projections) == 30 })
	var took []time.Duration
	for i := range 10 {
		a.Spec.Events[0].Apply["count"] = v1alpha1.Expression("state.count + " + strconv.Itoa(i+2))
		at := time.Now()
		p.update(a)
		c := l.until(t, "the change", func(s *Set) bool { return s.Aggregates["counter"].Object.Generation == a.Generation })
		took = append(took, c.at.Sub(at))
	}
	slices.Sort(took)
	t.Logf("a change of an aggregate with 30 projections: median %s, longest %s", took[len(took)/2], took[len(took)-1])
	if longest := took[len(took)-1]; longest > time.Second {
		t.Errorf("a change took %s", longest)
	}
}

func TestChangesOfStatusAndOfOthersChangeNothing(t *testing.T) {
	p := newPlace(t)
	a, theirs := counter("counter", "pool"), counter("theirs", "other")
	p.create(pool("pool"), a, theirs)
	l := newListener()
	p.watch(l)
	l.until(t, "counter", has("counter"))
	a.Status.ObservedGeneration = 1
	if err := p.client.Status().Update(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	theirs.Spec.Events[0].Apply["count"] = "state.count + 2"
	p.update(theirs)
	a.Spec.Events[0].Apply["count"] = "state.count + 2"
	p.update(a)
	if c := l.next(t); c.set == nil || c.set.Aggregates["counter"].Object.Generation != 2 {
		t.Error("the target was told of what does not concern it")
	}
}

func TestWhatCannotBeAppliedIsTriedAgain(t *testing.T) {
	p := newPlace(t)
	p.create(pool("pool"), counter("counter", "pool"))
	l := newListener()
	l.fail.Store(2)
	p.watch(l)
	for range 3 {
		if c := l.next(t); !has("counter")(c.set) {
			t.Errorf("told of %v", c.set.AggregateNames())
		}
	}
}

func TestWithoutTheAPIServerAtTheStartWhatWasAcceptedServes(t *testing.T) {
	p := newPlace(t)
	p.create(pool("pool"), counter("counter", "pool"))
	p.line.cut()
	l := newListener()
	l.fail.Store(1)
	p.watch(l)
	for range 2 { // the first attempt fails
		if c := l.next(t); c.set != nil {
			t.Fatal("a set came from an API server that cannot be reached")
		}
	}
	p.line.mend()
	if c := l.next(t); c.set == nil || !has("counter")(c.set) {
		t.Error("what is declared was not applied when the API server came")
	}
}

func TestANamespaceWithNothingInItIsAppliedToo(t *testing.T) {
	p := newPlace(t)
	l := newListener()
	p.watch(l)
	if c := l.next(t); c.set == nil || !has()(c.set) || len(c.set.Held) != 0 {
		t.Errorf("told of %+v", c.set)
	}
}

func TestWhileTheAPIServerIsAwayWhatWasAppliedStays(t *testing.T) {
	p := newPlace(t)
	a, gone := counter("counter", "pool"), counter("gone", "pool")
	p.create(pool("pool"), a, gone)
	l := newListener()
	p.watch(l)
	l.until(t, "both", has("counter", "gone"))
	p.line.cut()
	a.Spec.Events[0].Apply["count"] = "state.count + 2"
	p.update(a)
	p.remove(gone)
	select {
	case c := <-l.calls:
		t.Errorf("told of %+v while nobody could tell", c.set)
	case <-time.After(aloneAfter + time.Second): // longer than a start would wait
	}
	mended := time.Now()
	p.line.mend()
	c := l.until(t, "the change and the deletion", func(s *Set) bool { return has("counter")(s) && s.Aggregates["counter"].Object.Generation == 2 })
	t.Logf("what changed meanwhile was there %s after the API server came back", c.at.Sub(mended))
}

func TestAWatchNeedsToKnowWhoseDefinitionsItIsFor(t *testing.T) {
	for _, c := range []WatchConfig{{Runtime: "pool"}, {Namespace: "default"}, {Namespace: "default", Runtime: "pool", Kubeconfig: "testdata/none"}} {
		if _, err := NewWatch(c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}
