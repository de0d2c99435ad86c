package eventstore_test

import (
	"testing"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

func TestTheNewerReadingOfADefinitionWins(t *testing.T) {
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	object := func(uid string, generation int64, created time.Time) eventstore.Source {
		return eventstore.Source{UID: uid, Generation: generation, Created: created}
	}
	for _, c := range []struct {
		is             string
		offered, other eventstore.Source
		older          bool
	}{
		{is: "an earlier generation of the object is older", offered: object("a", 1, noon), other: object("a", 2, noon), older: true},
		{is: "the same generation is not", offered: object("a", 2, noon), other: object("a", 2, noon)},
		{is: "a later generation is not", offered: object("a", 3, noon), other: object("a", 2, noon)},
		{is: "an object that was made before is older, whatever its generation", offered: object("a", 9, noon), other: object("b", 1, noon.Add(time.Second)), older: true},
		{is: "an object that was made after is not", offered: object("b", 1, noon.Add(time.Second)), other: object("a", 9, noon)},
		{is: "what comes from files is not older than an object", other: object("a", 9, noon)},
		{is: "an object is not older than what comes from files", offered: object("a", 1, noon)},
	} {
		t.Run(c.is, func(t *testing.T) {
			if got := c.offered.OlderThan(c.other); got != c.older {
				t.Errorf("got %t, want %t", got, c.older)
			}
		})
	}
}
