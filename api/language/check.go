package language

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

var (
	upperName = regexp.MustCompile(`^[A-Z][A-Za-z0-9]{0,62}$`)
	lowerName = regexp.MustCompile(`^[a-z][A-Za-z0-9]{0,62}$`)
)

// notNames are the words of the expression language that no field, let or as
// can have as a name.
var notNames = map[string]bool{"in": true, "true": true, "false": true, "null": true}

// reserved are words that CEL keeps for itself as names of their own; behind a
// dot, and so as a field's name, they are free.
var reserved = map[string]bool{
	"as": true, "break": true, "const": true, "continue": true, "else": true, "for": true, "function": true,
	"if": true, "import": true, "let": true, "loop": true, "package": true, "namespace": true, "return": true,
	"var": true, "void": true, "while": true,
}

// compiler checks the expressions of one definition.
type compiler struct {
	report
	env   *cel.Env
	types *typeSet
	// scoped keeps env with names in scope, for most scopes come many times.
	scoped map[string]*cel.Env
}

// variable is a name in scope.
type variable struct {
	name string
	cel  *types.Type
	// record has the fields to suggest; nil for what is no record.
	record *RecordType
	// used is set when an expression mentions the name.
	used *bool
}

// names is a scope as the checker sees it.
type names []variable

func (n names) with(v ...variable) names { return append(n[:len(n):len(n)], v...) }

func (n names) list() []string {
	out := make([]string, len(n))
	for i := range n {
		out[i] = n[i].name
	}
	return out
}

func (n names) has(name string) bool {
	for i := range n {
		if n[i].name == name {
			return true
		}
	}
	return false
}

func recordVariable(name string, t *RecordType) variable {
	return variable{name: name, cel: t.cel, record: t}
}

// need is what an expression has to give.
type need struct {
	name string
	ok   func(*types.Type) bool
}

var (
	anything   = need{"a value", func(*types.Type) bool { return true }}
	needBool   = typed(scalars["bool"])
	needString = typed(scalars["string"])
	iterable   = need{"a list, or a map with string keys", func(t *types.Type) bool {
		return t.IsDyn() || t.Kind() == types.ListKind || t.Kind() == types.MapKind && assignable(scalars["string"], t.Parameters()[0])
	}}
)

func typed(t *Type) need {
	return need{t.name, func(from *types.Type) bool { return assignable(t, from) }}
}

// forField needs what can go into the field: an optional one takes an optional
// value too.
func forField(f *Field) need {
	n := typed(f.Type)
	if f.Optional {
		n.ok = func(from *types.Type) bool { return assignable(f.Type, unwrapOptional(from)) }
	}
	return n
}

func unwrapOptional(t *types.Type) *types.Type {
	if t.Kind() == types.OpaqueKind && t.TypeName() == types.OptionalType.TypeName() {
		return t.Parameters()[0]
	}
	return t
}

// assignable tells whether a value of CEL's type can be one of ours. What CEL
// cannot tell before it runs (dyn) is looked at when it runs.
func assignable(t *Type, from *types.Type) bool {
	switch from.Kind() {
	case types.DynKind, types.AnyKind, types.TypeParamKind:
		return true
	}
	if t == brokenType {
		return true
	}
	if t.cel.Kind() != from.Kind() {
		return false
	}
	switch t.Kind {
	case ListOf:
		return assignable(t.Elem, from.Parameters()[0])
	case MapOf:
		return assignable(scalars["string"], from.Parameters()[0]) && assignable(t.Elem, from.Parameters()[1])
	case RecordOf:
		return t.Record.Name == from.TypeName()
	}
	return true
}

// describe names a CEL type as definitions do.
func describe(t *types.Type) string {
	switch t.Kind() {
	case types.ListKind:
		return "list<" + describe(t.Parameters()[0]) + ">"
	case types.MapKind:
		if t.Parameters()[0].Kind() == types.StringKind {
			return "map<" + describe(t.Parameters()[1]) + ">"
		}
	case types.TimestampKind:
		return "timestamp"
	case types.DurationKind:
		return "duration"
	case types.StructKind:
		if name, ok := strings.CutPrefix(t.TypeName(), "("); ok {
			return "the whole " + strings.TrimSuffix(name, ")")
		}
		return t.TypeName()
	}
	if inner := unwrapOptional(t); inner != t {
		return "optional " + describe(inner)
	}
	return cel.FormatCELType(t)
}

// expression checks one expression and makes it ready to run. It is nil when
// there is a problem, which is then in the report.
func (c *compiler) expression(path string, text v1alpha1.Expression, scope names, n need) *expression {
	switch size := utf8.RuneCountInString(string(text)); {
	case strings.TrimSpace(string(text)) == "":
		c.error(path, "write a CEL expression", "the expression is empty")
		return nil
	case size > MaxExpression:
		c.error(path, "give parts of it names with let", "the expression has %d characters, at most %d are allowed", size, MaxExpression)
		return nil
	}
	env, err := c.envFor(scope)
	if err != nil {
		c.error(path, "", "the names in scope cannot be declared: %v", err)
		return nil
	}
	parsed, issues := env.Parse(string(text))
	if issues.Err() != nil {
		c.parseProblems(path, string(text), issues)
		return nil
	}
	checked, issues := env.Check(parsed)
	if issues.Err() != nil {
		c.checkProblems(path, string(text), parsed, issues, scope)
		return nil
	}
	markUsed(checked.NativeRep(), scope)
	if !c.recordUpdates(path, checked.NativeRep()) {
		return nil
	}
	if out := checked.OutputType(); !n.ok(out) {
		c.error(path, fixForType(string(text), n.name), "is %s, needs %s", describe(out), n.name)
		return nil
	}
	x, err := newExpression(env, path, checked)
	if err != nil {
		c.error(path, "", "the expression cannot be run: %v", err)
		return nil
	}
	return x
}

// open makes env the one that all expressions extend from now on.
func (c *compiler) open(env *cel.Env) { c.env, c.scoped = env, map[string]*cel.Env{} }

// envFor gives the environment in which a scope's names are declared.
func (c *compiler) envFor(scope names) (*cel.Env, error) {
	var key strings.Builder
	declare := make([]cel.EnvOption, len(scope))
	for i, v := range scope {
		declare[i] = cel.Variable(v.name, v.cel)
		fmt.Fprintf(&key, "%s %s;", v.name, v.cel)
	}
	if env, ok := c.scoped[key.String()]; ok {
		return env, nil
	}
	env, err := c.env.Extend(declare...)
	if err != nil {
		return nil, err
	}
	c.scoped[key.String()] = env
	return env, nil
}

// markUsed notes which names an expression mentions.
func markUsed(a *ast.AST, scope names) {
	ast.PostOrderVisit(a.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.IdentKind {
			return
		}
		for i := range scope {
			if scope[i].used != nil && scope[i].name == e.AsIdent() {
				*scope[i].used = true
			}
		}
	}))
}

// recordUpdates checks r.with('field', v) on records, whose field must be a
// literal and whose value of the field's type.
func (c *compiler) recordUpdates(path string, a *ast.AST) bool {
	ok := true
	ast.PostOrderVisit(a.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind || e.AsCall().FunctionName() != "with" {
			return
		}
		for _, id := range a.GetOverloadIDs(e.ID()) {
			if name, isRecord := strings.CutPrefix(id, recordWithOverload); isRecord {
				ok = c.recordUpdate(path, a, e.AsCall(), c.types.records[name]) && ok
			}
		}
	}))
	return ok
}

func (c *compiler) recordUpdate(path string, a *ast.AST, call ast.CallExpr, r *RecordType) bool {
	args := call.Args()
	field := ""
	if args[0].Kind() == ast.LiteralKind {
		if text, isText := args[0].AsLiteral().Value().(string); isText {
			field = text
		}
	}
	if field == "" {
		if t := a.GetType(call.Target().ID()); t.IsDyn() {
			return true // a map as far as anyone can tell
		}
		c.error(path, "write the name as a literal, such as with('"+r.Fields[0].Name+"', …)", "with: the field of a %s must be a literal", r.Name)
		return false
	}
	f, known := r.Field(field)
	if !known {
		c.error(path, didYouMean(field, r.fieldNames()), "with: %s has no field %s", r.Name, field)
		return false
	}
	if got := a.GetType(args[1].ID()); !forField(f).ok(got) {
		c.error(path, fixForType("", f.Type.name), "with: field %s of %s is %s, needs %s", field, r.Name, describe(got), f.Type.name)
		return false
	}
	return true
}

// fixForType says how to get to a type.
func fixForType(text, want string) string {
	switch want {
	case "string":
		if isPlainWord(text) {
			return fmt.Sprintf("for the text itself write \"'%s'\"", text)
		}
		return "convert with string(…)"
	case "int", "double":
		return "convert with " + want + "(…)"
	case "bool":
		return "compare with something, such as … == 0"
	}
	return ""
}

func isPlainWord(text string) bool {
	return text != "" && strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == ""
}
