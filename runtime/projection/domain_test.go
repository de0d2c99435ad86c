package projection_test

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// Every check of a property here is a new aggregate with its tables on a real
	// database; -rapid.checks asks for more.
	if err := flag.Set("rapid.checks", "40"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// till is an aggregate whose events can do everything a projection reads:
// amounts for a key of their own or of another, several at once, removal, and
// division by what the event says.
const till = `
runtimeRef: {name: test}
state: [{name: count, type: int}]
commands:
- name: Do
  fields: []
  emit:
  - {event: Added, set: {key: "''", amount: "0"}}
  - {event: Spread, set: {keys: "[]", amount: "0"}}
  - {event: Cleared, set: {}}
  - {event: Divided, set: {by: "1"}}
events:
- {name: Added, fields: [{name: key, type: string}, {name: amount, type: int}]}
- {name: Spread, fields: [{name: keys, type: list<string>}, {name: amount, type: int}]}
- {name: Cleared, fields: []}
- {name: Divided, fields: [{name: by, type: int}]}
`

// totals has a row an entity, which no other shard reaches.
const totals = `
sources: [{aggregate: till}]
table:
  key: {name: till, type: string, value: meta.entity}
  columns:
  - {name: sum, type: int, indexed: true}
  - {name: seen, type: int}
  apply:
  - {event: Added, set: {sum: "row.sum + event.amount", seen: "row.seen + 1"}}
  - {event: Divided, set: {sum: "row.sum / event.by", seen: "row.seen + 1"}}
  - {event: Cleared, delete: true}
`

// sales has a row a key that any event of any shard may name. A row whose sum
// is 0 is removed: so rows come and go, and yet any order gives the same.
const sales = `
sources: [{aggregate: till, events: [Added, Spread, Divided]}]
table:
  key: {name: key, type: string, value: "'unused'"}
  columns:
  - {name: sum, type: int, indexed: true}
  apply:
  - {event: Added, key: event.key, set: {sum: "row.sum + event.amount"}}
  - {event: Added, key: event.key, when: "row.sum == 0", delete: true}
  - {event: Spread, forEach: {in: event.keys, as: k}, key: k, set: {sum: "row.sum + event.amount"}}
  - {event: Spread, forEach: {in: event.keys, as: k}, key: k, when: "row.sum == 0", delete: true}
  - {event: Divided, key: "'divided'", set: {sum: "row.sum + 100 / event.by"}}
`

type added struct {
	Key    string `json:"key"`
	Amount int    `json:"amount"`
}

type spread struct {
	Keys   []string `json:"keys"`
	Amount int      `json:"amount"`
}

type divided struct {
	By int `json:"by"`
}

type cleared struct{}
