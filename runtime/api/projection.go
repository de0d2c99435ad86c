package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
)

// actions are all that can be asked of a projection.
var actions = []Action{Rebuild, Pause, Resume, Retry}

// rowAnswer is one row and the position it was read at.
type rowAnswer struct {
	Row
	Position string `json:"position,omitempty"`
}

// positionOf writes down what rows were read at. A projection of several
// aggregates with very many shards can be at a position that is longer than one
// may be; the rows are worth more than it, so it is "" then.
func positionOf(at eventstore.Position) (string, error) {
	text, err := at.Encode()
	if errors.Is(err, eventstore.ErrPositionTooLong) {
		return "", nil
	}
	return text, err
}

func (c *call) projectionRow() error {
	name := c.variables[0]
	p, err := c.parameters(nil, "after", "wait")
	if err != nil {
		return err
	}
	table, err := c.Projections.Table(name)
	if err != nil {
		return err
	}
	key, ok := parseValue(table.Key.Type, c.variables[1])
	if !ok {
		return problem.On(problem.InvalidParameter, table.Key.Name, "the key %q is no %s", c.variables[1], table.Key.Type)
	}
	wait, err := p.wait()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), c.ReadTimeout+wait.For)
	defer cancel()
	row, at, err := c.Projections.Get(ctx, name, key, wait)
	if err != nil {
		return err
	}
	if err := c.keep(rowBytes(row)); err != nil {
		return err
	}
	answer := rowAnswer{Row: row}
	if answer.Position, err = positionOf(at); err != nil {
		return err
	}
	return c.ok(answer)
}

// rowBytes is what the answer with these rows takes: each once as it was read and
// once in the text of the answer.
func rowBytes(rows ...Row) int64 {
	n := 0
	for _, r := range rows {
		n += 2 * (len(r.Key) + len(r.Row))
	}
	return int64(n)
}

// rowsAnswer is a page of rows.
type rowsAnswer struct {
	Rows     []Row  `json:"rows"`
	Next     string `json:"next,omitempty"`
	Position string `json:"position,omitempty"`
}

func (c *call) queryProjection() error {
	name := c.variables[0]
	p, err := c.parameters(isFilter, "order", "limit", "cursor", "after", "wait")
	if err != nil {
		return err
	}
	table, err := c.Projections.Table(name)
	if err != nil {
		return err
	}
	q, err := p.query(table)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), c.ReadTimeout+q.Wait.For)
	defer cancel()
	rows, err := c.Projections.Query(ctx, name, q)
	if err != nil {
		return err
	}
	if err := c.keep(rowBytes(rows.Rows...)); err != nil {
		return err
	}
	answer := rowsAnswer{Rows: rows.Rows, Next: rows.Next}
	if answer.Rows == nil {
		answer.Rows = []Row{}
	}
	if answer.Position, err = positionOf(rows.Position); err != nil {
		return err
	}
	return c.ok(answer)
}

// actAnswer tells what has begun.
type actAnswer struct {
	Projection string `json:"projection"`
	Action     Action `json:"action"`
}

func (c *call) actOnProjection() error {
	name, word, _ := strings.Cut(c.variables[0], ":")
	action := Action(word)
	if !slices.Contains(actions, action) {
		return problem.New(problem.UnknownName, "there is no action %q; there are rebuild, pause, resume and retry", word)
	}
	if _, err := c.parameters(nil); err != nil {
		return err
	}
	if err := c.noFields(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), c.CommandTimeout)
	defer cancel()
	c.command = true
	if err := c.Projections.Act(ctx, name, action); err != nil {
		return err
	}
	c.write(c.w, http.StatusAccepted, "application/json", actAnswer{name, action})
	return nil
}

// noFields reads a body that must be absent, or an object without fields.
func (c *call) noFields() error {
	read := c.bytes
	if c.r.Header.Get("Content-Type") != "" {
		read = c.body
	}
	data, err := read()
	if err != nil || len(bytes.TrimSpace(data)) == 0 {
		return err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil || fields == nil {
		return problem.New(problem.MalformedBody, "the body must be a JSON object")
	}
	if len(fields) > 0 {
		return problem.On(problem.UnknownField, slices.Sorted(maps.Keys(fields))[0], "the action has no fields")
	}
	return nil
}
