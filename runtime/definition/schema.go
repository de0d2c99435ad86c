package definition

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"

	yamlnode "go.yaml.in/yaml/v3"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	schemacel "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"

	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/config/crd"
)

// schema holds one kind's generated CRD, ready to judge objects with the API
// server's own code. So what a file is refused for is what a cluster would
// refuse it for, in the same words.
type schema struct {
	structural *structuralschema.Structural
	openapi    validation.SchemaCreateValidator
	rules      *schemacel.Validator
}

// schemas are made when first needed: compiling a kind's rules takes some 50 ms.
var schemas = struct {
	sync.Mutex
	byKind map[string]*schema
}{byKind: map[string]*schema{}}

// schemaFor returns nil for a kind that the group does not have.
func schemaFor(kind string) (*schema, error) {
	schemas.Lock()
	defer schemas.Unlock()
	if s, ok := schemas.byKind[kind]; ok {
		return s, nil
	}
	definition, err := definitionOf(kind)
	if definition == nil || err != nil {
		return nil, err
	}
	var internal apiextensions.CustomResourceValidation
	if err := apiextensionsv1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(definition.Spec.Versions[0].Schema, &internal, nil); err != nil {
		return nil, fmt.Errorf("convert the schema of %s: %w", kind, err)
	}
	s := &schema{}
	if s.structural, err = structuralschema.NewStructural(internal.OpenAPIV3Schema); err != nil {
		return nil, fmt.Errorf("read the schema of %s: %w", kind, err)
	}
	if s.openapi, _, err = validation.NewSchemaValidator(internal.OpenAPIV3Schema); err != nil {
		return nil, fmt.Errorf("build the validator of %s: %w", kind, err)
	}
	s.rules = schemacel.NewValidator(s.structural, true, celconfig.PerCallLimit)
	schemas.byKind[kind] = s
	return s, nil
}

func definitionOf(kind string) (*apiextensionsv1.CustomResourceDefinition, error) {
	entries, err := crd.Bases.ReadDir("bases")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		data, err := crd.Bases.ReadFile("bases/" + e.Name())
		if err != nil {
			return nil, err
		}
		var d apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal(data, &d); err != nil {
			return nil, fmt.Errorf("read the generated CRD %s: %w", e.Name(), err)
		}
		if d.Spec.Names.Kind == kind {
			return &d, nil
		}
	}
	return nil, nil
}

// check fills in defaults and reports all that the schema forbids; and, of what
// the schema allows, all that its rules forbid.
func (s *schema) check(d *document) (forbidden, broken []Problem) {
	if found := d.metadata(); len(found) > 0 {
		return found, nil
	}
	unknown := pruning.PruneWithOptions(d.values, s.structural, true, structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	if len(unknown) > 0 {
		problems := make([]Problem, 0, len(unknown))
		for _, path := range unknown {
			problems = append(problems, d.problem(path, "unknown field "+strconv.Quote(last(path)), "remove it or correct its name"))
		}
		return problems, nil
	}
	defaulting.PruneNonNullableNullsWithoutDefaults(d.values, s.structural)
	defaulting.Default(d.values, s.structural)
	errs := validation.ValidateCustomResource(nil, d.values, s.openapi)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, s.structural, d.values)...)
	// As in the API server, rules run on what the schema accepts only.
	if len(errs) > 0 || s.rules == nil {
		return d.fieldProblems(errs), nil
	}
	errs, _ = s.rules.Validate(context.Background(), nil, s.structural, d.values, nil, celconfig.RuntimeCELCostBudget)
	return nil, d.fieldProblems(errs)
}

func (d *document) fieldProblems(errs field.ErrorList) []Problem {
	problems := make([]Problem, 0, len(errs))
	for _, e := range errs {
		problems = append(problems, d.fieldProblem(e))
	}
	return problems
}

var nameFormat = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`)

// metadata checks what the API server checks of every object.
func (d *document) metadata() []Problem {
	meta, ok := d.values["metadata"].(map[string]any)
	if !ok {
		return []Problem{d.problem("metadata", "metadata is missing", "add metadata: {name: …}")}
	}
	name, ok := meta["name"].(string)
	switch {
	case !ok || name == "":
		return []Problem{d.problem("metadata.name", "the object has no name", "add metadata.name")}
	case len(name) > 253 || !nameFormat.MatchString(name):
		return []Problem{d.problem("metadata.name", fmt.Sprintf("%q is no valid name", name), "use lower-case letters, digits, - and .")}
	}
	return nil
}

// fieldProblem puts the API server's finding into our form, and says so when
// the cause is that YAML read a value as something that is no string.
func (d *document) fieldProblem(e *field.Error) Problem {
	n := d.locate(e.Field)
	if e.Type == field.ErrorTypeTypeInvalid && strings.Contains(e.Detail, "must be of type string") && isConverted(n) {
		return d.problem(e.Field, fmt.Sprintf("must be a string, but YAML reads %s as %s", n.Value, converted(e.BadValue)), "quote it: "+strconv.Quote(n.Value))
	}
	message := e.ErrorBody()
	if e.Type == field.ErrorTypeInvalid && e.Detail != "" {
		message = e.Detail
	}
	return d.problem(e.Field, message, "")
}

// isConverted tells a scalar without quotes, of which YAML makes what it likes.
func isConverted(n *yamlnode.Node) bool {
	return n.Kind == yamlnode.ScalarNode && n.Style&(yamlnode.SingleQuotedStyle|yamlnode.DoubleQuotedStyle|yamlnode.LiteralStyle|yamlnode.FoldedStyle) == 0
}

func converted(bad any) string {
	switch v := bad.(type) {
	case string: // the validator gives the type's name
		return "a " + v
	case bool:
		return fmt.Sprintf("the boolean %t", v)
	case nil:
		return "null"
	default:
		return fmt.Sprintf("the number %v", v)
	}
}

func last(path string) string {
	s := steps(path)
	return s[len(s)-1]
}

// decode turns the checked values into the kind's Go type.
func decode[T any](d *document) (*T, error) {
	var object T
	err := runtime.DefaultUnstructuredConverter.FromUnstructured(d.values, &object)
	return &object, err
}

// typeMeta reads apiVersion and kind; ours is false for another group's.
func (d *document) typeMeta() (t metav1.TypeMeta, ours bool) {
	t.APIVersion, _ = d.values["apiVersion"].(string)
	t.Kind, _ = d.values["kind"].(string)
	group, _, _ := strings.Cut(t.APIVersion, "/")
	return t, group == v1alpha1.GroupVersion.Group
}
