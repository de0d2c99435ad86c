package cel_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/leftfold/leftfold/runtime/behavior"
	"github.com/leftfold/leftfold/runtime/behavior/cel"
	"github.com/leftfold/leftfold/runtime/definition"
	"github.com/leftfold/leftfold/runtime/problem"
)

// entity is one entity of a sample: commands go in as JSON, as a caller sends
// them, and events come out as JSON, as a store keeps them.
type entity struct {
	t     *testing.T
	b     *cel.Behavior
	state behavior.State
	meta  behavior.Meta
}

// sample loads config/samples/<folder> as the runtime does.
func sample(t *testing.T, folder, aggregate, id string) *entity {
	t.Helper()
	set, problems, err := definition.Load([]string{"../../../config/samples/" + folder})
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	b := cel.New(set.Aggregates[aggregate].Compiled)
	return &entity{t: t, b: b, state: b.Zero(), meta: behavior.Meta{
		Aggregate: aggregate, Entity: id, Time: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC),
	}}
}

// send gives the events that a command leads to, one a line, or the refusal.
func (e *entity) send(command, body string) string {
	e.t.Helper()
	parsed, err := e.b.Parse(command, []byte(body))
	var events []behavior.Event
	if err == nil {
		e.meta.CommandID = fmt.Sprintf("c-%d", e.meta.Version)
		events, err = e.b.Decide(e.state, parsed, e.meta)
	}
	if err != nil {
		var p *problem.Problem
		if !errors.As(err, &p) {
			e.t.Fatalf("%s %s: %v is no problem", command, body, err)
		}
		return strings.TrimSpace(fmt.Sprintf("%s %s: %s", p.Reason, p.Field, p.Detail))
	}
	lines := make([]string, len(events))
	for i, made := range events {
		e.meta.Version++
		// As a replay does: from what is stored alone.
		stored := behavior.Event{Type: made.Type, TypeVersion: made.TypeVersion, Data: made.Data}
		next, err := e.b.Evolve(e.state, stored, e.meta)
		if err != nil {
			e.t.Fatalf("%s of %s %s: %v", made.Type, command, body, err)
		}
		e.state = next
		lines[i] = made.Type + " " + string(made.Data)
	}
	return strings.Join(lines, "\n")
}

// is compares what a command led to.
func (e *entity) is(command, body string, want ...string) {
	e.t.Helper()
	if got := e.send(command, body); got != strings.Join(want, "\n") {
		e.t.Errorf("%s %s:\ngot  %s\nwant %s", command, body, got, strings.Join(want, "\n"))
	}
}

func (e *entity) stateIs(want string) {
	e.t.Helper()
	got, err := e.b.EncodeState(e.state)
	if err != nil || string(got) != want || !json.Valid(got) {
		e.t.Errorf("state: %v\ngot  %s\nwant %s", err, got, want)
	}
}

func TestACartAddsUpWhatIsInIt(t *testing.T) {
	cart := sample(t, "shop", "cart", "cart-1")
	cart.is("Order", `{}`, "CartEmpty : the command is refused: CartEmpty")
	cart.is("Put", `{"article":"pen","item":{"quantity":3,"price":250}}`,
		`ItemPut {"article":"pen","item":{"price":250,"quantity":3}}`)
	cart.is("Put", `{"article":"book","item":{"quantity":1,"price":1999}}`,
		`ItemPut {"article":"book","item":{"price":1999,"quantity":1}}`)
	cart.is("Put", `{"article":"pen","item":{"quantity":2,"price":250}}`, // in the place of the three
		`ItemPut {"article":"pen","item":{"price":250,"quantity":2}}`)
	cart.is("Put", `{"article":"cap","item":{"quantity":1,"price":500}}`,
		`ItemPut {"article":"cap","item":{"price":500,"quantity":1}}`)
	cart.is("Remove", `{"article":"cap"}`, `ItemRemoved {"article":"cap"}`)
	cart.is("Remove", `{"article":"cap"}`, "") // success that changes nothing
	cart.stateIs(`{"items":{"book":{"price":1999,"quantity":1},"pen":{"price":250,"quantity":2}},"total":0}`)
	cart.is("Order", `{"expectedTotal":2498}`, "TotalChanged : the total is 2499")
	cart.is("Order", `{"expectedTotal":2499}`, // an event an item, in key order, then the order
		`ItemOrdered {"article":"book","quantity":1}`,
		`ItemOrdered {"article":"pen","quantity":2}`,
		`Ordered {"total":2499}`)
	cart.stateIs(`{"items":{"book":{"price":1999,"quantity":1},"pen":{"price":250,"quantity":2}},"orderedAt":"2026-01-31T12:00:00Z","total":2499}`)
	for command, body := range map[string]string{
		"Order": `{}`, "Remove": `{"article":"pen"}`, "Put": `{"article":"cap","item":{"quantity":1,"price":500}}`,
	} {
		cart.is(command, body, "AlreadyOrdered : the command is refused: AlreadyOrdered")
	}
}

func TestACartTellsAnAbsentNoteFromAnEmptyOne(t *testing.T) {
	cart := sample(t, "shop", "cart", "cart-1")
	cart.is("Put", `{"article":"a","item":{"quantity":1,"price":1,"note":"a gift"}}`,
		`ItemPut {"article":"a","item":{"note":"a gift","price":1,"quantity":1}}`)
	cart.is("Put", `{"article":"b","item":{"quantity":1,"price":1,"note":""}}`,
		`ItemPut {"article":"b","item":{"note":"","price":1,"quantity":1}}`)
	cart.is("Put", `{"article":"c","item":{"quantity":1,"price":1,"note":null}}`, // null is left out
		`ItemPut {"article":"c","item":{"price":1,"quantity":1}}`)
	cart.is("Put", `{"article":"a","item":{"quantity":1,"price":1}}`,
		`ItemPut {"article":"a","item":{"price":1,"quantity":1}}`)
	cart.stateIs(`{"items":{"a":{"price":1,"quantity":1},"b":{"note":"","price":1,"quantity":1},"c":{"price":1,"quantity":1}},"total":0}`)
	cart.is("Order", `{"expectedTotal":null}`,
		`ItemOrdered {"article":"a","quantity":1}`, `ItemOrdered {"article":"b","quantity":1}`,
		`ItemOrdered {"article":"c","quantity":1}`, `Ordered {"total":3}`)
}

func TestACartRefusesWhatItCannotHold(t *testing.T) {
	cart := sample(t, "shop", "cart", "cart-1")
	for body, want := range map[string]string{
		`{"article":"","item":{"quantity":1,"price":1}}`:         "CheckFailed article: ",
		`{"article":"a","item":{"quantity":0,"price":1}}`:        "CheckFailed item.quantity: ",
		`{"article":"a","item":{"quantity":100,"price":1}}`:      "CheckFailed item.quantity: ",
		`{"article":"a","item":{"quantity":1,"price":-1}}`:       "CheckFailed item.price: ",
		`{"article":"a","item":{"quantity":1}}`:                  "MissingField item.price: ",
		`{"article":"a"}`:                                        "MissingField item: ",
		`{"article":"a","item":null}`:                            "MissingField item: ",
		`{"article":"a","item":{"quantity":1,"price":1,"x":1}}`:  "UnknownField item.x: ",
		`{"article":"a","item":{"quantity":"one","price":1}}`:    "WrongType item.quantity: ",
		`{"article":"a","item":{"quantity":1,"price":1},"b":""}`: "UnknownField b: ",
	} {
		if got := cart.send("Put", body); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %q, want %q", body, got, want)
		}
	}
	for i := range 50 {
		cart.send("Put", fmt.Sprintf(`{"article":"a%d","item":{"quantity":1,"price":1}}`, i))
	}
	cart.is("Put", `{"article":"one more","item":{"quantity":1,"price":1}}`, "CartFull : the command is refused: CartFull")
	cart.is("Put", `{"article":"a7","item":{"quantity":9,"price":1}}`, `ItemPut {"article":"a7","item":{"price":1,"quantity":9}}`)
}

func TestASeatIsReservedOnce(t *testing.T) {
	show := sample(t, "seats", "show", "faust")
	show.is("Reserve", `{"guest":"ada","seats":["A1"]}`, "NoSuchSeat : not in this house: A1") // not scheduled yet
	show.is("Schedule", `{"title":"Faust","seats":["A1","A2","A3","B1"]}`, `Scheduled {"seats":["A1","A2","A3","B1"],"title":"Faust"}`)
	show.is("Schedule", `{"title":"Faust","seats":["A1"]}`, "AlreadyScheduled : the command is refused: AlreadyScheduled")
	show.is("Reserve", `{"guest":"ada","seats":["A3","A1"]}`, // one event a seat, in the order asked for
		`SeatReserved {"guest":"ada","seat":"A3"}`, `SeatReserved {"guest":"ada","seat":"A1"}`)
	show.is("Reserve", `{"guest":"bob","seats":["A2","A1","A3"]}`, "SeatTaken : already taken: A1, A3") // all or none
	show.is("Reserve", `{"guest":"ada","seats":["A1"]}`, "SeatTaken : already taken: A1")               // not even by the same guest
	show.is("Reserve", `{"guest":"bob","seats":["C9","A1","D9"]}`, "NoSuchSeat : not in this house: C9, D9")
	show.stateIs(`{"seats":["A1","A2","A3","B1"],"takenBy":{"A1":"ada","A3":"ada"},"title":"Faust"}`)
	for _, seats := range []string{`[]`, `["A2","A2"]`, `["` + strings.Join(strings.Split("ABCDEFGHIJKLMNOPQRSTU", ""), `","`) + `"]`} { // none, one twice, 21
		if got := show.send("Reserve", `{"guest":"bob","seats":`+seats+`}`); !strings.HasPrefix(got, "CheckFailed seats: ") {
			t.Errorf("%s: got %q", seats, got)
		}
	}
}

func TestCancelReleasesTheGuestsSeatsAlone(t *testing.T) {
	show := sample(t, "seats", "show", "faust")
	show.send("Schedule", `{"title":"Faust","seats":["A1","A2","A3","B1"]}`)
	show.send("Reserve", `{"guest":"ada","seats":["B1","A2"]}`)
	show.send("Reserve", `{"guest":"bob","seats":["A1"]}`)
	show.is("Cancel", `{"guest":"eve"}`, "")
	show.is("Cancel", `{"guest":"ada"}`, `SeatReleased {"seat":"A2"}`, `SeatReleased {"seat":"B1"}`) // in key order
	show.stateIs(`{"seats":["A1","A2","A3","B1"],"takenBy":{"A1":"bob"},"title":"Faust"}`)
	show.is("Cancel", `{"guest":"ada"}`, "")
	show.is("Reserve", `{"guest":"eve","seats":["A2"]}`, `SeatReserved {"guest":"eve","seat":"A2"}`)
}
