package table

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/leftfold/leftfold/api/language"
	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/projection"
)

// Define makes a projection.Definition of a declared projection: its spec, and
// what language.CompileProjection made of that.
func Define(spec *v1alpha1.ProjectionSpec, p *language.Projection, database projection.Dialect) (projection.Definition, error) {
	text, err := json.Marshal(spec)
	if err != nil {
		return projection.Definition{}, fmt.Errorf("projection %s: %w", p.Name(), err)
	}
	def := projection.Definition{Name: p.Name(), Spec: text}
	for _, s := range p.Sources() {
		def.Sources = append(def.Sources, projection.Interest{Aggregate: s.Aggregate, Events: s.Events})
	}
	name := spec.Table.Name
	if name == "" {
		name = strings.ReplaceAll(p.Name(), "-", "_")
	}
	layout := Layout{Key: column(p.Key())}
	for _, c := range p.Columns() {
		layout.Columns = append(layout.Columns, column(c))
	}
	def.Target = &Target{
		Name: name, Columns: layout, Rules: declared{p}, Shared: !p.EntityKeyed(), Database: database,
	}
	// The name is part of it: rows under another name are made anew.
	fingerprint := p.Fingerprint()
	def.Fingerprint = hex.EncodeToString(fingerprint[:]) + " " + name
	return def, nil
}

var kinds = map[language.Kind]Kind{
	language.String: String, language.Int: Int, language.Double: Double, language.Bool: Bool,
	language.Bytes: Bytes, language.Timestamp: Timestamp, language.Duration: Duration,
	language.RecordOf: JSON, language.ListOf: JSON, language.MapOf: JSON,
}

func column(c language.Column) Column {
	return Column{Name: c.Name, Kind: kinds[c.Type.Kind], Optional: c.Optional, Indexed: c.Indexed}
}

// declared are the Rules of a declared projection; rows are *language.Record.
type declared struct{ p *language.Projection }

// Touches implements Rules.
func (d declared) Touches(aggregate string, e *eventstore.Event) ([]Touch, error) {
	if !d.p.Wants(aggregate, e.Type) {
		return nil, nil
	}
	data, err := d.p.DecodeEvent(aggregate, e.Type, e.Data)
	if err != nil {
		return nil, err
	}
	found, err := d.p.Keys(aggregate, language.Event{Type: e.Type, Data: data}, language.Meta{
		Aggregate: aggregate, Entity: e.Entity, Version: e.Version,
		Time: e.Meta.Time, CommandID: e.CommandID, Principal: e.Meta.Principal,
	})
	if err != nil {
		return nil, err
	}
	touches := make([]Touch, len(found))
	for i, t := range found {
		touches[i] = Touch{Key: plain(t.Key), Step: t}
	}
	return touches, nil
}

// Apply implements Rules.
func (d declared) Apply(t Touch, row Content, exists bool) (Content, Change, error) {
	step, _ := t.Step.(language.Touch)
	before, _ := row.(*language.Record)
	c, err := d.p.Apply(step, before, exists)
	switch {
	case err != nil:
		return nil, Unchanged, err
	case c.Delete:
		return nil, Deleted, nil
	case c.Changed:
		return c.Row, Set, nil
	}
	return row, Unchanged, nil
}

// Zero implements Rules.
func (d declared) Zero() Content { return d.p.Row().Zero() }

// Encode implements Rules.
func (d declared) Encode(row Content) ([]any, error) {
	r, ok := row.(*language.Record)
	if !ok {
		return nil, fmt.Errorf("a row is %T", row)
	}
	values := make([]any, len(d.p.Columns()))
	for i := range values {
		values[i] = plain(r.At(i))
	}
	return values, nil
}

// Decode implements Rules.
func (d declared) Decode(values []any) (Content, error) {
	columns := d.p.Columns()
	vals := make([]ref.Val, len(columns))
	for i, v := range values {
		var err error
		if vals[i], err = celValue(columns[i].Type, v); err != nil {
			return nil, fmt.Errorf("column %s: %w", columns[i].Name, err)
		}
	}
	return language.NewRecord(d.p.Row(), vals)
}

// Size implements Rules.
func (d declared) Size(row Content) int {
	r, ok := row.(*language.Record)
	if !ok {
		return 0
	}
	return language.MemorySize(r)
}

// plain gives the Go value of a Kind.
func plain(v ref.Val) any {
	switch w := v.(type) {
	case nil:
		return nil
	case types.String:
		return string(w)
	case types.Int:
		return int64(w)
	case types.Double:
		return float64(w)
	case types.Bool:
		return bool(w)
	case types.Bytes:
		return []byte(w)
	case types.Timestamp:
		return w.Time
	case types.Duration:
		return w.Duration
	}
	return json.RawMessage(language.AppendJSON(nil, v))
}

// celValue is the inverse of plain.
func celValue(t *language.Type, v any) (ref.Val, error) {
	switch w := v.(type) {
	case nil:
		return nil, nil
	case string:
		return types.String(w), nil
	case int64:
		return types.Int(w), nil
	case float64:
		return types.Double(w), nil
	case bool:
		return types.Bool(w), nil
	case []byte:
		return types.Bytes(w), nil
	case time.Time:
		return types.Timestamp{Time: w}, nil
	case time.Duration:
		return types.Duration{Duration: w}, nil
	case json.RawMessage:
		return language.ParseJSON(t, w)
	}
	return nil, fmt.Errorf("the database gave %T", v)
}
