package projection_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/leftfold/leftfold/runtime/projection"
	"github.com/leftfold/leftfold/runtime/projection/projectiontest"
)

// model folds the same events in the plainest way: no batches, no shards.
type model struct {
	totals map[string]*total
	sales  map[string]int
	parked map[string]bool // entities that divided by 0, by projection and entity
}

type total struct{ sum, seen int }

func (m *model) apply(e projectiontest.Event) {
	switch data := e.Data.(type) {
	case added:
		m.total(e.Entity, func(t *total) { t.sum += data.Amount })
		m.sell(e.Entity, data.Key, data.Amount)
	case spread:
		for _, k := range data.Keys {
			m.sell(e.Entity, k, data.Amount)
		}
	case divided:
		if data.By == 0 {
			m.parked[e.Entity] = true
			return
		}
		m.total(e.Entity, func(t *total) { t.sum /= data.By })
		if !m.parked[e.Entity] {
			m.sales["divided"] += 100 / data.By
		}
	case cleared:
		if !m.parked[e.Entity] {
			delete(m.totals, e.Entity)
		}
	}
}

func (m *model) total(entity string, change func(*total)) {
	if m.parked[entity] {
		return
	}
	if m.totals[entity] == nil {
		m.totals[entity] = &total{}
	}
	change(m.totals[entity])
	m.totals[entity].seen++
}

func (m *model) sell(entity, key string, n int) {
	if m.parked[entity] {
		return
	}
	if m.sales[key] += n; m.sales[key] == 0 {
		delete(m.sales, key)
	}
}

func (m *model) rows() (totals, sales map[string]string) {
	totals, sales = map[string]string{}, map[string]string{}
	for entity, t := range m.totals {
		totals[fmt.Sprintf("%q", entity)] = fmt.Sprintf(`{"seen":%d,"sum":%d}`, t.seen, t.sum)
	}
	for key, sum := range m.sales {
		sales[fmt.Sprintf("%q", key)] = fmt.Sprintf(`{"sum":%d}`, sum)
	}
	return totals, sales
}

// events draws events whose keys meet across shards. Few of them divide by 0.
func events(t *rapid.T) []projectiontest.Event {
	key := rapid.SampledFrom([]string{"a", "b", "c", "d", "é", "A", "z/z"})
	amount := rapid.IntRange(-3, 3)
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) projectiontest.Event {
		e := projectiontest.Event{Entity: rapid.SampledFrom([]string{"e1", "e2", "e3", "e4", "e5", "e6"}).Draw(t, "entity")}
		switch kind := rapid.IntRange(0, 30).Draw(t, "kind"); {
		case kind < 15:
			e.Type, e.Data = "Added", added{key.Draw(t, "key"), amount.Draw(t, "amount")}
		case kind < 24:
			e.Type, e.Data = "Spread", spread{rapid.SliceOfN(key, 0, 4).Draw(t, "keys"), amount.Draw(t, "amount")}
		case kind < 27:
			e.Type, e.Data = "Cleared", cleared{}
		case kind < 30:
			e.Type, e.Data = "Divided", divided{rapid.IntRange(1, 4).Draw(t, "by")}
		default:
			e.Type, e.Data = "Divided", divided{0}
		}
		return e
	}), 0, 120).Draw(t, "events")
}

// Whatever the batches, the shards' pace, lost and won shards, rows are what a
// plain fold of all events gives.
func TestRowsAreAFoldOfAllEvents(t *testing.T) {
	projectiontest.Each(t, func(t *testing.T, r *projectiontest.Rig) {
		run := 0
		rapid.Check(t, func(rt *rapid.T) {
			run++
			foldOnce(t, rt, r, run)
		})
	})
}

func foldOnce(t *testing.T, rt *rapid.T, r *projectiontest.Rig, run int) {
	named := func(text, name string) string { return strings.ReplaceAll(text, "till", name) }
	aggregate, totalsName, salesName := fmt.Sprintf("a%d", run), fmt.Sprintf("totals-%d", run), fmt.Sprintf("sales-%d", run)
	a := r.Aggregate(aggregate, rapid.IntRange(1, 4).Draw(rt, "shards"), till)
	for _, s := range a.Shards {
		s.Blind = rapid.Bool().Draw(rt, "from the store")
	}
	batch := rapid.IntRange(1, 40).Draw(rt, "batch")
	drawn := events(rt)
	start := func() *projection.Manager {
		m := r.Manager(func(c *projection.Config) { c.MaxBatch = batch })
		apply(t, m, r.Define(totalsName, named(totals, aggregate)), r.Define(salesName, named(sales, aggregate)))
		a.Own(m)
		return m
	}
	m := start()
	half := len(drawn) / 2
	play(a, drawn[:half])
	if rapid.Bool().Draw(rt, "restart") {
		m.Close()
		m = start()
	}
	play(a, drawn[half:])
	head := a.Head()
	for _, name := range []string{totalsName, salesName} {
		eventually(t, name+" has seen everything", func() bool {
			s := status(t, m, name)
			return s.Position.Covers(head)
		})
	}
	want := &model{totals: map[string]*total{}, sales: map[string]int{}, parked: map[string]bool{}}
	for _, e := range drawn {
		want.apply(e)
	}
	wantTotals, wantSales := want.rows()
	if diff := cmp.Diff(wantTotals, r.Rows(totalsName)); diff != "" {
		rt.Errorf("totals (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wantSales, r.Rows(salesName)); diff != "" {
		rt.Errorf("sales (-want +got):\n%s", diff)
	}
	m.Close()
}

// play has every shard append its events, in order, all shards at once, a few at
// a time.
func play(a *projectiontest.Aggregate, events []projectiontest.Event) {
	var wg sync.WaitGroup
	for _, s := range a.Shards {
		wg.Go(func() {
			var mine []projectiontest.Event
			for _, e := range events {
				if a.Shard(e.Entity) == s {
					mine = append(mine, e)
				}
			}
			for n := 1; len(mine) > 0; n++ {
				some := min(len(mine), 1+n%9)
				s.Append(mine[:some]...)
				mine = mine[some:]
			}
		})
	}
	wg.Wait()
}
