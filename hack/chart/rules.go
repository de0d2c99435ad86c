package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

// operatorRole is the file that controller-gen writes from the markers above
// the reconcilers.
const operatorRole = "role.yaml"

// ruleFiles says which list of rules of the chart comes from which file of
// config/rbac. The chart decides what kind of role carries them: a ClusterRole,
// or a Role in each namespace.
var ruleFiles = map[string]string{
	"operator.yaml":               operatorRole,
	"own_namespace.yaml":          "own_namespace_role.yaml",
	"cluster_identity.yaml":       "cluster_identity_role.yaml",
	"metrics_authentication.yaml": "metrics_authentication_role.yaml",
	"metrics_reader.yaml":         "metrics_reader_role.yaml",
	"runtime.yaml":                "runtime_role.yaml",
	"user_view.yaml":              "user_view_role.yaml",
	"user_edit.yaml":              "user_edit_role.yaml",
}

// writeRules writes the rules of each role into the chart's folder. The
// operator's role is read from generated, the others from written.
func writeRules(written, generated, folder string) error {
	for name, source := range ruleFiles {
		from := written
		if source == operatorRole {
			from = generated
		}
		content, err := os.ReadFile(filepath.Join(from, source))
		if err != nil {
			return err
		}
		rules, err := rulesOf(content)
		if err != nil {
			return fmt.Errorf("%s: %w", source, err)
		}
		head := fmt.Sprintf("# Generated from config/rbac/%s by `make generate`.\n", source)
		if err := write(filepath.Join(folder, name), append([]byte(head), rules...)); err != nil {
			return err
		}
	}
	return nil
}

// rulesOf returns the rules of the one role in the content, comments included.
func rulesOf(content []byte) ([]byte, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var role struct {
		Rules yaml.Node `yaml:"rules"`
	}
	if err := decoder.Decode(&role); err != nil {
		return nil, err
	}
	if err := decoder.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, errors.New("it must hold one role and nothing else: markers for a single namespace belong into a file of their own")
	}
	if len(role.Rules.Content) == 0 {
		return nil, errors.New("it has no rules")
	}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	encoder.CompactSeqIndent()
	if err := encoder.Encode(&role.Rules); err != nil {
		return nil, err
	}
	return out.Bytes(), encoder.Close()
}
