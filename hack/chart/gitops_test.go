package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const gitops = "config/samples/gitops/"

// sample returns the one object of a file.
func sample(t *testing.T, path string) *unstructured.Unstructured {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(repository, gitops, path))
	if err != nil {
		t.Fatal(err)
	}
	all := objects(t, string(content))
	if len(all) != 1 {
		t.Fatalf("%s has %d objects", path, len(all))
	}
	return all[0]
}

func TestSamplesForGitOpsNameFoldersThatAreThere(t *testing.T) {
	for file, field := range map[string][]string{
		"argocd/operator.yaml":       {"spec", "source", "path"},
		"argocd/workload.yaml":       {"spec", "source", "path"},
		"flux/operator.yaml":         {"spec", "path"},
		"flux/workload.yaml":         {"spec", "path"},
		"flux/operator/release.yaml": {"spec", "chart", "spec", "chart"},
	} {
		path, found, err := unstructured.NestedString(sample(t, file).Object, field...)
		if !found || err != nil {
			t.Fatalf("%s: no %v: %v", file, field, err)
		}
		if _, err := os.Stat(filepath.Join(repository, path)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	kubectl(t, "kustomize", gitops+"flux")
	kubectl(t, "kustomize", "config/samples/bank-sqlite")
}

func TestSamplesForGitOpsGiveTheChartValuesThatItTakes(t *testing.T) {
	for file, field := range map[string][]string{
		"argocd/operator.yaml":       {"spec", "source", "helm", "valuesObject"},
		"flux/operator/release.yaml": {"spec", "values"},
	} {
		given, found, err := unstructured.NestedMap(sample(t, file).Object, field...)
		if !found || err != nil {
			t.Fatalf("%s: no %v: %v", file, field, err)
		}
		content, err := yaml.Marshal(given)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "values.yaml")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		render(t, "-f", path)
	}
}

func TestArgoCDIsTaughtEveryKind(t *testing.T) {
	scripts := healthScripts(t)
	definitions := objects(t, helm(t, "template", "leftfold", "charts/leftfold-crds"))
	if len(definitions) != len(scripts) {
		t.Errorf("%d scripts for %d kinds", len(scripts), len(definitions))
	}
	for _, definition := range definitions {
		kind, _, _ := unstructured.NestedString(definition.Object, "spec", "names", "kind")
		if scripts["resource.customizations.health.leftfold.io_"+kind] == "" {
			t.Errorf("nothing for %s", kind)
		}
	}
}

func healthScripts(t *testing.T) map[string]string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(repository, gitops, "argocd/health.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var settings corev1.ConfigMap
	if err := yaml.UnmarshalStrict(content, &settings); err != nil {
		t.Fatal(err)
	}
	return settings.Data
}

func TestArgoCDShowsWhatTheConditionsSay(t *testing.T) {
	script := healthScripts(t)["resource.customizations.health.leftfold.io_Runtime"]
	condition := func(kind, status, reason, message string) map[string]any {
		return map[string]any{"type": kind, "status": status, "reason": reason, "message": message}
	}
	seen := func(conditions ...any) map[string]any {
		return map[string]any{
			"metadata": map[string]any{"generation": 2},
			"status":   map[string]any{"observedGeneration": 2, "conditions": conditions},
		}
	}
	for name, test := range map[string]struct {
		object map[string]any
		want   string
	}{
		"just applied": {map[string]any{"metadata": map[string]any{"generation": 1}}, "Progressing: waits for the operator"},
		"not visited yet": {map[string]any{"metadata": map[string]any{"generation": 1},
			"status": map[string]any{"observedGeneration": -1}}, "Progressing: waits for the operator"},
		"ready, but for what was declared before": {map[string]any{"metadata": map[string]any{"generation": 3},
			"status": map[string]any{"observedGeneration": 2, "conditions": []any{condition("Ready", "True", "Ready", "")}}},
			"Progressing: waits for the operator"},
		"visited, without conditions": {seen(), "Progressing: waits for the operator"},
		"ready":                       {seen(condition("Ready", "True", "Ready", "3 pods")), "Healthy: 3 pods"},
		"on the way": {seen(condition("Ready", "False", "RollingOut", ""), condition("Reconciling", "True", "RollingOut", "2 of 3")),
			"Progressing: RollingOut: 2 of 3"},
		"ready still while a change is on its way": {seen(condition("Ready", "True", "Ready", ""), condition("Reconciling", "True", "RollingOut", "2 of 3")),
			"Progressing: RollingOut: 2 of 3"},
		"stalled, which wins": {seen(condition("Ready", "False", "SchemaInUse", ""), condition("Reconciling", "True", "Progressing", ""),
			condition("Stalled", "True", "SchemaInUse", "spec.postgres.schema: taken")), "Degraded: SchemaInUse: spec.postgres.schema: taken"},
		"not ready by itself": {seen(condition("Ready", "False", "EntitiesQuarantined", "2 entities")), "Degraded: EntitiesQuarantined: 2 entities"},
		"paused by somebody":  {seen(condition("Ready", "False", "Paused", "by command")), "Suspended: by command"},
		"being deleted": {map[string]any{"metadata": map[string]any{"generation": 2, "deletionTimestamp": "2026-01-01T00:00:00Z"},
			"status": seen(condition("Ready", "True", "Ready", ""))["status"]}, "Progressing: is being deleted"},
	} {
		t.Run(name, func(t *testing.T) {
			program := fmt.Sprintf("obj = %s\nlocal function look()\n%s\nend\nlocal h = look()\nprint(h.status .. ': ' .. h.message)\n", lua(t, test.object), script)
			path := filepath.Join(t.TempDir(), "health.lua")
			if err := os.WriteFile(path, []byte(program), 0o600); err != nil {
				t.Fatal(err)
			}
			out, messages, err := run(t, "go", "tool", "-modfile=hack/tools/lua/go.mod", "glua", path)
			if err != nil {
				t.Fatalf("%v\n%s", err, messages)
			}
			if got := strings.TrimSpace(out); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// lua writes a value as Lua does, numbers, words, lists and mappings.
func lua(t *testing.T, content any) string {
	t.Helper()
	var b strings.Builder
	switch typed := content.(type) {
	case map[string]any:
		for key, member := range typed {
			fmt.Fprintf(&b, "[%q] = %s, ", key, lua(t, member))
		}
	case []any:
		for _, member := range typed {
			fmt.Fprintf(&b, "%s, ", lua(t, member))
		}
	default:
		scalar, err := json.Marshal(typed)
		if err != nil {
			t.Fatal(err)
		}
		return string(scalar)
	}
	return "{" + b.String() + "}"
}
