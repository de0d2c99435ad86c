package definition

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// want is a comment at the end of the line where a problem is expected:
//
//	amount: command.amnt   # want spec.commands[0].emit[0].set.amount: did you mean
//
// The field must be equal, the text must be part of the message or the fix.
// "# warn" expects a warning instead. Several are joined with " && ".
var want = regexp.MustCompile(`# (want|warn) (.*)$`)

type expectation struct {
	line    int
	warning bool
	field   string
	text    string
}

func expectations(t *testing.T, file string) []expectation {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var out []expectation
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		m := want.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		for one := range strings.SplitSeq(m[2], " && ") {
			field, text, ok := strings.Cut(one, ": ")
			if !ok {
				t.Fatalf("%s:%d: write # want field: text", file, n)
			}
			out = append(out, expectation{n, m[1] == "warn", field, text})
		}
	}
	return out
}

// Each file under testdata/lint is one mistake or a few that belong together; it
// is read beside testdata/base.yaml, which declares the store and the runtime.
func TestLintTellsEachMistakeAtItsLineAndField(t *testing.T) {
	files, err := filepath.Glob("testdata/lint/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			_, problems, err := Load([]string{"testdata/base.yaml", file})
			if err != nil {
				t.Fatal(err)
			}
			wanted := expectations(t, file)
			if len(wanted) == 0 {
				t.Fatalf("%s demands nothing; what is sound belongs in testdata/sound", file)
			}
			for _, w := range wanted {
				if !takeOut(&problems, w) {
					t.Errorf("line %d: want %s: …%s…", w.line, w.field, w.text)
				}
			}
			for _, p := range problems {
				t.Errorf("not expected: %s", p)
			}
		})
	}
}

// Each file under testdata/sound shows what passes, without so much as a warning.
func TestLintPassesWhatIsSound(t *testing.T) {
	files, err := filepath.Glob("testdata/sound/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			set, problems, err := Load([]string{"testdata/base.yaml", file})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range problems {
				t.Errorf("not expected: %s", p)
			}
			for _, a := range set.Aggregates {
				if a.Compiled == nil {
					t.Errorf("%s did not compile", a.Object.Name)
				}
			}
			for _, p := range set.Projections {
				if p.Compiled == nil {
					t.Errorf("%s did not compile", p.Object.Name)
				}
			}
			if len(set.Aggregates) == 0 {
				t.Error("the file declares no aggregate")
			}
		})
	}
}

func takeOut(problems *[]Problem, w expectation) bool {
	for i, p := range *problems {
		if p.Line == w.line && p.Field == w.field && p.Warning == w.warning && strings.Contains(p.Message+"; "+p.Fix, w.text) {
			*problems = append((*problems)[:i:i], (*problems)[i+1:]...)
			return true
		}
	}
	return false
}

func TestTheSamplesAreSound(t *testing.T) {
	for _, sample := range []string{"bank", "shop", "seats"} {
		set, problems, err := Load([]string{"../../config/samples/" + sample})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			t.Errorf("%s", p)
		}
		if len(set.Aggregates) != 1 || len(set.Projections) == 0 {
			t.Errorf("%s: %d aggregates and %d projections", sample, len(set.Aggregates), len(set.Projections))
		}
	}
}

func TestAProblemIsOneLineThatEditorsCanFollow(t *testing.T) {
	p := Problem{File: "a.yaml", Line: 3, Column: 5, Object: "Aggregate/account", Field: "spec.shards", Message: "too many", Fix: "write 256"}
	if got, want := p.String(), "a.yaml:3:5: Aggregate/account: spec.shards: too many; write 256"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestPathsThatCannotBeReadAreAnError(t *testing.T) {
	empty := t.TempDir()
	for _, path := range []string{filepath.Join(empty, "none.yaml"), empty} {
		if _, _, err := Load([]string{path}); err == nil {
			t.Errorf("Load(%q) gave no error", path)
		}
	}
}

func TestStepsCutPathsAsTheyAreWritten(t *testing.T) {
	for path, want := range map[string]string{
		"spec.commands[3].emit[0].set.amount": "[spec commands 3 emit 0 set amount]",
		`spec.events[0].apply["a.b"].c`:       "[spec events 0 apply a.b c]",
		"":                                    "[]",
	} {
		if got := fmt.Sprint(steps(path)); got != want {
			t.Errorf("steps(%q) = %s, want %s", path, got, want)
		}
	}
}
