package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// value is one setting of a chart, or a group of settings.
type value struct {
	// Name is the key, Path the keys from the top joined by dots.
	Name, Path string
	// About says what the setting does: the lines of the comment after "# --".
	About string
	// Rule is what the comment's "# @schema" line adds to the schema, or nil.
	// A mapping with a rule is one setting, whatever it holds.
	Rule map[string]any
	// Default is the value that the chart has.
	Default *yaml.Node
	// Members are the settings of a group, in the file's order.
	Members []value
}

// describeValues writes values.schema.json and the README's table of values.
func describeValues(source, target string) error {
	content, err := os.ReadFile(filepath.Join(source, "values.yaml"))
	if err != nil {
		return err
	}
	settings, err := parseValues(content)
	if err != nil {
		return fmt.Errorf("%s/values.yaml: %w", filepath.Base(source), err)
	}
	schema, err := schemaOf(settings)
	if err != nil {
		return err
	}
	if err := write(filepath.Join(target, "values.schema.json"), schema); err != nil {
		return err
	}
	readme, err := os.ReadFile(filepath.Join(source, "README.md"))
	if err != nil {
		return err
	}
	readme, err = insertTable(readme, settings)
	if err != nil {
		return fmt.Errorf("%s/README.md: %w", filepath.Base(source), err)
	}
	return write(filepath.Join(target, "README.md"), readme)
}

// parseValues reads a values.yaml. Every setting must say what it does.
func parseValues(content []byte) ([]value, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(content, &document); err != nil {
		return nil, err
	}
	if len(document.Content) != 1 || document.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("it must hold one mapping")
	}
	return parseMembers("", document.Content[0])
}

func parseMembers(path string, mapping *yaml.Node) ([]value, error) {
	var members []value
	for i := 0; i < len(mapping.Content); i += 2 {
		key, content := mapping.Content[i], mapping.Content[i+1]
		member := value{Name: key.Value, Path: strings.TrimPrefix(path+"."+key.Value, "."), Default: content}
		var err error
		member.About, member.Rule, err = parseComment(key.HeadComment)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", member.Path, err)
		}
		if content.Kind == yaml.MappingNode && len(content.Content) > 0 && member.Rule == nil {
			member.Members, err = parseMembers(member.Path, content)
			if err != nil {
				return nil, err
			}
		} else if member.About == "" {
			return nil, fmt.Errorf("%s: a comment that begins with `# --` must say what it does", member.Path)
		}
		members = append(members, member)
	}
	return members, nil
}

// parseComment splits a comment into what is said for people, from the line that
// begins with "--" on, and the rule for machines in a line "@schema {...}".
func parseComment(comment string) (about string, rule map[string]any, err error) {
	var lines []string
	said := false
	for line := range strings.Lines(comment) {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "#"))
		if text, found := strings.CutPrefix(line, "@schema "); found {
			if err := json.Unmarshal([]byte(text), &rule); err != nil {
				return "", nil, fmt.Errorf("@schema: %w", err)
			}
			continue
		}
		if text, found := strings.CutPrefix(line, "--"); found {
			said, lines, line = true, nil, strings.TrimSpace(text)
		}
		if said && line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, " "), rule, nil
}
