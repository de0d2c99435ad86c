package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// mark is what generated templates begin with, so that a reader knows where to
// change them and this program which files are its own.
const mark = "{{- /* Generated from config/crd/bases by `make generate`. */ -}}\n"

// writeDefinitions turns every CustomResourceDefinition in the folder bases into
// a template of the same name, and removes templates of kinds that are gone.
// The condition is the action that guards the definition, if any; values is
// where the settings keep, annotations and labels are found.
func writeDefinitions(bases, folder, condition, values string) error {
	sources, err := filepath.Glob(filepath.Join(bases, "*.yaml"))
	if err != nil {
		return err
	}
	if len(sources) == 0 {
		return fmt.Errorf("no CustomResourceDefinitions in %s", bases)
	}
	present := map[string]bool{}
	for _, source := range sources {
		definition, err := os.ReadFile(source)
		if err != nil {
			return err
		}
		template, err := definitionTemplate(string(definition), condition, values)
		if err != nil {
			return fmt.Errorf("%s: %w", source, err)
		}
		present[filepath.Base(source)] = true
		if err := write(filepath.Join(folder, filepath.Base(source)), []byte(template)); err != nil {
			return err
		}
	}
	return removeOthers(folder, present)
}

// removeOthers removes the generated templates that are not among the present.
func removeOthers(folder string, present map[string]bool) error {
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return err
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if !present[filepath.Base(file)] && bytes.HasPrefix(content, []byte(mark)) {
			if err := os.Remove(file); err != nil {
				return err
			}
		}
	}
	return nil
}

// definitionTemplate wraps one definition. It works on the text, not on the
// object: a trip through Helm's fromYaml would turn large integers into floats.
func definitionTemplate(definition, condition, values string) (string, error) {
	const annotations = "\n  annotations:\n"
	definition = strings.TrimPrefix(definition, "---\n")
	head, rest, found := strings.Cut(definition, annotations)
	if !found || strings.Contains(head, "\nspec:") {
		return "", errors.New("its metadata has no annotations to add to")
	}
	own, rest, found := strings.Cut(rest, "\n  name: ")
	if !found {
		return "", errors.New("its name does not follow its annotations")
	}
	var b strings.Builder
	b.WriteString(mark)
	if condition != "" {
		fmt.Fprintf(&b, "{{- %s }}\n", condition)
	}
	b.WriteString(literal(head))
	b.WriteString(annotations)
	b.WriteString(literal(own) + "\n")
	fmt.Fprintf(&b, "    {{- if %s.keep }}\n    helm.sh/resource-policy: keep\n    {{- end }}\n", values)
	fmt.Fprintf(&b, "    {{- with %s.annotations }}\n    {{- toYaml . | nindent 4 }}\n    {{- end }}\n", values)
	b.WriteString("  labels:\n    {{- include \"leftfold.labels\" . | nindent 4 }}\n")
	b.WriteString("  name: " + literal(rest))
	if condition != "" {
		b.WriteString("{{- end }}\n")
	}
	return b.String(), nil
}

// literal keeps text that looks like an action of a template from being one.
func literal(text string) string {
	return strings.ReplaceAll(text, "{{", `{{ "{{" }}`)
}
