package server

import (
	"context"
	"time"

	"github.com/leftfold/leftfold/runtime/api"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/projection/table"
)

// shapeTimeout bounds the look at how a projection's rows are laid out.
const shapeTimeout = 5 * time.Second

// queries implements api.Projections.
type queries struct{ server *Server }

func (q queries) find(name string) (*projections, error) {
	for _, w := range q.server.workloads() {
		if w.projections.has(name) {
			return w.projections, nil
		}
	}
	return nil, problem.New(problem.UnknownName, "there is no projection %q here", name)
}

func (q queries) Table(name string) (api.Table, error) {
	p, err := q.find(name)
	if err != nil {
		return api.Table{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), shapeTimeout)
	defer cancel()
	var shape api.Table
	err = reread(ctx, func() (err error) {
		shape, err = p.shape(ctx, name)
		return err
	})
	return shape, err
}

// wait returns when the projection has what is asked for.
func (p *projections) wait(ctx context.Context, name string, w api.Wait) error {
	if !w.Wanted {
		return nil
	}
	return p.manager.Wait(ctx, name, w.After, w.For)
}

func (q queries) Get(ctx context.Context, name string, key any, w api.Wait) (api.Row, eventstore.Position, error) {
	var none eventstore.Position
	p, err := q.find(name)
	if err != nil {
		return api.Row{}, none, err
	}
	var (
		row      table.Row
		position eventstore.Position
		ok       bool
	)
	err = reread(ctx, func() error {
		if err := p.wait(ctx, name, w); err != nil {
			return err
		}
		var err error
		row, position, ok, err = p.reader.Get(ctx, name, key)
		return err
	})
	if err != nil {
		return api.Row{}, none, err
	}
	if !ok {
		return api.Row{}, position, problem.New(problem.NoSuchEntity, "%s has no row with this key", name)
	}
	return api.Row{Key: row.Key, Row: row.Row}, position, nil
}

func (q queries) Query(ctx context.Context, name string, query api.Query) (api.Rows, error) {
	p, err := q.find(name)
	if err != nil {
		return api.Rows{}, err
	}
	asked := table.Query{Limit: query.Limit, Cursor: query.Cursor, Bytes: api.PageBytes}
	for _, f := range query.Filters {
		asked.Filters = append(asked.Filters, table.Filter{Column: f.Column.Name, Op: table.Op(f.Op), Values: f.Values})
	}
	for _, o := range query.Order {
		asked.Order = append(asked.Order, table.Order{Column: o.Column.Name, Descending: o.Descending})
	}
	var page table.Page
	err = reread(ctx, func() error {
		if err := p.wait(ctx, name, query.Wait); err != nil {
			return err
		}
		var err error
		page, err = p.reader.Query(ctx, name, asked)
		return err
	})
	if err != nil {
		return api.Rows{}, err
	}
	rows := api.Rows{Rows: make([]api.Row, len(page.Rows)), Next: page.Next, Position: page.Position}
	for i, r := range page.Rows {
		rows.Rows[i] = api.Row{Key: r.Key, Row: r.Row}
	}
	return rows, nil
}

func (q queries) Act(ctx context.Context, name string, action api.Action) error {
	p, err := q.find(name)
	if err != nil {
		return err
	}
	act := map[api.Action]func(context.Context, string) error{
		api.Rebuild: p.manager.Rebuild, api.Pause: p.manager.Pause, api.Resume: p.manager.Resume, api.Retry: p.manager.Retry,
	}[action]
	if act == nil {
		return problem.On(problem.InvalidParameter, "action", "%q is not known", string(action))
	}
	if err := act(ctx, name); err == nil || !unreachable(err) {
		return err
	}
	// An action is more than one statement, so one may have come through.
	return problem.New(problem.OutcomeUnknown, "the database with the rows was lost meanwhile: whether the action was taken is not known; ask for it again")
}
