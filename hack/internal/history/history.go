package history

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/leftfold/leftfold/hack/internal/ledger"
)

// patience bounds the judgement of one account. Answers carry versions, so that
// there is hardly ever a choice; a judgement that takes longer is a failure.
const patience = 10 * time.Second

// History is what was seen since the last check. Its methods are safe for
// concurrent use.
type History struct {
	began time.Time

	mu       sync.Mutex
	known    map[string]state
	commands map[string]*command
	reads    map[string][]porcupine.Operation
	rows     map[string][]row
	wrong    []error
	counts   Counts
}

// Counts is how much a check has looked at.
type Counts struct{ Commands, Retried, Open, Reads, Past, Rows int }

// Add adds what another check has looked at.
func (c *Counts) Add(o Counts) {
	c.Commands, c.Retried, c.Open = c.Commands+o.Commands, c.Retried+o.Retried, c.Open+o.Open
	c.Reads, c.Past, c.Rows = c.Reads+o.Reads, c.Past+o.Past, c.Rows+o.Rows
}

// command is all attempts under one key.
type command struct {
	op ledger.Operation
	// called is when the first attempt began that may have run.
	called, returned int64
	attempts         int
	// mayRun: such an attempt is among them. settled: there is an answer.
	mayRun, settled bool
	answer          ledger.Answer
}

// row is a row of the projection as it was read.
type row struct {
	called, returned int64
	// after is the version that the row must include; 0: any.
	after int64
	view  ledger.View
}

// New makes an empty history.
func New() *History {
	h := &History{began: time.Now(), known: map[string]state{}}
	h.forget()
	return h
}

func (h *History) forget() {
	h.commands, h.reads, h.rows = map[string]*command{}, map[string][]porcupine.Operation{}, map[string][]row{}
	h.wrong, h.counts = nil, Counts{}
}

// at is a moment as the history counts them, by the monotonic clock.
func (h *History) at(t time.Time) int64 { return int64(t.Sub(h.began)) }

// Command notes an attempt at a command.
func (h *History) Command(c ledger.Call) {
	h.mu.Lock()
	defer h.mu.Unlock()
	known := h.commands[c.Key]
	if known == nil {
		known = &command{op: c.Operation}
		h.commands[c.Key] = known
	}
	known.attempts++
	switch {
	case known.settled:
		if c.Settles() && c.Answer != known.answer {
			h.wrong = append(h.wrong, fmt.Errorf("%s was answered %+v, and later %+v", c.Key, known.answer, c.Answer))
		}
		return
	case c.Nothing():
		return
	case !known.mayRun:
		known.mayRun, known.called = true, h.at(c.Began)
	}
	if c.Settles() {
		known.settled, known.answer, known.returned = true, c.Answer, h.at(c.Ended)
	}
}

// Read notes an answered read of an account: strong, or, with a version above
// zero, of the past.
func (h *History) Read(name string, version int64, v ledger.View, began, ended time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reads[name] = append(h.reads[name], porcupine.Operation{
		Input: input{version: version}, Output: output{view: v}, Call: h.at(began), Return: h.at(ended),
	})
}

// Row notes an answered read of the account's row that had to include a version.
func (h *History) Row(name string, after int64, v ledger.View, began, ended time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rows[name] = append(h.rows[name], row{h.at(began), h.at(ended), after, v})
}

// Check judges what was seen, and begins anew: no call may be under way, and no
// command open that may yet run. fold gives each account's balances by version,
// from version 0 on, as the events tell.
func (h *History) Check(fold map[string][]int64) (Counts, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.forget()
	wrong := h.wrong
	byAccount := map[string][]porcupine.Operation{}
	for _, c := range h.commands {
		h.counts.Commands++
		if c.attempts > 1 {
			h.counts.Retried++
		}
		if !c.mayRun {
			continue // nothing ran, ever
		}
		o := porcupine.Operation{Input: input{command: &c.op}, Output: output{answer: c.answer}, Call: c.called, Return: c.returned}
		if !c.settled {
			h.counts.Open++
			o.Output, o.Return = output{open: true}, math.MaxInt64
		}
		byAccount[c.op.Account] = append(byAccount[c.op.Account], o)
	}
	for name, reads := range h.reads {
		byAccount[name] = append(byAccount[name], reads...)
		for _, r := range reads {
			if r.Input.(input).version > 0 {
				h.counts.Past++
			} else {
				h.counts.Reads++
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(byAccount)) {
		ops := byAccount[name]
		wrong = append(wrong, h.judge(name, ops), pastRows(name, ops, fold[name]))
		h.counts.Rows += len(h.rows[name])
		wrong = append(wrong, judgeRows(name, h.rows[name], ops, fold[name]))
		if balances := fold[name]; len(balances) > 0 {
			h.known[name] = state{version: int64(len(balances) - 1), balance: balances[len(balances)-1]}
		}
	}
	return h.counts, errors.Join(wrong...)
}

// judge has porcupine look at one account.
func (h *History) judge(name string, ops []porcupine.Operation) error {
	known := h.known[name]
	ops = append([]porcupine.Operation{{Input: input{known: &known}, Output: output{}, Call: -2, Return: -1}}, ops...)
	switch porcupine.CheckOperationsTimeout(account, ops, patience) {
	case porcupine.Ok:
		return nil
	case porcupine.Unknown:
		return fmt.Errorf("%s: nothing could be said about %d operations in %s", name, len(ops), patience)
	}
	_, info := porcupine.CheckOperationsVerbose(account, ops, patience)
	return fmt.Errorf("NOT LINEARIZABLE: %s: %s", name, explain(ops, info))
}

// shown is how many operations an explanation tells of.
const shown = 12

// explain tells the longest order that was found, and what did not fit into it.
func explain(ops []porcupine.Operation, info porcupine.LinearizationInfo) string {
	var longest []porcupine.Operation
	for _, partition := range info.PartialLinearizationsOperations() {
		for _, order := range partition {
			if len(order) > len(longest) {
				longest = order
			}
		}
	}
	lines := []string{fmt.Sprintf("of %d operations %d can be put in an order, which ends with", len(ops), len(longest))}
	fits := map[string]bool{}
	line := func(o porcupine.Operation) string {
		until := "open"
		if o.Return != math.MaxInt64 {
			until = time.Duration(o.Return).Round(time.Microsecond).String()
		}
		return fmt.Sprintf("  [%s, %s] %s", time.Duration(o.Call).Round(time.Microsecond), until, describe(o.Input.(input), o.Output.(output)))
	}
	for _, o := range longest {
		fits[line(o)] = true
	}
	for _, o := range longest[max(0, len(longest)-shown):] {
		lines = append(lines, line(o))
	}
	lines = append(lines, "and nothing of this can follow:")
	slices.SortFunc(ops, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	left := 0
	for _, o := range ops {
		if text := line(o); !fits[text] && left < shown {
			lines = append(lines, text)
			left++
		}
	}
	return strings.Join(lines, "\n")
}
