package v1alpha1_test

import (
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/leftfold/leftfold/config/crd"
)

// definitions returns the CustomResourceDefinitions that the API server serves.
func definitions() ([]apiextensionsv1.CustomResourceDefinition, error) {
	files, err := fs.Glob(crd.Bases, "bases/*.yaml")
	if err != nil {
		return nil, err
	}
	var all []apiextensionsv1.CustomResourceDefinition
	for _, file := range files {
		content, err := crd.Bases.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var definition apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(content, &definition); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, definition)
	}
	return all, nil
}

// foreign are the parts of the schemas that are Kubernetes' own types; what they
// allow is decided, and tested, there.
var foreign = []string{
	"spec.pod.affinity", "spec.pod.tolerations[]", "spec.pod.topologySpreadConstraints[]", "spec.pod.env[]",
	"status.conditions[]", "spec.resources.requests{}", "spec.resources.limits{}",
	"spec.pod.labels{}", "spec.pod.annotations{}", "spec.pod.nodeSelector{}",
	"apiVersion", "kind", "metadata",
}

// visitSchema calls see for every part of a schema that is ours. Steps into
// lists are written [], into maps {}.
func visitSchema(path string, schema *apiextensionsv1.JSONSchemaProps, see func(path string, schema *apiextensionsv1.JSONSchemaProps)) {
	if slices.Contains(foreign, path) {
		return
	}
	see(path, schema)
	for name, field := range schema.Properties {
		visitSchema(strings.TrimPrefix(path+"."+name, "."), &field, see)
	}
	if schema.Items != nil {
		visitSchema(path+"[]", schema.Items.Schema, see)
	}
	if schema.AdditionalProperties != nil {
		visitSchema(path+"{}", schema.AdditionalProperties.Schema, see)
	}
}

func TestEveryStringListAndMapHasAMaximum(t *testing.T) {
	all, err := definitions()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 5 {
		t.Fatalf("got %d kinds, want 5", len(all))
	}
	for _, definition := range all {
		visitSchema("", definition.Spec.Versions[0].Schema.OpenAPIV3Schema, func(path string, schema *apiextensionsv1.JSONSchemaProps) {
			unbounded := false
			switch {
			case schema.Type == "string":
				unbounded = schema.MaxLength == nil && len(schema.Enum) == 0 && schema.Format != "date-time"
			case schema.Type == "array":
				unbounded = schema.MaxItems == nil
			case schema.Type == "integer":
				// int64 counters are bounded by their type.
				unbounded = schema.Maximum == nil && strings.HasPrefix(path, "spec.")
			case schema.AdditionalProperties != nil:
				unbounded = schema.MaxProperties == nil
			}
			if unbounded {
				t.Errorf("%s %s has no maximum", definition.Spec.Names.Kind, path)
			}
			if path != "" && schema.Description == "" && !strings.HasSuffix(path, "]") && !strings.HasSuffix(path, "}") {
				t.Errorf("%s %s has no description", definition.Spec.Names.Kind, path)
			}
		})
	}
}

// unspoken returns the rules and limits of the specs that no refusal of this run
// spoke of. TestMain asks after a whole run: a rule without a case that breaks
// it is a rule that nobody has seen work.
func unspoken() ([]string, error) {
	all, err := definitions()
	if err != nil {
		return nil, err
	}
	var silent []string
	for _, definition := range all {
		kind := definition.Spec.Names.Kind
		visitSchema("", definition.Spec.Versions[0].Schema.OpenAPIV3Schema, func(path string, schema *apiextensionsv1.JSONSchemaProps) {
			if strings.HasPrefix(path, "status") {
				return // written by the operator alone
			}
			for _, words := range announcements(path, schema) {
				if !spoken(kind, words) {
					silent = append(silent, fmt.Sprintf("%s: no refusal says %s", kind, words))
				}
			}
		})
	}
	slices.Sort(silent)
	return silent, nil
}

// announcements returns, as regular expressions, what a refusal would say of
// each rule and limit of one part of a schema.
func announcements(path string, schema *apiextensionsv1.JSONSchemaProps) []string {
	// Items have numbers in messages, and entries of maps their keys.
	field := regexp.QuoteMeta(path)
	field = strings.ReplaceAll(field, `\[\]`, `\[\d+\]`)
	field = strings.ReplaceAll(field, `\{\}`, `\.\w+`)
	// From the field to the words, without leaving its part of the message.
	const gap = `: (?:Invalid|Too|Unsupported|Required)[^\n]*?`
	var all []string
	limit := func(set bool, words string) {
		if set {
			all = append(all, field+gap+words)
		}
	}
	limit(schema.MinLength != nil, "at least [0-9]+ chars")
	limit(schema.MaxLength != nil, "may not be more than [0-9]+ bytes")
	limit(schema.Pattern != "", "should match")
	limit(schema.Minimum != nil, "should be greater than or equal to")
	limit(schema.Maximum != nil, "should be less than or equal to")
	limit(schema.MinItems != nil, "should have at least [0-9]+ items")
	limit(schema.MaxItems != nil, "must have at most [0-9]+ items")
	limit(schema.MinProperties != nil && schema.AdditionalProperties != nil, "should have at least [0-9]+ properties")
	limit(schema.MaxProperties != nil, "must have at most [0-9]+ (items|properties)")
	limit(len(schema.Enum) > 0, "supported values")
	for _, required := range schema.Required {
		all = append(all, strings.TrimPrefix(field+`\.`+required, `\.`)+": Required value")
	}
	for _, rule := range schema.XValidations {
		all = append(all, regexp.QuoteMeta(rule.Message))
	}
	return all
}

func spoken(kind, words string) bool {
	expression := regexp.MustCompile(words)
	return slices.ContainsFunc(refusals.said, func(said string) bool {
		return strings.HasPrefix(said, kind+".") && expression.MatchString(said)
	})
}
