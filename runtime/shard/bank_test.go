package shard_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/leftfold/leftfold/runtime/behavior"
	"github.com/leftfold/leftfold/runtime/problem"
)

// bank is a behaviour written by hand: an account with a balance.
//
//	Open               Opened           refused AlreadyOpen
//	Deposit {amount}   Deposited        refused NotOpen; any amount but 0
//	Split {amount, n}  n times Deposited
//	Withdraw {amount}  Withdrawn        refused NotOpen, InsufficientFunds
//	Touch              nothing
//	Explode            panics
//	Overflow           its event cannot be applied
//	Poison             Poisoned, which a rigged store cannot hold
//	Bloat {n}          an event of n bytes
//	Unlinkable         an event whose data is no JSON
type bank struct {
	// unit is the key of the balance in the encoded state. It stands for all
	// that a definition may change about folding.
	unit string
	// fee is taken by Withdraw: what a definition may change about deciding.
	fee int64
}

type account struct {
	unit    string // of the bank that folded it
	open    bool
	balance int64
	events  int64
}

type args struct {
	by     bank  // who parsed them
	Amount int64 `json:"amount"`
	N      int   `json:"n"`
}

var commands = map[string]bool{
	"Open": true, "Deposit": true, "Split": true, "Withdraw": true, "Touch": true,
	"Explode": true, "Overflow": true, "Poison": true, "Unlinkable": true, "Bloat": true,
}

func (b bank) Parse(name string, body []byte) (behavior.Command, error) {
	if !commands[name] {
		return behavior.Command{}, problem.New(problem.UnknownName, "no command %s", name)
	}
	a := args{by: b}
	if len(body) > 0 {
		d := json.NewDecoder(bytes.NewReader(body))
		d.DisallowUnknownFields()
		if err := d.Decode(&a); err != nil {
			return behavior.Command{}, problem.New(problem.MalformedBody, "%v", err)
		}
	}
	if (name == "Deposit" || name == "Withdraw") && a.Amount <= 0 {
		return behavior.Command{}, problem.On(problem.CheckFailed, "amount", "must be positive")
	}
	return behavior.Command{Name: name, Fields: a}, nil
}

func (b bank) Zero() behavior.State { return account{unit: b.unit} }

func rejected(reason, detail string) error {
	return &problem.Problem{Reason: problem.Reason(reason), Rejected: true, Detail: detail}
}

func (b bank) Decide(s behavior.State, c behavior.Command, _ behavior.Meta) ([]behavior.Event, error) {
	acc, a := s.(account), c.Fields.(args)
	if acc.unit != b.unit || a.by != b {
		return nil, fmt.Errorf("a state folded by %s, a command parsed by %v", acc.unit, a.by)
	}
	one := func(name string, amount int64) []behavior.Event {
		return []behavior.Event{{Type: name, TypeVersion: 1, Data: amountData(amount)}}
	}
	switch c.Name {
	case "Open":
		if acc.open {
			return nil, rejected("AlreadyOpen", "the account is open")
		}
		return one("Opened", 0), nil
	case "Touch":
		return nil, nil
	case "Explode":
		panic("boom")
	case "Overflow":
		return one("Overflowed", 0), nil
	case "Poison":
		return one("Poisoned", 0), nil
	case "Bloat":
		data := `{"amount":0,"filling":"` + strings.Repeat("x", max(0, a.N-len(`{"amount":0,"filling":""}`))) + `"}`
		return []behavior.Event{{Type: "Bloated", TypeVersion: 1, Data: json.RawMessage(data)}}, nil
	case "Unlinkable":
		return []behavior.Event{{Type: "Deposited", TypeVersion: 1, Data: json.RawMessage(`{"amount":`)}}, nil
	}
	if !acc.open {
		return nil, rejected("NotOpen", "the account is not open")
	}
	switch c.Name {
	case "Deposit":
		return one("Deposited", a.Amount), nil
	case "Split":
		var out []behavior.Event
		for range a.N {
			out = append(out, one("Deposited", a.Amount)...)
		}
		return out, nil
	case "Withdraw":
		if acc.balance < a.Amount+b.fee {
			return nil, rejected("InsufficientFunds", fmt.Sprintf("balance %d", acc.balance))
		}
		return one("Withdrawn", a.Amount+b.fee), nil
	}
	return nil, fmt.Errorf("unexpected command %s", c.Name)
}

func amountData(n int64) json.RawMessage {
	return append(strconv.AppendInt([]byte(`{"amount":`), n, 10), '}')
}

func amountOf(data []byte) int64 {
	// The store may write the object with other spaces.
	digits := bytes.TrimFunc(data, func(r rune) bool { return (r < '0' || r > '9') && r != '-' })
	n, _ := strconv.ParseInt(string(digits), 10, 64)
	return n
}

func (b bank) Try(s behavior.State, e behavior.Event, m behavior.Meta) (behavior.State, error) {
	if e.Type == "Overflowed" {
		return nil, problem.New(problem.BehaviorFailed, "overflow")
	}
	return b.Evolve(s, e, m)
}

func (b bank) Evolve(s behavior.State, e behavior.Event, m behavior.Meta) (behavior.State, error) {
	acc := s.(account)
	if acc.unit != b.unit {
		return nil, fmt.Errorf("a state folded by %s", acc.unit)
	}
	acc.events++
	if acc.events != m.Version {
		return nil, fmt.Errorf("event %d was folded as the %d", m.Version, acc.events)
	}
	switch e.Type {
	case "Opened":
		acc.open = true
	case "Deposited":
		acc.balance += amountOf(e.Data)
	case "Withdrawn":
		acc.balance -= amountOf(e.Data)
	}
	return acc, nil
}

func (b bank) EncodeState(s behavior.State) (json.RawMessage, error) {
	acc := s.(account)
	return json.RawMessage(fmt.Sprintf(`{"open":%t,%q:%d,"events":%d}`, acc.open, b.unit, acc.balance, acc.events)), nil
}

func (b bank) DecodeState(data []byte) (behavior.State, error) {
	var m map[string]any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		return nil, err
	}
	balance, ok := m[b.unit].(json.Number)
	if !ok {
		return nil, fmt.Errorf("no %s in the state", b.unit)
	}
	acc := account{unit: b.unit}
	acc.open, _ = m["open"].(bool)
	acc.balance, _ = balance.Int64()
	n, _ := m["events"].(json.Number)
	acc.events, _ = n.Int64()
	return acc, nil
}

func (bank) Size(behavior.State) int { return 32 }

func (b bank) Fingerprint() [32]byte { return sha256.Sum256([]byte(b.unit)) }
