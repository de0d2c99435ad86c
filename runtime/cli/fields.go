package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// body makes a command's JSON body out of field=value words. The declared types
// decide how a value is meant.
func (c *client) body(ctx context.Context, aggregate, command string, fields []string) ([]byte, error) {
	if len(fields) == 0 {
		return []byte("{}"), nil
	}
	types, err := c.fieldTypes(ctx, aggregate, command)
	if err != nil {
		return nil, err
	}
	values := make(map[string]json.RawMessage, len(fields))
	for _, f := range fields {
		name, text, ok := strings.Cut(f, "=")
		if !ok {
			return nil, fmt.Errorf("%q: write field=value", f)
		}
		if _, twice := values[name]; twice {
			return nil, fmt.Errorf("%q is given twice", name)
		}
		switch types[name] {
		case "string", "bytes", "timestamp", "duration":
		default:
			if json.Valid([]byte(text)) {
				values[name] = json.RawMessage(text)
				continue
			}
		}
		var quoted bytes.Buffer
		encoder := json.NewEncoder(&quoted)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(text); err != nil {
			return nil, err
		}
		values[name] = quoted.Bytes()
	}
	return json.Marshal(values)
}

// fieldTypes gives the declared types of a command's fields. A command that the
// runtime does not know has none: the runtime's own refusal is the better word.
func (c *client) fieldTypes(ctx context.Context, aggregate, command string) (map[string]string, error) {
	var served struct {
		Aggregates []struct {
			Name string
			Spec struct {
				Commands []struct {
					Name   string
					Fields []struct{ Name, Type string }
				}
			}
		}
	}
	if _, err := c.do(ctx, http.MethodGet, "/v1/definitions", nil, nil, nil, &served); err != nil {
		return nil, err
	}
	types := map[string]string{}
	for _, a := range served.Aggregates {
		if a.Name != aggregate {
			continue
		}
		for _, definition := range a.Spec.Commands {
			if definition.Name != command {
				continue
			}
			for _, f := range definition.Fields {
				types[f.Name] = f.Type
			}
		}
	}
	return types, nil
}
