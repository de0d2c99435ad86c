package language

import (
	"fmt"
	"regexp"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
)

// This file turns CEL's complaints into sentences that name the fix.

var (
	undeclared  = regexp.MustCompile(`^undeclared reference to '([^']*)'`)
	noField     = regexp.MustCompile(`^undefined field '([^']*)'`)
	noOverload  = regexp.MustCompile(`^found no matching overload for '([^']*)' applied to '(.*)'$`)
	badSyntax   = regexp.MustCompile(`^Syntax error: `)
	wordOfCEL   = regexp.MustCompile(`reserved identifier: (\w+)`)
	internal    = regexp.MustCompile(`\((state|row|meta|command|event)( \w+)?\)`)
	listOf      = regexp.MustCompile(`list\(([^()]+)\)`)
	mapOf       = regexp.MustCompile(`map\(string, ([^()]+)\)`)
	celWrappers = strings.NewReplacer(
		"google.protobuf.Timestamp", "timestamp", "google.protobuf.Duration", "duration", " (in container '')", "")
)

// parseProblems reports what is no CEL.
func (c *compiler) parseProblems(path, text string, issues *cel.Issues) {
	for i, e := range issues.Errors() {
		if i == 2 {
			return // what follows a syntax error is mostly its echo
		}
		fix := ""
		message := badSyntax.ReplaceAllString(e.Message, "")
		if m := wordOfCEL.FindStringSubmatch(message); m != nil {
			message, fix = m[1]+" is a word that CEL reserves", "choose another name"
		}
		if strings.Contains(message, "recursion") {
			c.error(path, "give parts of it names with let", "the expression nests deeper than %d levels", maxDepthOfExpression)
			return
		}
		c.error(path, fix, "is no expression: %s%s", message, place(text, e.Location.Line(), e.Location.Column()))
	}
}

// place tells where in an expression, when it is long enough to look for it.
func place(text string, line, column int) string {
	if strings.Contains(text, "\n") {
		return fmt.Sprintf(", at line %d, column %d of the expression", line, column+1)
	}
	return fmt.Sprintf(", at column %d", column+1)
}

// checkProblems reports what CEL's type checker found.
func (c *compiler) checkProblems(path, text string, parsed *cel.Ast, issues *cel.Issues, scope names) {
	seen := map[string]bool{}
	for _, e := range issues.Errors() {
		message, fix := c.explain(text, e, parsed.NativeRep(), scope)
		if seen[message] {
			continue
		}
		seen[message] = true
		if strings.TrimSpace(text) != text || len(text) > 40 {
			message += place(text, e.Location.Line(), e.Location.Column())
		}
		c.error(path, fix, "%s", message)
	}
}

func (c *compiler) explain(text string, e *cel.Error, parsed *ast.AST, scope names) (message, fix string) {
	if m := undeclared.FindStringSubmatch(e.Message); m != nil {
		return c.explainUndeclared(text, m[1], scope)
	}
	if m := noField.FindStringSubmatch(e.Message); m != nil {
		fields := c.fieldsBehind(e.ExprID, parsed, scope)
		return fmt.Sprintf("there is no field %s", m[1]), didYouMean(m[1], fields)
	}
	if m := noOverload.FindStringSubmatch(e.Message); m != nil {
		return fmt.Sprintf("%s cannot be applied to %s", operatorName(m[1]), plainTypes(m[2])),
			"both sides must have types that go together; convert with int(…), double(…) or string(…)"
	}
	return plainTypes(celWrappers.Replace(e.Message)), ""
}

func (c *compiler) explainUndeclared(text, name string, scope names) (message, fix string) {
	switch {
	case text == name && isPlainWord(name):
		fix = fmt.Sprintf("for the text itself write \"'%s'\"", name)
		if near := nearest(name, scope.list()); near != "" {
			fix = "did you mean " + near + "? " + fix
		}
	default:
		known := scope.list()
		for fn := range c.env.Functions() {
			if isPlainWord(fn) {
				known = append(known, fn)
			}
		}
		for t := range c.types.records {
			known = append(known, t)
		}
		if near := nearest(name, known); near != "" {
			fix = "did you mean " + near + "?"
		} else if len(scope) > 0 {
			fix = "in scope are " + strings.Join(scope.list(), ", ")
		} else {
			fix = "no names are in scope here, only literals and functions"
		}
	}
	return name + " is not known here", fix
}

// fieldsBehind gives the fields of what a selection stands behind.
func (c *compiler) fieldsBehind(id int64, parsed *ast.AST, scope names) []string {
	var fields []string
	ast.PostOrderVisit(parsed.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.ID() == id && e.Kind() == ast.SelectKind {
			if operand := e.AsSelect().Operand(); operand.Kind() == ast.IdentKind {
				for i := range scope {
					if scope[i].name == operand.AsIdent() && scope[i].record != nil {
						fields = scope[i].record.fieldNames()
					}
				}
			}
		}
		if e.ID() == id && e.Kind() == ast.StructKind {
			if r, ok := c.types.records[e.AsStruct().TypeName()]; ok {
				fields = r.fieldNames()
			}
		}
	}))
	if fields == nil {
		for _, r := range c.types.records {
			fields = append(fields, r.fieldNames()...)
		}
	}
	return fields
}

// operatorName gives _+_ as +.
func operatorName(name string) string {
	switch name {
	case "_[_]":
		return "[]"
	case "_?_:_":
		return "?:"
	}
	return strings.Trim(name, "_@")
}

// plainTypes writes the names of types that only the checker knows as words.
func plainTypes(s string) string {
	s = internal.ReplaceAllString(celWrappers.Replace(s), "$1")
	for range maxNesting {
		s = listOf.ReplaceAllString(mapOf.ReplaceAllString(s, "map<$1>"), "list<$1>")
	}
	return s
}
