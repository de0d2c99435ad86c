package cli_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func TestTheClientShowsWhatTheRuntimeAnswers(t *testing.T) {
	p := serve(t, "-f", bank, "--data", t.TempDir())
	sent := p.must(t, "send", "account", "alice", "Open", "owner=Alice", "--id", "o-1")
	holds(t, sent, "alice is at version 1\n", "VERSION", "Opened", `{"owner":"Alice"}`)
	again := p.must(t, "send", "account", "alice", "Open", "owner=Alice", "--id", "o-1")
	holds(t, again, "alice is at version 1 (the remembered answer to this key)")
	p.must(t, "send", "account", "alice", "Deposit", "amount=500", "--expect", "1")
	p.must(t, "send", "account", "a/b c", "Open", "owner=5", "--expect", "0") // text, though it looks like a number
	last := p.must(t, "send", "account", "alice", "Deposit", "amount=25", "-o", "json")
	var answer struct{ Position string }
	if err := json.Unmarshal([]byte(last), &answer); err != nil || answer.Position == "" {
		t.Fatalf("%v: %s", err, last)
	}
	for _, c := range []struct {
		sentence string
		args     []string
		has      []string
	}{
		{"the state", []string{"get", "account", "alice"}, []string{"alice is at version 3, of 2", "FIELD", "VALUE", "balance  525", "owner    Alice"}},
		{"an earlier state", []string{"get", "account", "alice", "--version", "2"}, []string{"balance  500"}},
		{"the state at a time", []string{"get", "account", "alice", "--at", "2999-01-01T00:00:00Z"}, []string{"version 3"}},
		{"an id with a slash and a space", []string{"get", "account", "a/b c"}, []string{"a/b c is at version 1", "owner    5"}},
		{"the history", []string{"events", "account", "alice"}, []string{"VERSION", "Opened", "Deposited  {\"amount\":500}"}},
		{"the history from a version", []string{"events", "account", "alice", "--after", "2"}, []string{`{"amount":25}`}},
		{"all events", []string{"events", "account"}, []string{"seq 1  ", "alice v3  Deposited", "a/b c v1  Opened"}},
		{"rows", []string{"query", "balances", "balance>=100", "owner!=Bob", "--order", "-balance", "--after", answer.Position, "--wait", "10s"}, []string{"KEY", "BALANCE", "OWNER", "alice  525"}},
		{"one row", []string{"query", "balances", "--key", "alice"}, []string{"alice  525"}},
		{"rows in pages", []string{"query", "balances", "--limit", "1", "--order", "balance"}, []string{"a/b c  0", "there are more: --cursor "}},
		{"the shards", []string{"shards"}, []string{"AGGREGATE", "account", "61440-65535", "serving"}},
		{"the verdict", []string{"verify"}, []string{"account", "16", "2", "4", "ok"}},
		{"an action", []string{"projection", "pause", "balances"}, []string{"balances: pause accepted"}},
		{"another action", []string{"projection", "resume", "balances"}, []string{"balances: resume accepted"}},
		{"a measurement", []string{"bench", "--aggregate", "account", "--prepare", "Open owner=bench", "--command", "Deposit", "amount=1", "--entities", "5", "--connections", "2", "--duration", "100ms"}, []string{"PER SECOND", "P99.9 MS"}},
		{"a measurement of what is due in time", []string{"bench", "--aggregate", "account", "--prepare", "Open owner=bench", "--command", "Deposit", "amount=1", "--entities", "5", "--connections", "2", "--duration", "200ms", "--rate", "50", "-o", "json"}, []string{`"commands": 10,`, `"errors": {}`}},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			holds(t, p.must(t, c.args...), c.has...)
			asJSON, asYAML := p.must(t, append(c.args, "-o", "json")...), p.must(t, append(c.args, "-o", "yaml")...)
			if first, _, _ := strings.Cut(asJSON, "\n"); !json.Valid([]byte(asJSON)) && !json.Valid([]byte(first)) {
				t.Errorf("neither JSON nor lines of it: %s", asJSON)
			}
			var value any
			if err := yaml.Unmarshal([]byte(strings.Split(strings.TrimPrefix(asYAML, "---\n"), "---\n")[0]), &value); err != nil || value == nil {
				t.Errorf("no YAML (%v): %s", err, asYAML)
			}
			if strings.HasPrefix(asYAML, "{") {
				t.Errorf("YAML that is JSON: %s", asYAML)
			}
		})
	}
}

func TestAWordIsReadByTheDeclaredTypeOfItsField(t *testing.T) {
	p := serve(t, "-f", "testdata/thing", "--data", t.TempDir())
	p.must(t, "send", "thing", "t", "Set", "text=true", "number=-9007199254740993", "done=true", "pause=90s", `tags=["a","<b>"]`)
	state := p.must(t, "get", "thing", "t", "-o", "json")
	holds(t, state, `"text": "true"`, `"number": "-9007199254740993"`, `"done": true`, `"pause": "90s"`, `"<b>"`)
	holds(t, p.must(t, "get", "thing", "t", "-o", "yaml"), "text: \"true\"", `number: "-9007199254740993"`, "done: true", "pause: 90s", "- a\n")
	p.must(t, "send", "thing", "t", "Set", "text=a=b", `number="7"`, "done=false", "pause=0s", "tags=[]")
	holds(t, p.must(t, "get", "thing", "t", "-o", "json"), `"text": "a=b"`, `"number": 7`)
	refused := p.client(t, "send", "thing", "t", "Set", "text=x", "number=many", "done=true", "pause=1s", "tags=[]")
	if refused.code != 1 {
		t.Errorf("exit %d", refused.code)
	}
	holds(t, refused.errors, "400 WrongType: number")
}

func TestExitCodesTellDoneRefusedAndWrongUse(t *testing.T) {
	p := serve(t, "-f", bank, "--data", t.TempDir())
	p.must(t, "send", "account", "alice", "Open", "owner=Alice")
	for _, c := range []struct {
		sentence string
		args     []string
		code     int
		says     string
	}{
		{"a rejection is refused, in the author's words", []string{"send", "account", "alice", "Withdraw", "amount=5"}, 1, "409 InsufficientFunds: balance 0, needed 105"},
		{"a wrong version is refused", []string{"send", "account", "alice", "Deposit", "amount=5", "--expect", "7"}, 1, "(the version is 1)"},
		{"an unknown entity is refused", []string{"get", "account", "bob"}, 1, "404 NoSuchEntity"},
		{"an unknown aggregate is refused", []string{"events", "nothing"}, 1, "404 UnknownName"},
		{"an unknown projection is refused", []string{"projection", "rebuild", "nothing"}, 1, "404 UnknownName"},
		{"a server that is not there is a failure", []string{"shards", "--server", "http://127.0.0.1:1"}, 1, "connection refused"},
		{"a missing argument is wrong use", []string{"send", "account", "alice"}, 2, "requires at least 3 arg"},
		{"an unknown command is wrong use", []string{"sned"}, 2, "unknown command"},
		{"an unknown flag is wrong use", []string{"get", "account", "alice", "--edition", "1"}, 2, "unknown flag"},
		{"version and time exclude each other", []string{"get", "account", "alice", "--version", "1", "--at", "x"}, 2, "version"},
		{"a word that is no field is wrong use", []string{"send", "account", "alice", "Deposit", "5"}, 2, "write field=value"},
		{"a field that is given twice is wrong use", []string{"send", "account", "alice", "Deposit", "amount=5", "amount=6"}, 2, "given twice"},
		{"an empty expectation is not none", []string{"send", "account", "alice", "Deposit", "amount=5", "--expect", ""}, 1, "400 InvalidParameter: If-Match"},
		{"an empty key is not none", []string{"send", "account", "alice", "Deposit", "amount=5", "--id", ""}, 1, "400 InvalidParameter: Idempotency-Key"},
		{"an empty time is not now", []string{"get", "account", "alice", "--at", ""}, 1, "400 InvalidParameter: at"},
		{"an empty position is not waited for", []string{"query", "balances", "--after", ""}, 1, "400 InvalidParameter: after"},
		{"an empty key is not all rows", []string{"query", "balances", "--key", ""}, 1, "404 NoSuchEntity"},
		{"an empty version is not the beginning", []string{"events", "account", "alice", "--after", ""}, 2, "--after is empty"},
		{"a condition that is given twice is wrong use", []string{"query", "balances", "balance>1", "balance>2"}, 2, "given twice"},
		{"a word that is no condition is wrong use", []string{"query", "balances", "balance"}, 2, "is no condition"},
		{"to follow one entity is wrong use", []string{"events", "account", "alice", "--follow"}, 2, "whole aggregate"},
		{"an unknown output is wrong use", []string{"shards", "-o", "xml"}, 2, "must be table, json or yaml"},
		{"a log level that there is not is wrong use", []string{"dev", "-f", bank, "--log-level", "loud"}, 2, "--log-level"},
		{"two places for events are wrong use", []string{"dev", "-f", bank, "--data", "x", "--store", "postgres://y"}, 2, "[data store]"},
		{"dev without files is wrong use", []string{"dev"}, 2, "say which files"},
		{"lint without files is wrong use", []string{"lint"}, 2, "say which files"},
		{"files that are not there are refused", []string{"lint", "-f", "nothing"}, 1, "nothing"},
		{"dev reads every file that a shell's pattern gave", []string{"dev", "-f", bank, "nothing"}, 1, "nothing"},
		{"dev refuses files that are not there", []string{"dev", "-f", "nothing"}, 1, "nothing"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			args := c.args
			if !strings.Contains(strings.Join(args, " "), "--server") && args[0] != "dev" && args[0] != "lint" && args[0] != "sned" {
				args = append(args, "--server", p.url)
			}
			s := leftfold(t, args...)
			if s.code != c.code || s.out != "" {
				t.Errorf("exit %d, want %d; on stdout: %s", s.code, c.code, s.out)
			}
			holds(t, s.errors, "leftfold: ", c.says)
		})
	}
}

func TestAsAPluginOfKubectlItCallsItselfSo(t *testing.T) {
	plugin := filepath.Join(t.TempDir(), "kubectl-leftfold") // kubectl runs it by its whole path
	if err := os.Symlink(binary, plugin); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), plugin, "get", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	holds(t, string(out), "Usage:\n  kubectl leftfold get AGGREGATE ENTITY")
	holds(t, leftfold(t, "get", "--help").out, "Usage:\n  leftfold get AGGREGATE ENTITY")
}

func TestAProjectionIsToldWhatToDo(t *testing.T) {
	for _, args := range [][]string{{"projection"}, {"projection", "polish"}, {"projection", "polish", "balances"}} {
		s := leftfold(t, args...)
		if s.code != 2 || s.out != "" {
			t.Errorf("%v: exit %d, want 2; on stdout: %s", args, s.code, s.out)
		}
		holds(t, s.errors, "leftfold: ", "rebuild, pause, resume or retry")
	}
}

func TestABenchThatMeasuredNothingFailsAndTellsWhy(t *testing.T) {
	s := leftfold(t, "bench", "--aggregate", "account", "--command", "Close", "--duration", "10ms", "-o", "json", "--server", "http://127.0.0.1:1")
	if s.code != 1 || !json.Valid([]byte(s.out)) {
		t.Errorf("exit %d, want 1; on stdout: %s", s.code, s.out)
	}
	holds(t, s.out, `"commands": 0`, `"connection": `)
	holds(t, s.errors, "leftfold: no command succeeded")
}

func TestAPageWithoutEventsIsAnEmptyList(t *testing.T) {
	p := serve(t, "-f", bank, "--data", t.TempDir())
	p.must(t, "send", "account", "alice", "Open", "owner=Alice")
	holds(t, p.must(t, "events", "account", "alice", "--after", "1", "-o", "json"), `"events": []`)
}

func TestFollowShowsEventsAsTheyCome(t *testing.T) {
	p := serve(t, "-f", bank, "--data", t.TempDir())
	p.must(t, "send", "account", "old", "Open", "owner=O")
	f := follow(t, p.url)
	p.must(t, "send", "account", "new", "Open", "owner=N")
	holds(t, f.line(t), "new v1  Opened")
	p.must(t, "send", "account", "new", "Deposit", "amount=1")
	holds(t, f.line(t), "new v2  Deposited")
	f.interrupt(t)
}
