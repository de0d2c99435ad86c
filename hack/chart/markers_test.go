package main

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// grant is one verb on one resource, and a name when it is limited to one.
type grant struct{ group, resource, name, verb string }

func grantsOf(groups, resources, names, verbs []string) map[grant]bool {
	if len(names) == 0 {
		names = []string{""}
	}
	all := map[grant]bool{}
	for _, group := range groups {
		for _, resource := range resources {
			for _, name := range names {
				for _, verb := range verbs {
					all[grant{group, resource, name, verb}] = true
				}
			}
		}
	}
	return all
}

var (
	marker = regexp.MustCompile(`(?m)^// \+kubebuilder:rbac:(.*)$`)
	pair   = regexp.MustCompile(`(\w+)=("[^"]*"|[^,]*)`)
)

// asked reads what the markers in controllers/ ask for, from the text: the
// generator passes over a marker in the comment of a type without a word.
func asked(t *testing.T) map[grant]string {
	t.Helper()
	where := map[grant]string{}
	err := filepath.WalkDir(filepath.Join(repository, "controllers"), func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, found := range marker.FindAllStringSubmatch(string(content), -1) {
			lists := map[string][]string{}
			for _, part := range pair.FindAllStringSubmatch(found[1], -1) {
				lists[part[1]] = strings.Split(strings.Trim(part[2], `"`), ";")
			}
			for g := range grantsOf(lists["groups"], lists["resources"], lists["resourceNames"], lists["verbs"]) {
				where[g] = path
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(where) == 0 {
		t.Fatal("no markers at all")
	}
	return where
}

func TestTheOperatorsRoleHasWhatEveryReconcilerAsksFor(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(repository, "config/rbac", operatorRole))
	if err != nil {
		t.Fatal(err)
	}
	var role rbacv1.ClusterRole
	if err := yaml.UnmarshalStrict(content, &role); err != nil {
		t.Fatal(err)
	}
	granted := map[grant]bool{}
	for _, rule := range role.Rules {
		maps.Copy(granted, grantsOf(rule.APIGroups, rule.Resources, rule.ResourceNames, rule.Verbs))
	}
	var missing []string
	for g, path := range asked(t) {
		if !granted[g] {
			missing = append(missing, strings.Join([]string{path, g.group, g.resource, g.name, g.verb}, " "))
		}
	}
	slices.Sort(missing)
	for _, line := range missing {
		t.Errorf("asked for and not granted: %s", line)
	}
}
