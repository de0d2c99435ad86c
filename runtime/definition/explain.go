package definition

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	yamlnode "go.yaml.in/yaml/v3"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// This file turns the API server's findings into sentences that say what is
// wrong with what was written, and what to write instead. What it does not know
// it leaves in the API server's words.

// patterns says in words what the regular expressions of the schemas ask for.
var patterns = map[string]string{
	`^[A-Z][A-Za-z0-9]{0,62}$`: "must begin with a capital letter and hold letters and digits only, 63 at most",
	`^[a-z][A-Za-z0-9]{0,62}$`: "must begin with a small letter and hold letters and digits only, 63 at most",
	`^[a-z][a-z0-9_]{0,62}$`:   "must begin with a small letter and hold small letters, digits and _ only, 63 at most",
	`^[-._a-zA-Z0-9]+$`:        "must hold letters, digits, -, _ and . only",
	`^[^\s]+$`:                 "must not hold spaces",
	`^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$`: "must be a quantity, such as 500m, 2 or 1Gi",
}

// The forms of findings about a value.
var (
	patternFail = regexp.MustCompile(`^should match '(.*)'$`)
	tooShort    = regexp.MustCompile(`^should (?:be|have) at least (\d+) (chars long|items|properties)$`)
	outOfRange  = regexp.MustCompile(`^should be (less|greater) than or equal to (.*)$`)
	wrongType   = regexp.MustCompile(`^must be of type (\w+): "(\w*)"$`)
	// wrongFormat comes a second time for a number that is none of a field's kind,
	// without the field.
	wrongFormat = regexp.MustCompile(`^Checked value must be of type integer with format int\d+ in (.*)$`)
	number      = regexp.MustCompile(`\d+`)
)

func (d *document) fieldProblems(errs field.ErrorList) []Problem {
	times := map[string]int{}
	for _, e := range errs {
		times[e.Field]++
	}
	problems := make([]Problem, 0, len(errs))
	for _, e := range errs {
		if times[e.Field] > 1 && isEcho(detailOf(e)) {
			continue
		}
		if m := wrongFormat.FindStringSubmatch(e.Detail); m != nil {
			if times[m[1]] == 0 {
				problems = append(problems, d.problem(m[1], "is out of range", "write a smaller number"))
			}
			continue
		}
		problems = append(problems, d.fieldProblem(e))
	}
	return problems
}

// isEcho tells a finding that says again, and worse, what another one of the same
// field says: what is empty or too long fits no pattern either.
func isEcho(detail string) bool {
	return patternFail.MatchString(detail) || detail == "must be an object for an array of list-type map"
}

// detailOf gives a finding's words without the field's name.
func detailOf(e *field.Error) string {
	return strings.TrimPrefix(e.Detail, e.Field+" in body ")
}

// fieldProblem puts one finding into our form.
func (d *document) fieldProblem(e *field.Error) Problem {
	path, detail := e.Field, detailOf(e)
	if path == "<nil>" { // a rule of the whole object: its message begins with the field that it means
		path, _, _ = strings.Cut(detail, " ")
	}
	message, fix := e.ErrorBody(), ""
	switch e.Type {
	case field.ErrorTypeRequired:
		return d.missing(path)
	case field.ErrorTypeTooLong:
		message, fix = "is too long", "at most "+number.FindString(detail)+" characters are allowed"
	case field.ErrorTypeTooMany:
		message, fix = fmt.Sprintf("has %v items, at most %s are allowed", e.BadValue, number.FindString(detail)), "split what it describes"
	case field.ErrorTypeDuplicate:
		message, fix = nameOf(e.BadValue)+" is listed twice", "rename or remove one"
	case field.ErrorTypeNotSupported:
		message = fmt.Sprintf("cannot be %v", e.BadValue)
		fix = "write one of " + strings.ReplaceAll(strings.TrimPrefix(detail, "supported values: "), `"`, "")
	case field.ErrorTypeTypeInvalid:
		message, fix = explainType(d.locate(path), detail)
	case field.ErrorTypeInvalid:
		message, fix = explainValue(e.BadValue, detail)
	}
	return d.problem(path, message, fix)
}

// missing is about a field that is not there, or there without a value.
func (d *document) missing(path string) Problem {
	p := d.problem(path, last(path)+" is missing", "add it")
	if n := d.at(path); n != nil && n.Kind == yamlnode.ScalarNode {
		p.Message, p.Fix = last(path)+" has no value: YAML reads it as null", "write one"
		if n.Value != "" {
			p.Message, p.Fix = "YAML reads "+n.Value+" as null, which is no value", "quote it if it is one: "+strconv.Quote(n.Value)
		}
	}
	return p
}

// typeNames are the words for what JSON calls a type.
var typeNames = map[string]string{
	"string": "a string", "boolean": "a boolean", "integer": "a whole number", "number": "a number",
	"array": "a list", "object": "a mapping", "null": "null",
	"int32": "a whole number", "int64": "a whole number", "float64": "a number", "bool": "a boolean",
}

// explainType is about a value of another type than the field has; often the
// cause is that YAML read a value without quotes as something else.
func explainType(n *yamlnode.Node, detail string) (message, fix string) {
	m := wrongType.FindStringSubmatch(detail)
	if m == nil {
		return detail, ""
	}
	want, got := m[1], m[2]
	switch {
	case want == "string" && isConverted(n):
		return fmt.Sprintf("must be a string, but YAML reads %s as %s", n.Value, typeNames[got]), "quote it: " + strconv.Quote(n.Value)
	case got == "string" && want != "array" && want != "object" && n.Kind == yamlnode.ScalarNode && !isConverted(n):
		return fmt.Sprintf("must be %s, but quotes make it a string", typeNames[want]), "remove the quotes"
	case typeNames[got] == "":
		return "must be " + typeNames[want], ""
	}
	return fmt.Sprintf("must be %s, not %s", typeNames[want], typeNames[got]), ""
}

// isConverted tells a scalar without quotes, of which YAML makes what it likes.
func isConverted(n *yamlnode.Node) bool {
	return n.Kind == yamlnode.ScalarNode && n.Style&(yamlnode.SingleQuotedStyle|yamlnode.DoubleQuotedStyle|yamlnode.LiteralStyle|yamlnode.FoldedStyle) == 0
}

// explainValue is about a value of the right type that is not allowed.
func explainValue(bad any, detail string) (message, fix string) {
	if m := patternFail.FindStringSubmatch(detail); m != nil {
		if words, known := patterns[m[1]]; known {
			return fmt.Sprintf("%q does not fit", bad), "it " + words
		}
	}
	if m := tooShort.FindStringSubmatch(detail); m != nil {
		if m[1] == "1" {
			return "must not be empty", "write something, or leave the field out if it is not needed"
		}
		return "needs at least " + m[1] + " " + strings.TrimSuffix(m[2], " long"), ""
	}
	if m := outOfRange.FindStringSubmatch(detail); m != nil {
		bound := map[string]string{"less": "at most", "greater": "at least"}[m[1]]
		return fmt.Sprintf("%v is out of range", bad), "write a number of " + bound + " " + m[2]
	}
	return detail, ""
}

// nameOf gives what tells a list's element apart.
func nameOf(key any) string {
	m, ok := key.(map[string]any)
	if !ok {
		return fmt.Sprint(key)
	}
	for _, v := range m { // every list of ours has a single key
		return fmt.Sprint(v)
	}
	return "what has no name"
}

// fixForUnknown suggests a field in the place of one that does not exist.
func (s *schema) fixForUnknown(path string) string {
	walk := steps(path)
	unknown, here := walk[len(walk)-1], s.structural
	for _, step := range walk[:len(walk)-1] {
		next, known := here.Properties[step]
		_, notIndex := strconv.Atoi(step)
		switch {
		case known:
			here = &next
		case here.Items != nil && notIndex == nil:
			here = here.Items
		case here.AdditionalProperties != nil && here.AdditionalProperties.Structural != nil:
			here = here.AdditionalProperties.Structural
		default:
			return "remove it or correct its name"
		}
	}
	if _, notIndex := strconv.Atoi(unknown); here.Items != nil && notIndex != nil {
		return last(path[:len(path)-len(unknown)-1]) + " is a list: begin each of its elements with -"
	}
	return suggest(unknown, here)
}

func suggest(unknown string, in *structuralschema.Structural) string {
	known := slices.Sorted(maps.Keys(in.Properties))
	lower := strings.ToLower(unknown)
	for _, k := range known {
		if name := strings.ToLower(k); strings.HasPrefix(name, lower) || strings.HasPrefix(lower, name) {
			return "did you mean " + k + "?"
		}
	}
	if len(known) == 0 || len(known) > 16 {
		return "remove it or correct its name"
	}
	return "known are " + strings.Join(known, ", ")
}
