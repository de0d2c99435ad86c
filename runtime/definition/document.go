package definition

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	yamlnode "go.yaml.in/yaml/v3"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

// maxFileBytes bounds a manifest: etcd takes objects up to 1.5 MiB.
const maxFileBytes = 3 << 20

// document is one YAML document with both of its readings: the values as
// kubectl reads them (YAML 1.1, through JSON), and the node tree, which knows
// lines and how a scalar was written.
type document struct {
	file   string
	values map[string]any
	root   *yamlnode.Node
	// offset is the number of the file's lines before the document.
	offset int
	// broken are the kind's own rules that the object breaks. They wait until
	// its expressions have been checked, which often tells the same mistake at
	// a closer place.
	broken []Problem
}

// expand turns the paths given by a user into files: a folder stands for the
// .yaml, .yml and .json files directly in it, as kubectl has it.
func expand(paths []string) ([]string, error) {
	var files []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			files = append(files, path)
			continue
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			return nil, err
		}
		found := false
		for _, e := range entries {
			switch filepath.Ext(e.Name()) {
			case ".yaml", ".yml", ".json":
				if !e.IsDir() {
					files = append(files, filepath.Join(path, e.Name()))
					found = true
				}
			}
		}
		if !found {
			return nil, fmt.Errorf("%s holds no .yaml, .yml or .json file", path)
		}
	}
	sort.Strings(files)
	return files, nil
}

// readFile gives a file's documents.
func readFile(file string) ([]document, []Problem) {
	data, err := readBounded(file)
	if err != nil {
		return nil, []Problem{{File: file, Message: err.Error()}}
	}
	return readText(file, data)
}

// readText splits a file's text into documents. Empty ones are left out.
func readText(file string, data []byte) ([]document, []Problem) {
	var docs []document
	var problems []Problem
	for _, part := range split(data) {
		doc, found, ok := readDocument(file, part.text, part.line)
		problems = append(problems, found...)
		if ok {
			docs = append(docs, doc)
		}
	}
	return docs, problems
}

func readBounded(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err == nil && len(data) > maxFileBytes {
		err = fmt.Errorf("the file is larger than %d bytes", maxFileBytes)
	}
	return data, err
}

type part struct {
	text []byte
	line int // lines of the file before text
}

// split cuts at lines that begin with "---", as kubectl does.
func split(data []byte) []part {
	var parts []part
	var current part
	line := 0
	for rest := data; len(rest) > 0; line++ {
		text := rest
		if i := bytes.IndexByte(rest, '\n'); i >= 0 {
			text, rest = rest[:i+1], rest[i+1:]
		} else {
			rest = nil
		}
		if bytes.HasPrefix(text, []byte("---")) {
			parts = append(parts, current)
			current = part{line: line + 1}
			continue
		}
		current.text = append(current.text, text...)
	}
	return append(parts, current)
}

func readDocument(file string, text []byte, offset int) (document, []Problem, bool) {
	doc := document{file: file, offset: offset}
	fail := func(err error) (document, []Problem, bool) {
		return doc, []Problem{notYAML(file, text, offset, err)}, false
	}
	var root yamlnode.Node
	if err := yamlnode.Unmarshal(text, &root); err != nil {
		return fail(err)
	}
	if len(root.Content) == 0 || root.Content[0].Kind == yamlnode.ScalarNode && root.Content[0].Tag == "!!null" {
		return doc, nil, false
	}
	doc.root = root.Content[0]
	if doc.root.Kind != yamlnode.MappingNode {
		return fail(errNoMapping)
	}
	if problems := doc.misread(doc.root, ""); len(problems) > 0 {
		return doc, problems, false
	}
	asJSON, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return fail(err)
	}
	// This decoder keeps whole numbers as int64, which the schemas expect.
	if err := utiljson.Unmarshal(asJSON, &doc.values); err != nil {
		return fail(err)
	}
	return doc, nil, true
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// object is Kind/name, as far as the document says.
func (d *document) object() string {
	kind, name := "", ""
	if n := find(d.root, "kind"); n != nil {
		kind = n.Value
	}
	if n := find(find(d.root, "metadata"), "name"); n != nil {
		name = n.Value
	}
	if name == "" {
		return kind
	}
	return kind + "/" + name
}

// problem makes a Problem about the field at path, at the line of the deepest
// part of path that is there.
func (d *document) problem(path, message, fix string) Problem {
	n := d.locate(path)
	return Problem{
		File: d.file, Line: n.Line + d.offset, Column: n.Column,
		Object: d.object(), Field: path, Message: message, Fix: fix,
	}
}

// locate follows a path such as spec.commands[3].set[a.b].x as far as it goes.
func (d *document) locate(path string) *yamlnode.Node {
	n := d.root
	for _, step := range steps(path) {
		next := find(n, step)
		if next == nil {
			break
		}
		n = next
	}
	return n
}

// at is the node at path; nil when the document does not have it.
func (d *document) at(path string) *yamlnode.Node {
	n := d.root
	for _, step := range steps(path) {
		if n = find(n, step); n == nil {
			return nil
		}
	}
	return n
}

// steps cuts a field path into keys and indexes.
func steps(path string) []string {
	var out []string
	for path != "" {
		switch {
		case path[0] == '.':
			path = path[1:]
		case path[0] == '[':
			end := strings.IndexByte(path, ']')
			if end < 0 {
				return append(out, path[1:])
			}
			out = append(out, strings.Trim(path[1:end], `"`))
			path = path[end+1:]
		default:
			end := strings.IndexAny(path, ".[")
			if end < 0 {
				return append(out, path)
			}
			out = append(out, path[:end])
			path = path[end:]
		}
	}
	return out
}

// find gives a mapping's value or a sequence's element; nil when there is none.
func find(n *yamlnode.Node, step string) *yamlnode.Node {
	if n == nil {
		return nil
	}
	switch n.Kind {
	case yamlnode.AliasNode:
		return find(n.Alias, step)
	case yamlnode.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == step {
				return n.Content[i+1]
			}
		}
	case yamlnode.SequenceNode:
		if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(n.Content) {
			return n.Content[i]
		}
	}
	return nil
}
