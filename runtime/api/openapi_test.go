package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// described is an OpenAPI document, ready to hold answers to it.
type described struct {
	document object
	compiler *jsonschema.Compiler
	compiled map[string]*jsonschema.Schema
}

func describe(t testing.TB, d Definitions) *described {
	t.Helper()
	var buffer bytes.Buffer
	if err := encode(&buffer, document31(d, "1.2.3")); err != nil {
		t.Fatal(err)
	}
	parsed, err := jsonschema.UnmarshalJSON(&buffer)
	if err != nil {
		t.Fatal(err)
	}
	root, ok := parsed.(object)
	if !ok {
		t.Fatal("the document is no object")
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource("file:///openapi.json", root); err != nil {
		t.Fatal(err)
	}
	return &described{document: root, compiler: c, compiled: map[string]*jsonschema.Schema{}}
}

// schema compiles the schema at a place of the document.
func (d *described) schema(t testing.TB, steps ...string) *jsonschema.Schema {
	t.Helper()
	escaper := strings.NewReplacer("~", "~0", "/", "~1")
	var b strings.Builder
	for _, s := range steps {
		b.WriteString("/" + url.PathEscape(escaper.Replace(s)))
	}
	place := "file:///openapi.json#" + b.String()
	if s := d.compiled[place]; s != nil {
		return s
	}
	s, err := d.compiler.Compile(place)
	if err != nil {
		t.Fatalf("schema at %s: %v", strings.Join(steps, " / "), err)
	}
	d.compiled[place] = s
	return s
}

func find(t testing.TB, from any, steps ...string) any {
	t.Helper()
	for _, s := range steps {
		o, ok := from.(object)
		if !ok || o[s] == nil {
			t.Fatalf("the document has nothing at %s", strings.Join(steps, " / "))
		}
		from = o[s]
	}
	return from
}

// template finds the path of the document that a request's path belongs to, ""
// when none does. One with literals only wins.
func (d *described) template(t testing.TB, path string) string {
	got := strings.Split(path, "/")
	found := ""
	paths, _ := find(t, d.document, "paths").(object)
	for candidate := range paths {
		want := strings.Split(candidate, "/")
		fits := len(want) == len(got)
		for i := 0; fits && i < len(want); i++ {
			fits = want[i] == got[i] || strings.HasPrefix(want[i], "{")
		}
		if fits && (found == "" || !strings.Contains(candidate, "{")) {
			found = candidate
		}
	}
	return found
}

// holds checks that an answer is one that the document tells of. Calls that are
// not in the document (wrong methods, unknown names) are held to Problem.
func (d *described) holds(t testing.TB, method, path string, a answer) {
	t.Helper()
	mediaType, code := a.header.Get("Content-Type"), strconv.Itoa(a.code)
	steps := []string{"components", "schemas", "Problem"}
	if template := d.template(t, path); template != "" {
		operations, _ := find(t, d.document, "paths", template).(object)
		if operation, ok := operations[strings.ToLower(method)].(object); ok {
			responses, _ := operation["responses"].(object)
			response, ok := responses[code].(object)
			if !ok {
				t.Errorf("%s %s answered %s, of which the document does not tell", method, path, code)
				return
			}
			steps = []string{"paths", template, strings.ToLower(method), "responses", code}
			if target, ok := response["$ref"].(string); ok {
				steps = strings.Split(strings.TrimPrefix(target, "#/"), "/")
			}
			find(t, d.document, append(slices.Clone(steps), "content", mediaType)...)
			steps = append(steps, "content", mediaType, "schema")
		}
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(a.body))
	if err != nil {
		t.Errorf("%s %s answered %q, which is no JSON: %v", method, path, a.body, err)
		return
	}
	if err := d.schema(t, steps...).Validate(value); err != nil {
		t.Errorf("%s %s answered %s, which is not as the document says: %v", method, path, a.body, err)
	}
}

var sampleNames = []string{"bank", "shop", "seats"}

func TestTheDocumentIsOpenAPI(t *testing.T) {
	for _, name := range sampleNames {
		t.Run(name, func(t *testing.T) {
			definitions := samples(t, name)
			d := describe(t, definitions)
			if got := find(t, d.document, "openapi"); got != "3.1.0" {
				t.Errorf("openapi: %v", got)
			}
			schemas, _ := find(t, d.document, "components", "schemas").(object)
			for schema := range schemas {
				if !regexp.MustCompile(`^[a-zA-Z0-9._-]+$`).MatchString(schema) {
					t.Errorf("the schema's name %q is none", schema)
				}
				d.schema(t, "components", "schemas", schema)
			}
			ids := map[string]bool{}
			paths, _ := find(t, d.document, "paths").(object)
			for path, item := range paths {
				operations, _ := item.(object)
				for method := range operations {
					checkOperation(t, d, path, method)
					id := fmt.Sprint(find(t, item, method, "operationId"))
					if ids[id] {
						t.Errorf("two operations are called %s", id)
					}
					ids[id] = true
				}
			}
			for _, a := range definitions.Aggregates {
				for _, c := range a.Spec.Commands {
					if !ids[a.Name+"."+c.Name] {
						t.Errorf("command %s of %s is not described", c.Name, a.Name)
					}
				}
			}
		})
	}
}

var variable = regexp.MustCompile(`\{([a-z]+)\}`)

// checkOperation holds one operation to the rules of the specification that a
// schema cannot tell: every reference leads somewhere, every variable of the path
// is a required parameter, every schema compiles, every response has words.
func checkOperation(t *testing.T, d *described, path, method string) {
	t.Helper()
	operation, _ := find(t, d.document, "paths", path, method).(object)
	variables := map[string]bool{}
	seen := map[string]bool{}
	parameters, _ := operation["parameters"].([]any)
	for i, p := range parameters {
		steps := []string{"paths", path, method, "parameters", strconv.Itoa(i)}
		parameter, _ := p.(object)
		if target, ok := parameter["$ref"].(string); ok {
			steps = strings.Split(strings.TrimPrefix(target, "#/"), "/")
			parameter, _ = find(t, d.document, steps...).(object)
		}
		d.schema(t, append(steps, "schema")...)
		name, where := fmt.Sprint(parameter["name"]), fmt.Sprint(parameter["in"])
		if seen[where+" "+name] {
			t.Errorf("%s %s has the parameter %s twice", method, path, name)
		}
		seen[where+" "+name] = true
		if where == "path" {
			variables[name] = true
			if parameter["required"] != true {
				t.Errorf("%s %s: the path's %s must be required", method, path, name)
			}
		}
	}
	for _, m := range variable.FindAllStringSubmatch(path, -1) {
		if !variables[m[1]] {
			t.Errorf("%s %s does not declare {%s}", method, path, m[1])
		}
		delete(variables, m[1])
	}
	if len(variables) > 0 {
		t.Errorf("%s %s declares variables that its path lacks: %v", method, path, variables)
	}
	if operation["requestBody"] != nil {
		d.schema(t, "paths", path, method, "requestBody", "content", "application/json", "schema")
	}
	responses, _ := operation["responses"].(object)
	for code, r := range responses {
		steps := []string{"paths", path, method, "responses", code}
		response, _ := r.(object)
		if target, ok := response["$ref"].(string); ok {
			steps = strings.Split(strings.TrimPrefix(target, "#/"), "/")
			response, _ = find(t, d.document, steps...).(object)
		}
		if response["description"] == nil || response["description"] == "" {
			t.Errorf("%s %s: response %s has no description", method, path, code)
		}
		content, _ := response["content"].(object)
		for mediaType := range content {
			d.schema(t, append(slices.Clone(steps), "content", mediaType, "schema")...)
		}
	}
}

func TestTheDocumentTellsWhichBodiesACommandTakes(t *testing.T) {
	d := describe(t, samples(t, "bank"))
	tests := []struct {
		name, command, body string
		valid               bool
	}{
		{"all fields", "Withdraw", `{"amount":250,"channel":"online"}`, true},
		{"a field with a default may be left out", "Withdraw", `{"amount":250}`, true},
		{"null is left out", "Withdraw", `{"amount":250,"channel":null}`, true},
		{"an int may be a string", "Withdraw", `{"amount":"9007199254740993"}`, true},
		{"an int is no fraction", "Withdraw", `{"amount":1.5}`, false},
		{"an int is no other string", "Withdraw", `{"amount":"much"}`, false},
		{"a field without a default is required", "Withdraw", `{"channel":"atm"}`, false},
		{"unknown fields are refused", "Withdraw", `{"amount":250,"currency":"EUR"}`, false},
		{"maps of records", "SetLimits", `{"limits":{"atm":{"single":100}}}`, true},
		{"maps of anything else", "SetLimits", `{"limits":{"atm":100}}`, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := d.schema(t, "components", "schemas", "account.command."+tt.command)
			value, err := jsonschema.UnmarshalJSON(strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Validate(value); (err == nil) != tt.valid {
				t.Errorf("%s %s: valid %t, want %t (%v)", tt.command, tt.body, err == nil, tt.valid, err)
			}
		})
	}
}

func TestTheDocumentNamesTheAuthorsReasons(t *testing.T) {
	d := describe(t, samples(t, "bank"))
	got := fmt.Sprint(find(t, d.document, "paths", "/v1/aggregates/account/{entity}/Withdraw", "post", "responses", "409", "description"))
	for _, reason := range []string{"NotOpen", "OverLimit", "InsufficientFunds"} {
		if !strings.Contains(got, reason) {
			t.Errorf("the description of 409 does not name %s: %s", reason, got)
		}
	}
}

func TestTheDocumentIsServedAndAlwaysTheSame(t *testing.T) {
	r := serveFakes(t, nil)
	first, second := r.ask(t, "GET", "/openapi.json", ""), r.ask(t, "GET", "/openapi.json", "")
	if first.code != http.StatusOK || first.body != second.body {
		t.Errorf("%d, and the second one differs: %s", first.code, cmp.Diff(first.body, second.body))
	}
	var served object
	if err := json.Unmarshal([]byte(first.body), &served); err != nil {
		t.Fatal(err)
	}
	if got := find(t, served, "info", "version"); got != "1.2.3" {
		t.Errorf("version %v", got)
	}
}
