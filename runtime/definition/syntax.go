package definition

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	yamlnode "go.yaml.in/yaml/v3"
)

// errNoMapping is for a document that is a list or a scalar.
var errNoMapping = errors.New("a manifest is a mapping with apiVersion, kind and metadata")

var (
	yamlLine = regexp.MustCompile(`line (\d+)`)
	// lineBefore matches the YAML parser's own findings, as against those of its
	// scanner: their line is the number of lines before the place.
	lineBefore = regexp.MustCompile(`did not find expected (<document start>|node content|'-' indicator|key|',' or)`)
	// bareTag finds a value that begins with ! without quotes, which YAML takes
	// for a tag, and which within braces makes the whole document unreadable.
	bareTag       = regexp.MustCompile(`[A-Za-z]+: *![A-Za-z(]`)
	unknownAnchor = regexp.MustCompile(`unknown anchor '([^']+)'`)
	yamlWrappers  = strings.NewReplacer("error converting YAML to JSON: ", "", "yaml: unmarshal errors:\n  ", "", "yaml: ", "")
)

// notYAML says where and why a document could not be read at all.
func notYAML(file string, text []byte, offset int, err error) Problem {
	said := err.Error()
	line := 1
	switch {
	case yamlLine.MatchString(said):
		line, _ = strconv.Atoi(yamlLine.FindStringSubmatch(said)[1])
		if lineBefore.MatchString(said) {
			line++
		}
	case unknownAnchor.MatchString(said):
		alias := "*" + unknownAnchor.FindStringSubmatch(said)[1]
		line += bytes.Count(text[:max(0, bytes.Index(text, []byte(alias)))], []byte("\n"))
	}
	line = min(line, 1+bytes.Count(text, []byte("\n"))) // a text may end before what is expected
	message := strings.TrimSpace(yamlLine.ReplaceAllString(yamlWrappers.Replace(said), ""))
	message, _, _ = strings.Cut(strings.TrimLeft(message, ": "), "\n")
	return Problem{
		File: file, Line: line + offset, Column: 1,
		Message: "not YAML: " + message, Fix: fixForYAML(message, fromLine(text, line)),
	}
}

// fixForYAML says what most often is behind a YAML library's words.
func fixForYAML(message string, rest []byte) string {
	switch {
	case strings.Contains(message, "expected ',' or"):
		if m := bareTag.Find(rest); m != nil {
			return "quote values that begin with !, such as the one after " + strconv.Quote(string(bytes.TrimSpace(m)))
		}
		return "quote the values: within braces and brackets, text without quotes cannot hold , ? [ ] { or }"
	case strings.Contains(message, "mapping values are not allowed"):
		return "quote a value that holds a colon and a space, or mend the indentation"
	case strings.Contains(message, "cannot start any token"):
		return "indent with spaces, and quote values that begin with @, % or `"
	case unknownAnchor.MatchString(message):
		return "quote values that begin with *"
	case strings.Contains(message, "unexpected end of stream"):
		return "close the quotes"
	case strings.Contains(message, "expected key"), strings.Contains(message, "'-' indicator"):
		return "mend the indentation or the quotes"
	}
	return ""
}

// fromLine gives the text from a line on, the first being 1.
func fromLine(text []byte, line int) []byte {
	for ; line > 1; line-- {
		i := bytes.IndexByte(text, '\n')
		if i < 0 {
			return text
		}
		text = text[i+1:]
	}
	return text
}

// misread finds what YAML can read, but surely not as it was meant: values that
// begin with ! and so are tags, keys that stand twice, and keys that are null.
func (d *document) misread(n *yamlnode.Node, path string) []Problem {
	var problems []Problem
	report := func(at *yamlnode.Node, path, message, fix string) {
		problems = append(problems, Problem{
			File: d.file, Line: at.Line + d.offset, Column: at.Column, Object: d.object(), Field: path, Message: message, Fix: fix,
		})
	}
	if strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!") {
		written := strings.TrimSpace(n.Tag + " " + n.Value)
		report(n, path, fmt.Sprintf("YAML reads %s as a tag, not as a value", written), "quote it: "+strconv.Quote(written))
	}
	if n.Kind != yamlnode.MappingNode {
		for i, element := range n.Content {
			problems = append(problems, d.misread(element, fmt.Sprintf("%s[%d]", path, i))...)
		}
		return problems
	}
	first := map[string]*yamlnode.Node{} // by the key as YAML reads it
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		here := join(path, key.Value)
		read := keyAsRead(key)
		switch earlier := first[read]; {
		case key.Tag == "!!null":
			report(key, here, "YAML reads the key "+strconv.Quote(key.Value)+" as null, which is no key", "quote it, or remove it")
		case earlier == nil || key.Kind != yamlnode.ScalarNode:
			first[read] = key
		case earlier.Value != key.Value:
			report(key, here, fmt.Sprintf("YAML reads the keys %s and %s both as %s", earlier.Value, key.Value, whatIsRead(read)), "quote them")
		default:
			report(key, here, fmt.Sprintf("%s is already set in line %d", key.Value, earlier.Line+d.offset), "remove one of the two")
		}
		problems = append(problems, d.misread(n.Content[i+1], here)...)
	}
	return problems
}
