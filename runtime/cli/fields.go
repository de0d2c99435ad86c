package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
)

// body makes a command's JSON body out of field=value words. The declared types
// decide how a value is meant.
func (c *client) body(ctx context.Context, aggregate, command string, fields []string) ([]byte, error) {
	if len(fields) == 0 {
		return []byte("{}"), nil
	}
	texts := make(map[string]string, len(fields))
	for _, f := range fields {
		name, text, ok := strings.Cut(f, "=")
		if !ok {
			return nil, wrongUse("%q: write field=value", f)
		}
		if _, twice := texts[name]; twice {
			return nil, wrongUse("%q is given twice", name)
		}
		texts[name] = text
	}
	types, err := c.fieldTypes(ctx, aggregate, command)
	if err != nil {
		return nil, err
	}
	values := make(map[string]json.RawMessage, len(fields))
	for name, text := range texts {
		if values[name], err = value(types[name], text); err != nil {
			return nil, err
		}
	}
	return json.Marshal(values)
}

// value is a word as JSON: as it stands where the type is one of JSON's and the
// word is JSON, else as text.
func value(declared, text string) (json.RawMessage, error) {
	switch declared {
	case "string", "bytes", "timestamp", "duration":
	default:
		if json.Valid([]byte(text)) {
			return json.RawMessage(text), nil
		}
	}
	var quoted bytes.Buffer
	encoder := json.NewEncoder(&quoted)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(text)
	return quoted.Bytes(), err
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
