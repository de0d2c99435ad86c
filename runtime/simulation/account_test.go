package simulation

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"github.com/leftfold/leftfold/runtime/behavior"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
)

// bank is the behaviour that hosts run: an account with a balance that must not
// fall below zero. unit is what a definition may change about folding, fee what
// it may change about deciding.
//
//	Open               Opened           refused AlreadyOpen
//	Deposit {amount}   Deposited        refused NotOpen
//	Split {amount, n}  n times Deposited
//	Withdraw {amount}  Withdrawn        refused NotOpen, InsufficientFunds
//	Touch              nothing
//
// A refusal tells the balance that it saw, so that a state that never was shows.
type bank struct {
	unit string
	fee  int64
}

// account is a state. Its encoded form names no version: a snapshot of the wrong
// one can be told from its balance alone.
type account struct {
	Open    bool  `json:"open"`
	Balance int64 `json:"balance"`
}

type amount struct {
	Amount int64 `json:"amount"`
	N      int   `json:"n,omitempty"`
}

func (b bank) Parse(name string, body []byte) (behavior.Command, error) {
	var a amount
	if len(body) > 0 {
		if err := json.Unmarshal(body, &a); err != nil {
			return behavior.Command{}, problem.New(problem.MalformedBody, "%v", err)
		}
	}
	return behavior.Command{Name: name, Fields: a}, nil
}

func (bank) Zero() behavior.State { return account{} }

func (b bank) Decide(s behavior.State, c behavior.Command, _ behavior.Meta) ([]behavior.Event, error) {
	acc, a := s.(account), c.Fields.(amount)
	refused := func(reason problem.Reason) error {
		return &problem.Problem{Reason: reason, Rejected: true, Detail: fmt.Sprintf("balance %d", acc.Balance)}
	}
	one := func(name string, n int64) behavior.Event {
		return behavior.Event{Type: name, TypeVersion: 1, Data: fmt.Appendf(nil, `{"amount":%d}`, n)}
	}
	switch {
	case c.Name == "Touch":
		return nil, nil
	case c.Name == "Open" && acc.Open:
		return nil, refused("AlreadyOpen")
	case c.Name == "Open":
		return []behavior.Event{one("Opened", 0)}, nil
	case !acc.Open:
		return nil, refused("NotOpen")
	case c.Name == "Deposit":
		return []behavior.Event{one("Deposited", a.Amount)}, nil
	case c.Name == "Split":
		var out []behavior.Event
		for range a.N {
			out = append(out, one("Deposited", a.Amount))
		}
		return out, nil
	case acc.Balance < a.Amount+b.fee:
		return nil, refused("InsufficientFunds")
	}
	return []behavior.Event{one("Withdrawn", a.Amount+b.fee)}, nil
}

func (b bank) Try(s behavior.State, e behavior.Event, m behavior.Meta) (behavior.State, error) {
	return b.Evolve(s, e, m)
}

func (bank) Evolve(s behavior.State, e behavior.Event, _ behavior.Meta) (behavior.State, error) {
	return evolve(s.(account), e.Type, e.Data), nil
}

// evolve is also how the checks fold the log.
func evolve(acc account, typ string, data []byte) account {
	var a amount
	_ = json.Unmarshal(data, &a) // written by Decide
	switch typ {
	case "Opened":
		acc.Open = true
	case "Deposited":
		acc.Balance += a.Amount
	case "Withdrawn":
		acc.Balance -= a.Amount
	}
	return acc
}

func (b bank) EncodeState(s behavior.State) (json.RawMessage, error) { return json.Marshal(s) }

func (b bank) DecodeState(data []byte) (behavior.State, error) {
	var acc account
	err := json.Unmarshal(data, &acc)
	return acc, err
}

func (bank) Size(behavior.State) int { return 32 }

func (b bank) Fingerprint() [32]byte { return sha256.Sum256([]byte(b.unit)) }

// fold gives the account at each version, 0 and up.
func fold(log []eventstore.Event) []account {
	out := []account{{}}
	for _, e := range log {
		out = append(out, evolve(out[len(out)-1], e.Type, e.Data))
	}
	return out
}
