package definition

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"

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
	turned := d.keys()
	unknown := pruning.PruneWithOptions(d.values, s.structural, true, structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	if len(unknown) > 0 {
		for _, path := range unknown {
			turned = append(turned, d.problem(path, "unknown field "+strconv.Quote(last(path)), s.fixForUnknown(path)))
		}
		return turned, nil
	}
	defaulting.PruneNonNullableNullsWithoutDefaults(d.values, s.structural)
	defaulting.Default(d.values, s.structural)
	errs := validation.ValidateCustomResource(nil, d.values, s.openapi)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, s.structural, d.values)...)
	// As in the API server, rules run on what the schema accepts only.
	if len(errs) > 0 || len(turned) > 0 || s.rules == nil {
		return append(turned, d.fieldProblems(errs)...), nil
	}
	errs, _ = s.rules.Validate(context.Background(), nil, s.structural, d.values, nil, celconfig.RuntimeCELCostBudget)
	return nil, d.fieldProblems(errs)
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
