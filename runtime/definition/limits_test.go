package definition

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// times writes a line n times, with the number in the place of %d.
func times(n int, line string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintln(&b, strings.ReplaceAll(line, "%d", fmt.Sprint(i)))
	}
	return b.String()
}

// emitters are commands that emit the events E0 and up, so that none is idle.
func emitters(events int) string {
	var b strings.Builder
	for i := range events {
		if i%16 == 0 {
			fmt.Fprintf(&b, "  - name: Emit%d\n    emit:\n", i)
		}
		fmt.Fprintf(&b, "    - {event: E%d}\n", i)
	}
	return b.String()
}

// aggregateOf is a manifest with the parts given, one of which is at its limit.
// Each part has the lines below its key.
func aggregateOf(parts map[string]string) string {
	whole := map[string]string{
		"shards":  " 1",
		"types":   " []",
		"state":   " [{name: count, type: int}]",
		"fields":  " [{name: by, type: int}]",
		"let":     " [{name: more, value: command.by + 1}]",
		"reject":  " [{when: more > 5, reason: TooMany}]",
		"emit":    " [{event: Added}]",
		"more":    "",
		"apply":   " {count: state.count + 1}",
		"columns": " [{name: count, type: int}]",
		"rules":   " [{event: Added, set: {count: row.count + 1}}]",
		"events":  "",
	}
	for name, lines := range parts {
		whole[name] = lines
	}
	text := `apiVersion: leftfold.io/v1alpha1
kind: Aggregate
metadata: {name: counter}
spec:
  runtimeRef: {name: pool}
  shards:{shards}
  types:{types}
  state:{state}
  commands:
  - name: Add
    fields:{fields}
    let:{let}
    reject:{reject}
    emit:{emit}
{more}
  events:
  - name: Added
    apply:{apply}
{events}
---
apiVersion: leftfold.io/v1alpha1
kind: Projection
metadata: {name: counts}
spec:
  sources: [{aggregate: counter}]
  table:
    key: {name: counter, type: string, value: meta.entity}
    columns:{columns}
    apply:{rules}
`
	for name, lines := range whole {
		text = strings.ReplaceAll(text, "{"+name+"}", lines)
	}
	return text
}

func TestLimitsMayBeReachedAndNotPassed(t *testing.T) {
	for _, limit := range []struct {
		name string
		most int
		// parts gives the manifest with n of them.
		parts func(n int) map[string]string
		// field is where one more is told, in the first line that begins with line.
		field, line, says string
	}{
		{
			"64 commands", 64,
			func(n int) map[string]string {
				return map[string]string{"more": times(n-1, "  - {name: Add%d, emit: [{event: Added}]}")}
			},
			"spec.commands", "  - name: Add", "has 65 items, at most 64 are allowed",
		},
		{
			"64 types", 64,
			func(n int) map[string]string {
				return map[string]string{"types": "\n" + times(n, "  - {name: T%d, fields: [{name: a, type: int}]}")}
			},
			"spec.types", "  - {name: T0,", "has 65 items, at most 64 are allowed",
		},
		{
			"64 fields of a type", 64,
			func(n int) map[string]string {
				return map[string]string{"types": "\n  - name: T\n    fields:\n" + times(n, "    - {name: a%d, type: int}")}
			},
			"spec.types[0].fields", "    - {name: a0,", "has 65 items, at most 64 are allowed",
		},
		{
			"64 fields of the state", 64,
			func(n int) map[string]string {
				return map[string]string{
					"state": "\n" + times(n, "  - {name: a%d, type: int}"),
					"apply": "\n" + times(64, `      a%d: "1"`),
				}
			},
			"spec.state", "  - {name: a0,", "has 65 items, at most 64 are allowed",
		},
		{
			"64 fields of a command", 64,
			func(n int) map[string]string {
				return map[string]string{"fields": "\n    - {name: by, type: int}\n" + times(n-1, "    - {name: a%d, type: int}")}
			},
			"spec.commands[0].fields", "    - {name: by,", "has 65 items, at most 64 are allowed",
		},
		{
			"64 let names", 64,
			func(n int) map[string]string {
				return map[string]string{
					"let":    "\n    - {name: more, value: command.by}\n" + times(n-1, "    - {name: a%d, value: more}"),
					"reject": ` [{when: "` + strings.TrimSuffix(strings.ReplaceAll(times(63, "a%d > 1 ||"), "\n", " "), "|| ") + `", reason: TooMany}]`,
				}
			},
			"spec.commands[0].let", "    - {name: more,", "has 65 items, at most 64 are allowed",
		},
		{
			"16 rejects", 16,
			func(n int) map[string]string {
				return map[string]string{"reject": "\n" + times(n, "    - {when: more > %d, reason: R%d}")}
			},
			"spec.commands[0].reject", "    - {when: more > 0,", "has 17 items, at most 16 are allowed",
		},
		{
			"16 emits", 16,
			func(n int) map[string]string {
				return map[string]string{"emit": "\n" + times(n, "    - {event: Added, when: more > %d}")}
			},
			"spec.commands[0].emit", "    - {event: Added, when: more > 0}", "has 17 items, at most 16 are allowed",
		},
		{
			"128 events", 128,
			func(n int) map[string]string {
				return map[string]string{
					"events": times(n-1, "  - {name: E%d}"),
					"more":   emitters(127),
				}
			},
			"spec.events", "  - name: Added", "has 129 items, at most 128 are allowed",
		},
		{
			"64 fields of an event", 64,
			func(n int) map[string]string {
				return map[string]string{"events": "    fields:\n" + times(n, "    - {name: a%d, type: int, optional: true}")}
			},
			"spec.events[0].fields", "    - {name: a0,", "has 65 items, at most 64 are allowed",
		},
		{
			"64 expressions in a set", 64,
			func(n int) map[string]string {
				return map[string]string{
					"events": "    fields:\n" + times(64, "    - {name: a%d, type: int}"),
					"emit":   "\n    - event: Added\n      set:\n" + times(n, `        a%d: "1"`),
				}
			},
			"spec.commands[0].emit[0].set", `        a0: "1"`, "has 65 items, at most 64 are allowed",
		},
		{
			"256 shards", 256,
			func(n int) map[string]string { return map[string]string{"shards": fmt.Sprint(" ", n)} },
			"spec.shards", "  shards:", "257 is out of range; write a number of at most 256",
		},
		{
			"4,096 characters of an expression", 4096,
			func(n int) map[string]string {
				return map[string]string{"apply": "\n" +
					`      count: "state.count + size('` + strings.Repeat("é", n-len("state.count + size('')")) + `')"`}
			},
			"spec.events[0].apply.count", "      count:", "is too long; at most 4096 characters are allowed",
		},
		{
			"64 columns", 64,
			func(n int) map[string]string {
				return map[string]string{
					"columns": "\n    - {name: count, type: int}\n" + times(n-1, "    - {name: a%d, type: int}"),
					"rules":   "\n    - event: Added\n      set:\n        count: row.count + 1\n" + times(63, `        a%d: "1"`),
				}
			},
			"spec.table.columns", "    - {name: count,", "has 65 items, at most 64 are allowed",
		},
		{
			"256 rules", 256,
			func(n int) map[string]string {
				return map[string]string{"rules": "\n" + times(n, "    - {event: Added, when: row.count == %d, set: {count: row.count + 1}}")}
			},
			"spec.table.apply", "    - {event: Added, when: row.count == 0,", "has 257 items, at most 256 are allowed",
		},
	} {
		t.Run(limit.name, func(t *testing.T) {
			for _, p := range lint(t, aggregateOf(limit.parts(limit.most))) {
				t.Errorf("%d: %s", limit.most, p)
			}
			text := aggregateOf(limit.parts(limit.most + 1))
			at := strings.Index(text, limit.line)
			if at < 0 {
				t.Fatalf("no line %q", limit.line)
			}
			w := expectation{line: 1 + strings.Count(text[:at], "\n"), field: limit.field, text: limit.says}
			problems := lint(t, text)
			if !takeOut(&problems, w) || len(problems) > 0 {
				t.Errorf("%d: want %s in line %d: %s, got %v", limit.most+1, w.field, w.line, w.text, lint(t, text))
			}
		})
	}
}

// lint reads a manifest beside the base.
func lint(t testing.TB, text string) []Problem {
	t.Helper()
	file := filepath.Join(t.TempDir(), "manifest.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, problems, err := Load([]string{"testdata/base.yaml", file})
	if err != nil {
		t.Fatal(err)
	}
	return problems
}
