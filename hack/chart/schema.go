package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"

	"go.yaml.in/yaml/v3"
)

// schemaOf returns the JSON schema that Helm holds given values to. It is strict:
// a name that is not there is a mistake, not something to ignore.
func schemaOf(settings []value) ([]byte, error) {
	root, err := groupSchema(settings)
	if err != nil {
		return nil, err
	}
	root["$schema"] = "http://json-schema.org/draft-07/schema#"
	// Helm hands these to every chart that is part of another.
	root["properties"].(map[string]any)["global"] = map[string]any{
		"type": "object", "description": "values shared by all charts of a parent chart; not used",
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(root); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func groupSchema(settings []value) (map[string]any, error) {
	properties := map[string]any{}
	for _, setting := range settings {
		schema, err := settingSchema(setting)
		if err != nil {
			return nil, err
		}
		properties[setting.Name] = schema
	}
	return map[string]any{"type": "object", "additionalProperties": false, "properties": properties}, nil
}

func settingSchema(setting value) (map[string]any, error) {
	if setting.Members != nil {
		return groupSchema(setting.Members)
	}
	schema := map[string]any{"description": setting.About}
	switch setting.Default.Tag {
	case "!!str":
		schema["type"] = "string"
	case "!!bool":
		schema["type"] = "boolean"
	case "!!int":
		schema["type"] = "integer"
	case "!!seq":
		schema["type"] = "array"
	case "!!map":
		schema["type"] = "object"
	default:
		return nil, fmt.Errorf("%s: no schema for a default of the kind %s", setting.Path, setting.Default.Tag)
	}
	if setting.Default.Kind != yaml.ScalarNode && setting.Rule == nil {
		return nil, fmt.Errorf("%s: a `# @schema {...}` line must say what it may hold", setting.Path)
	}
	var content any
	if err := setting.Default.Decode(&content); err != nil {
		return nil, fmt.Errorf("%s: %w", setting.Path, err)
	}
	schema["default"] = content
	maps.Copy(schema, setting.Rule)
	return schema, nil
}
