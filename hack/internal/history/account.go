package history

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/anishathalye/porcupine"

	"github.com/leftfold/leftfold/hack/internal/ledger"
)

// state is an account, as the model has it.
type state struct{ version, balance int64 }

// input is what was asked; one of the fields is set.
type input struct {
	// known is the state that the history begins with.
	known *state
	// command is an operation, under whichever attempt.
	command *ledger.Operation
	// version is that of a read of the past; 0: a strong read of the newest.
	version int64
}

// output is what was answered.
type output struct {
	// open: there was no answer.
	open   bool
	answer ledger.Answer
	view   ledger.View
}

// account is the model of one account.
var account = porcupine.Model{
	Init: func() any { return state{} },
	Step: func(s, in, out any) (bool, any) {
		at, asked, told := s.(state), in.(input), out.(output)
		switch {
		case asked.known != nil:
			return true, *asked.known
		case asked.command != nil:
			want, next := decide(at, *asked.command)
			return told.open || told.answer == want, next
		case asked.version > 0:
			return past(at, asked.version, told.view), at
		case at.version == 0:
			return told.view.Status == http.StatusNotFound, at
		}
		return told.view == ledger.View{Status: http.StatusOK, Version: at.version, Balance: at.balance}, at
	},
	DescribeOperation: func(in, out any) string { return describe(in.(input), out.(output)) },
}

// past tells whether a read at a version can be answered so. What the balance was
// at versions before the newest is compared with the fold; see rows.go.
func past(at state, version int64, told ledger.View) bool {
	switch {
	case told.Status == http.StatusNotFound:
		return at.version < version
	case told.Status != http.StatusOK || told.Version != version || at.version < version:
		return false
	}
	return at.version > version || at.balance == told.Balance
}

// decide is the sample's account, in the words of its manifest.
func decide(at state, op ledger.Operation) (ledger.Answer, state) {
	var fields struct{ Amount int64 }
	_ = json.Unmarshal([]byte(op.Body), &fields) // what ledger wrote
	refused := func(reason, detail string) (ledger.Answer, state) {
		return ledger.Answer{Status: http.StatusConflict, Reason: reason, Detail: detail}, at
	}
	if op.IfMatch > 0 && op.IfMatch != at.version {
		return ledger.Answer{Status: http.StatusPreconditionFailed, Reason: "VersionMismatch", Version: at.version,
			Detail: fmt.Sprintf("the entity is at version %d, not %d", at.version, op.IfMatch)}, at
	}
	next := state{version: at.version + 1, balance: at.balance}
	switch op.Command {
	case "Open":
		if at.version > 0 {
			return refused("AlreadyOpen", "")
		}
	case "Deposit":
		next.balance += fields.Amount
	case "Withdraw":
		if at.balance < fields.Amount {
			return refused("InsufficientFunds", fmt.Sprintf("balance %d, needed %d", at.balance, fields.Amount))
		}
		next.balance -= fields.Amount
	}
	if op.Command != "Open" && at.version == 0 {
		return refused("NotOpen", "")
	}
	return ledger.Answer{Status: http.StatusOK, Version: next.version, Events: 1}, next
}

func describe(in input, out output) string {
	switch {
	case in.known != nil:
		return fmt.Sprintf("begins at version %d with %d", in.known.version, in.known.balance)
	case in.command != nil && out.open:
		return fmt.Sprintf("%s %s%s -> no answer", in.command.Key, in.command.Command, in.command.Body)
	case in.command != nil:
		condition := ""
		if in.command.IfMatch > 0 {
			condition = fmt.Sprintf(" if at %d", in.command.IfMatch)
		}
		return fmt.Sprintf("%s %s%s%s -> %d version %d %s %s", in.command.Key, in.command.Command, in.command.Body, condition,
			out.answer.Status, out.answer.Version, out.answer.Reason, out.answer.Detail)
	case in.version > 0:
		return fmt.Sprintf("read at version %d -> %d balance %d", in.version, out.view.Status, out.view.Balance)
	}
	return fmt.Sprintf("strong read -> %d version %d balance %d", out.view.Status, out.view.Version, out.view.Balance)
}
