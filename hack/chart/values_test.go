package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAValueIsDescribedByItsComment(t *testing.T) {
	settings, err := parseValues([]byte(`
# A group, whose own comment is for readers of the file.
image:
  # -- where it is,
  # on two lines
  # @schema {"minLength": 1}
  repository: leftfold
# -- how many
replicas: 2
# -- which pods | nodes
# @schema {"additionalProperties": {"type": "string"}}
nodeSelector: {}
`))
	if err != nil {
		t.Fatal(err)
	}
	table, err := tableOf(settings)
	if err != nil {
		t.Fatal(err)
	}
	want := `| value | default | what it does |
|---|---|---|
| ` + "`image.repository` | `\"leftfold\"`" + ` | where it is, on two lines |
| ` + "`replicas` | `2`" + ` | how many |
| ` + "`nodeSelector` | `{}`" + ` | which pods \| nodes |
`
	if diff := cmp.Diff(want, table); diff != "" {
		t.Errorf("table: -want +got\n%s", diff)
	}
	content, err := schemaOf(settings)
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		AdditionalProperties bool
		Properties           map[string]any
	}
	if err := json.Unmarshal(content, &schema); err != nil {
		t.Fatal(err)
	}
	if schema.AdditionalProperties {
		t.Error("the schema takes names that are not there")
	}
	wantSchema := map[string]any{
		"global": map[string]any{"type": "object", "description": "values shared by all charts of a parent chart; not used"},
		"image": map[string]any{"type": "object", "additionalProperties": false, "properties": map[string]any{
			"repository": map[string]any{"type": "string", "minLength": 1.0, "default": "leftfold", "description": "where it is, on two lines"},
		}},
		"replicas": map[string]any{"type": "integer", "default": 2.0, "description": "how many"},
		"nodeSelector": map[string]any{
			"type": "object", "additionalProperties": map[string]any{"type": "string"},
			"default": map[string]any{}, "description": "which pods | nodes",
		},
	}
	if diff := cmp.Diff(wantSchema, schema.Properties); diff != "" {
		t.Errorf("schema: -want +got\n%s", diff)
	}
}

func TestAValueThatCannotBeDescribedIsAnError(t *testing.T) {
	for name, test := range map[string]struct{ values, says string }{
		"a value without a word":             {"replicas: 2", "replicas: a comment"},
		"a comment that is for readers only": {"# how many\nreplicas: 2", "replicas: a comment"},
		"a list of unknown things":           {"# -- which\nnames: []", "names: a `# @schema"},
		"a mapping of unknown things":        {"# -- which\nnames: {}", "names: a `# @schema"},
		"a rule that is not JSON":            {"# -- which\n# @schema {x\nnames: {}", "names: @schema"},
		"a default that tells no type":       {"# -- which\nname: null", "name: no schema"},
		"a list at the top":                  {"- a", "one mapping"},
	} {
		t.Run(name, func(t *testing.T) {
			settings, err := parseValues([]byte(test.values))
			if err == nil {
				_, err = schemaOf(settings)
			}
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want an error that has %q", err, test.says)
			}
		})
	}
}

func TestADefinitionBecomesATemplateThatHelmTakesLiterally(t *testing.T) {
	got, err := definitionTemplate(`---
kind: CustomResourceDefinition
metadata:
  annotations:
    made-by: x
  name: things.example
spec:
  description: an action {{ .Values.x }} in words
`, "if .Values.on", ".Values.crds")
	if err != nil {
		t.Fatal(err)
	}
	want := mark + `{{- if .Values.on }}
kind: CustomResourceDefinition
metadata:
  annotations:
    made-by: x
    {{- if .Values.crds.keep }}
    helm.sh/resource-policy: keep
    {{- end }}
    {{- with .Values.crds.annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  labels:
    {{- include "leftfold.labels" . | nindent 4 }}
  name: things.example
spec:
  description: an action {{ "{{" }} .Values.x }} in words
{{- end }}
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestTheTemplateOfAKindThatIsGoneGoesToo(t *testing.T) {
	bases, folder := t.TempDir(), t.TempDir()
	definition := "kind: X\nmetadata:\n  annotations:\n    a: b\n  name: x\nspec: {}\n"
	for path, content := range map[string]string{
		filepath.Join(bases, "present.yaml"): definition,
		filepath.Join(folder, "gone.yaml"):   mark + definition,
		filepath.Join(folder, "own.yaml"):    definition,
	} {
		if err := write(path, []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeDefinitions(bases, folder, "", ".Values"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"present.yaml": true, "gone.yaml": false, "own.yaml": true} {
		if _, err := os.Stat(filepath.Join(folder, name)); (err == nil) != want {
			t.Errorf("%s is there: %t, want %t", name, err == nil, want)
		}
	}
}

func TestRulesAreTakenFromOneRole(t *testing.T) {
	got, err := rulesOf([]byte("kind: Role\nrules:\n# Why.\n- apiGroups: [\"\"]\n  resources: [pods]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("# Why.\n- apiGroups: [\"\"]\n  resources: [pods]\n", string(got)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	for name, content := range map[string]string{
		"no rules":  "kind: Role\n",
		"two roles": "kind: Role\nrules: [{verbs: [get]}]\n---\nkind: Role\nrules: [{verbs: [get]}]\n",
	} {
		if _, err := rulesOf([]byte(content)); err == nil {
			t.Errorf("%s are taken", name)
		}
	}
}

func TestRulesThatNoRoleCanGrantStandApart(t *testing.T) {
	role := "kind: ClusterRole\nrules:\n" +
		"- apiGroups: [\"\"]\n  resources: [nodes, pods]\n  verbs: [get]\n" +
		"- apiGroups: [apps]\n  resources: [deployments]\n  verbs: [get]\n"
	inNamespaces, beyond, err := splitRules([]byte(role))
	if err != nil {
		t.Fatal(err)
	}
	want := "- apiGroups:\n  - \"\"\n  resources:\n  - pods\n  verbs:\n  - get\n" +
		"- apiGroups:\n  - apps\n  resources:\n  - deployments\n  verbs:\n  - get\n"
	if diff := cmp.Diff(want, string(inNamespaces)); diff != "" {
		t.Errorf("in namespaces: -want +got\n%s", diff)
	}
	want = "- apiGroups:\n  - \"\"\n  resources:\n  - nodes\n  verbs:\n  - get\n"
	if diff := cmp.Diff(want, string(beyond)); diff != "" {
		t.Errorf("beyond them: -want +got\n%s", diff)
	}
}

func TestAReadmeNeedsAPlaceForTheTable(t *testing.T) {
	if _, err := insertTable([]byte("# A chart\n"), nil); err == nil {
		t.Error("the table went nowhere")
	}
}
