package routing

import (
	"testing"

	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

func TestNewsOfOwners(t *testing.T) {
	b7, c7, c8, nobody7, nobody8 := Remote{7, "b"}, Remote{7, "c"}, Remote{8, "c"}, Remote{Epoch: 7}, Remote{Epoch: 8}
	stored := func(r Remote) func(*route) { return func(t *route) { t.learnStored(t.heading().known, r) } }
	learn := func(r Remote) func(*route) { return func(t *route) { t.learn(r) } }
	place := func(epoch int64) func(*route) {
		return func(t *route) { t.place(&claimed{epoch: epoch}) }
	}
	leave := func(t *route) { t.place(nil) }
	for name, tt := range map[string]struct {
		news []func(*route)
		want Remote // the remote that calls go to; none: they are held
		here bool
	}{
		"a higher epoch replaces a lower one":                    {[]func(*route){learn(b7), learn(c8)}, c8, false},
		"a lower epoch tells nothing":                            {[]func(*route){learn(c8), learn(b7)}, c8, false},
		"the same epoch has one owner":                           {[]func(*route){learn(b7), learn(c7)}, b7, false},
		"the same epoch may lose its owner":                      {[]func(*route){learn(b7), learn(nobody7)}, Remote{}, false},
		"an owner that is gone does not come back by old news":   {[]func(*route){learn(b7), learn(nobody7), learn(b7)}, Remote{}, false},
		"a higher epoch without an owner is news as well":        {[]func(*route){learn(b7), learn(nobody8)}, Remote{}, false},
		"the owner here goes before news of its epoch":           {[]func(*route){learn(b7), place(7)}, Remote{}, true},
		"news of a higher epoch go before the owner here":        {[]func(*route){place(7), learn(c8)}, c8, false},
		"a claim here goes before what was known":                {[]func(*route){learn(b7), place(8)}, Remote{}, true},
		"what was known before a claim here is over after it":    {[]func(*route){learn(b7), place(8), leave}, Remote{}, false},
		"what is newer than a claim here stays after it":         {[]func(*route){place(7), learn(c8), leave}, c8, false},
		"news that this process owns it go nowhere":              {[]func(*route){learn(Remote{9, "self"})}, Remote{}, false},
		"the owner here stays when the news are of itself":       {[]func(*route){place(7), learn(Remote{8, "self"})}, Remote{}, true},
		"the store may take an epoch back":                       {[]func(*route){learn(c8), stored(b7)}, b7, false},
		"the store is not believed over what came while it read": {[]func(*route){learn(b7), func(t *route) { t.learn(c8); t.learnStored(b7, b7) }}, c8, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(Config{}, "self", "b", "c")
			defer w.close()
			route := w.processes["self"].router.numbered(aggregate, 0)
			for _, news := range tt.news {
				news(route)
			}
			if h := route.heading(); h.remote != tt.want || (h.owner != nil) != tt.here {
				t.Errorf("calls go to %v, here %t; want %v, here %t", h.remote, h.owner != nil, tt.want, tt.here)
			}
		})
	}
}

func TestNewsOfShardsThatAreNotThereTellNothing(t *testing.T) {
	w := newWorld(Config{}, "a")
	defer w.close()
	r := w.processes["a"].router
	for _, number := range []int32{-1, 1} {
		r.Learn(aggregate, number, Remote{Epoch: 1, Address: "b"})
		r.Place(aggregate, number, nil)
		r.Claiming(aggregate, number)()
	}
	r.Learn("another", 0, Remote{Epoch: 1, Address: "b"})
	if _, err := r.Handle(t.Context(), "another", shard.Command{Entity: entity}); !problem.Is(err, problem.UnknownName) {
		t.Errorf("an unknown aggregate: %v", err)
	}
}
