package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"go.yaml.in/yaml/v3"
	rbacv1 "k8s.io/api/rbac/v1"
	kubeyaml "sigs.k8s.io/yaml"
)

// operatorRole is the file that controller-gen writes from the markers above
// the reconcilers.
const operatorRole = "role.yaml"

// clusterScoped are the resources of the operator's role that belong to no
// namespace. A Role cannot grant them, so that they stand in a file of their own.
var clusterScoped = []string{"namespaces", "nodes"}

// ruleFiles says which list of rules of the chart comes from which file of
// config/rbac. The chart decides what kind of role carries them: a ClusterRole,
// or a Role in each namespace.
var ruleFiles = map[string]string{
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
		content, err := os.ReadFile(filepath.Join(written, source))
		if err != nil {
			return err
		}
		rules, err := rulesOf(content)
		if err != nil {
			return fmt.Errorf("%s: %w", source, err)
		}
		if err := writeList(filepath.Join(folder, name), source, rules); err != nil {
			return err
		}
	}
	content, err := os.ReadFile(filepath.Join(generated, operatorRole))
	if err != nil {
		return err
	}
	inNamespaces, beyond, err := splitRules(content)
	if err != nil {
		return fmt.Errorf("%s: %w", operatorRole, err)
	}
	if err := writeList(filepath.Join(folder, "operator.yaml"), operatorRole, inNamespaces); err != nil {
		return err
	}
	return writeList(filepath.Join(folder, "operator_cluster.yaml"), operatorRole, beyond)
}

func writeList(path, source string, rules []byte) error {
	head := fmt.Sprintf("# Generated from config/rbac/%s by `make generate`.\n", source)
	return write(path, append([]byte(head), rules...))
}

// splitRules parts the rules of the operator's role into those that a Role in a
// namespace can grant and those that only a ClusterRole can.
func splitRules(content []byte) (inNamespaces, beyond []byte, err error) {
	if _, err := rulesOf(content); err != nil {
		return nil, nil, err
	}
	var role rbacv1.ClusterRole
	if err := kubeyaml.UnmarshalStrict(content, &role); err != nil {
		return nil, nil, err
	}
	var namespaced, cluster []rbacv1.PolicyRule
	for _, rule := range role.Rules {
		isCluster := func(resource string) bool { return slices.Contains(clusterScoped, resource) }
		for _, part := range []struct {
			rules *[]rbacv1.PolicyRule
			drop  func(string) bool
		}{
			{&cluster, func(resource string) bool { return !isCluster(resource) }},
			{&namespaced, isCluster},
		} {
			kept := rule
			kept.Resources = slices.DeleteFunc(slices.Clone(rule.Resources), part.drop)
			if len(kept.Resources) > 0 {
				*part.rules = append(*part.rules, kept)
			}
		}
	}
	if inNamespaces, err = kubeyaml.Marshal(namespaced); err != nil {
		return nil, nil, err
	}
	if len(cluster) > 0 {
		beyond, err = kubeyaml.Marshal(cluster)
	}
	return inNamespaces, beyond, err
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
