package definition

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"

	yamlnode "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"
)

// plainKey is a key that YAML can only read as text, unless it is a word of
// turnedWords.
var plainKey = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*$`)

// turnedWords are what YAML 1.1 takes for booleans. null is no key at all.
var turnedWords = regexp.MustCompile(`^(?i:y|n|yes|no|on|off|true|false)$`)

// keys finds keys without quotes that YAML read as something else, which JSON
// then writes in that other way: n becomes false. It gives the values the keys
// that were meant, so that what is checked next does not tell the same mistake
// in riddles.
func (d *document) keys() []Problem {
	return d.turnedKeys(d.root, d.values, "")
}

func (d *document) turnedKeys(n *yamlnode.Node, v any, path string) []Problem {
	var problems []Problem
	switch values := v.(type) {
	case map[string]any:
		for i := 0; n.Kind == yamlnode.MappingNode && i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			here := join(path, key.Value)
			if read := keyAsRead(key); read != key.Value {
				problems = append(problems, Problem{
					File: d.file, Line: key.Line + d.offset, Column: key.Column, Object: d.object(), Field: here,
					Message: fmt.Sprintf("YAML reads the key %s as %s", key.Value, whatIsRead(read)),
					Fix:     "quote it: " + strconv.Quote(key.Value),
				})
				values[key.Value] = values[read]
				delete(values, read)
			}
			problems = append(problems, d.turnedKeys(n.Content[i+1], values[key.Value], here)...)
		}
	case []any:
		for i := 0; n.Kind == yamlnode.SequenceNode && i < min(len(n.Content), len(values)); i++ {
			problems = append(problems, d.turnedKeys(n.Content[i], values[i], fmt.Sprintf("%s[%d]", path, i))...)
		}
	}
	return problems
}

// keyAsRead gives a key as kubectl's reading of YAML has it.
func keyAsRead(key *yamlnode.Node) string {
	text := key.Value
	if !isConverted(key) || key.Tag == "!!merge" || plainKey.MatchString(text) && !turnedWords.MatchString(text) {
		return text
	}
	asJSON, err := yaml.YAMLToJSON([]byte(text + ": 0"))
	if err != nil {
		return text
	}
	var object map[string]any
	if err := json.Unmarshal(asJSON, &object); err != nil || len(object) != 1 {
		return text
	}
	for read := range object {
		text = read
	}
	return text
}

func whatIsRead(text string) string {
	if text == "true" || text == "false" {
		return "the boolean " + text
	}
	return "the number " + text
}
