package server_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

const samples = "../../config/samples/"

func TestTheSamplesServeTogether(t *testing.T) {
	onEachStore(t, func(t *testing.T, p place) {
		r := start(t, p, load(t, samples+"bank", samples+"shop", samples+"seats"))
		send := func(aggregate, entity, command, body string) answer {
			return r.do(t, post("/v1/aggregates/"+aggregate+"/"+entity+"/"+command, body))
		}
		sent := func(a answer) string {
			t.Helper()
			if a.status != 200 {
				t.Fatalf("%d %s", a.status, a.text)
			}
			return a.str(t, "position")
		}
		rows := func(query, position string, pieces ...string) {
			t.Helper()
			a := r.ok(t, get("/v1/projections/"+query+"&wait=10s&after="+position))
			for _, piece := range pieces {
				if !strings.Contains(a.text, piece) {
					t.Errorf("%s lacks %s: %s", query, piece, a.text)
				}
			}
		}

		sent(send("account", "alice", "Open", `{"owner":"Alice"}`))
		sent(send("account", "alice", "Deposit", `{"amount":1000}`))
		sent(send("account", "alice", "SetLimits", `{"limits":{"online":{"single":300}}}`))
		if a := send("account", "alice", "Withdraw", `{"amount":301,"channel":"online"}`); a.status != 409 || a.at("reason") != "OverLimit" {
			t.Errorf("over the limit: %d %s", a.status, a.text)
		}
		rows("balances?balance[gt]=100", sent(send("account", "alice", "Withdraw", `{"amount":300,"channel":"online"}`)), `"key":"alice"`, `"balance":700`)
		sent(send("account", "alice", "Withdraw", `{"amount":600}`))
		closed := sent(send("account", "alice", "Close", `{}`))
		if a := r.do(t, get("/v1/projections/balances/alice?wait=10s&after="+closed)); a.status != 404 || a.at("reason") != "NoSuchEntity" {
			t.Errorf("the row of a closed account: %d %s", a.status, a.text)
		}

		sent(send("cart", "c-1", "Put", `{"article":"pen","item":{"quantity":2,"price":150}}`))
		sent(send("cart", "c-1", "Put", `{"article":"ink","item":{"quantity":1,"price":900,"note":"blue"}}`))
		if a := send("cart", "c-1", "Order", `{"expectedTotal":1}`); a.status != 409 || a.at("reason") != "TotalChanged" || a.at("detail") != "the total is 1200" {
			t.Errorf("another total: %d %s", a.status, a.text)
		}
		ordered := sent(send("cart", "c-1", "Order", `{"expectedTotal":1200}`))
		rows("sales?order=-ordered", ordered, `"key":"pen"`, `"ordered":2`)
		rows("orders?total[eq]=1200", ordered, `"key":"c-1"`)

		sent(send("show", "s-1", "Schedule", `{"title":"Play","seats":["A1","A2"]}`))
		var won atomic.Int64
		var guests sync.WaitGroup
		for i := range 10 {
			guests.Go(func() {
				if a := send("show", "s-1", "Reserve", fmt.Sprintf(`{"guest":"g-%d","seats":["A1","A2"]}`, i)); a.status == 200 {
					won.Add(1)
				} else if a.status != 409 {
					t.Errorf("%d %s", a.status, a.text)
				}
			})
		}
		guests.Wait()
		if won.Load() != 1 {
			t.Errorf("%d guests have the same seats", won.Load())
		}
		if a := r.ok(t, get("/v1/aggregates/show/s-1")); a.at("version") != "3" {
			t.Errorf("the show: %s", a.text)
		}
	})
}
