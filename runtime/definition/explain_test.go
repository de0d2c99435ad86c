package definition

import (
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// Nobody should have to read a regular expression to learn what a name may be.
func TestEveryPatternOfASpecIsSaidInWords(t *testing.T) {
	for _, kind := range []string{v1alpha1.KindEventStore, v1alpha1.KindRuntime, v1alpha1.KindAggregate, v1alpha1.KindProjection} {
		d, err := definitionOf(kind)
		if err != nil || d == nil {
			t.Fatalf("%s: %v", kind, err)
		}
		found := map[string]string{}
		spec := d.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
		collectPatterns(&spec, "spec", found)
		if len(found) == 0 {
			t.Errorf("%s has no patterns at all", kind)
		}
		for pattern, path := range found {
			if patterns[pattern] == "" {
				t.Errorf("%s: %s: no words for %s", kind, path, pattern)
			}
		}
	}
}

func collectPatterns(s *apiextensionsv1.JSONSchemaProps, path string, found map[string]string) {
	if s.Pattern != "" {
		found[s.Pattern] = path
	}
	for name, p := range s.Properties {
		collectPatterns(&p, path+"."+name, found)
	}
	if s.Items != nil && s.Items.Schema != nil {
		collectPatterns(s.Items.Schema, path+"[]", found)
	}
	if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil {
		collectPatterns(s.AdditionalProperties.Schema, path+"{}", found)
	}
}
