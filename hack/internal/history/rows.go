package history

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"

	"github.com/anishathalye/porcupine"

	"github.com/leftfold/leftfold/hack/internal/ledger"
)

// pastRows compares reads at versions with the fold.
func pastRows(name string, ops []porcupine.Operation, balances []int64) error {
	for _, o := range ops {
		in, out := o.Input.(input), o.Output.(output)
		if in.version == 0 || out.view.Status != http.StatusOK {
			continue
		}
		if in.version >= int64(len(balances)) || balances[in.version] != out.view.Balance {
			return fmt.Errorf("%s: a read at version %d said %d; the events say otherwise", name, in.version, out.view.Balance)
		}
	}
	return nil
}

// judgeRows finds a version for each row that was read. The lowest that will do
// leaves the most room to those that follow, so if that does not work, nothing
// does.
func judgeRows(name string, rows []row, ops []porcupine.Operation, balances []int64) error {
	writes := firstCalls(ops, len(balances))
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.called, b.called) })
	type seen struct{ returned, version int64 }
	var before []seen // those that returned, in the order of their calls
	for _, r := range rows {
		least := r.after
		for _, s := range before {
			if s.returned < r.called {
				least = max(least, s.version)
			}
		}
		version := least
		for version < int64(len(balances)) && !shows(r.view, version, balances[version]) {
			version++
		}
		switch {
		case version == int64(len(balances)):
			return fmt.Errorf("%s: a row read at %d says %d %d, and no version from %d to %d had that", name, r.called, r.view.Status, r.view.Balance, least, len(balances)-1)
		case writes[version] > r.returned:
			return fmt.Errorf("%s: a row read at %d says %d, before version %d was asked for", name, r.called, r.view.Balance, version)
		}
		before = append(before, seen{r.returned, version})
	}
	return nil
}

// shows tells whether a row may be that of a version. An account that has no events
// has none.
func shows(v ledger.View, version, balance int64) bool {
	if version == 0 {
		return v.Status == http.StatusNotFound
	}
	return v.Status == http.StatusOK && v.Balance == balance
}

// firstCalls gives the earliest moment at which each version can have come to be:
// its own command's call, as far as that is known.
func firstCalls(ops []porcupine.Operation, versions int) []int64 {
	calls := make([]int64, versions)
	for _, o := range ops {
		in, out := o.Input.(input), o.Output.(output)
		if v := out.answer.Version; in.command != nil && out.answer.Status == http.StatusOK && v < int64(versions) {
			calls[v] = o.Call
		}
	}
	return calls
}
