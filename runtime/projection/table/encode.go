package table

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"cel.dev/cel-go/common/types"

	"github.com/leftfold/leftfold/api/language"
)

// encode gives a row in the JSON form of the language: keys in bytewise order,
// absent values left out.
func (l *Layout) encode(values []any) (Row, error) {
	key, err := appendValue(nil, values[0])
	if err != nil {
		return Row{}, err
	}
	places := make([]int, len(l.Columns))
	for i := range places {
		places[i] = i
	}
	slices.SortFunc(places, func(a, b int) int { return bytes.Compare([]byte(l.Columns[a].Name), []byte(l.Columns[b].Name)) })
	row := []byte{'{'}
	for _, i := range places {
		v := values[i+1]
		if v == nil {
			continue
		}
		if len(row) > 1 {
			row = append(row, ',')
		}
		row = language.AppendJSON(row, types.String(l.Columns[i].Name))
		row = append(row, ':')
		if row, err = appendValue(row, v); err != nil {
			return Row{}, fmt.Errorf("column %s: %w", l.Columns[i].Name, err)
		}
	}
	return Row{Key: key, Row: append(row, '}')}, nil
}

func appendValue(dst []byte, v any) ([]byte, error) {
	switch w := v.(type) {
	case string:
		return language.AppendJSON(dst, types.String(w)), nil
	case int64:
		return language.AppendJSON(dst, types.Int(w)), nil
	case float64:
		return language.AppendJSON(dst, types.Double(w)), nil
	case bool:
		return language.AppendJSON(dst, types.Bool(w)), nil
	case []byte:
		return language.AppendJSON(dst, types.Bytes(w)), nil
	case time.Time:
		return language.AppendJSON(dst, types.Timestamp{Time: w}), nil
	case time.Duration:
		return language.AppendJSON(dst, types.Duration{Duration: w}), nil
	case json.RawMessage:
		return appendNested(dst, w)
	}
	return nil, fmt.Errorf("a value is %T", v)
}

// appendNested writes stored JSON with its keys in bytewise order, which jsonb
// does not keep, and leaves its numbers as they are.
func appendNested(dst []byte, stored json.RawMessage) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(stored))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil {
		return nil, fmt.Errorf("stored JSON: %w", err)
	}
	return appendTree(dst, tree), nil
}

func appendTree(dst []byte, tree any) []byte {
	switch v := tree.(type) {
	case string:
		return language.AppendJSON(dst, types.String(v))
	case json.Number:
		return append(dst, v...)
	case bool:
		return language.AppendJSON(dst, types.Bool(v))
	case []any:
		dst = append(dst, '[')
		for i, e := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendTree(dst, e)
		}
		return append(dst, ']')
	case map[string]any:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		slices.Sort(names)
		dst = append(dst, '{')
		for i, name := range names {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(language.AppendJSON(dst, types.String(name)), ':')
			dst = appendTree(dst, v[name])
		}
		return append(dst, '}')
	}
	return append(dst, "null"...)
}
