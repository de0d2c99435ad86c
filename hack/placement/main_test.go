package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestAPreviewShowsWhatBecomesOfALostMembersShards(t *testing.T) {
	var out bytes.Buffer
	if err := run([]string{"-members", "3", "-shards", "account=6", "-lost", "1"}, nil, &out); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	if got := strings.Count(text, "Orphaned"); got != 2 {
		t.Errorf("%d shards are orphans, want 2 of 6:\n%s", got, text)
	}
	if strings.Contains(text, "-> member-1") {
		t.Errorf("a shard goes to the member that was lost:\n%s", text)
	}
	for _, member := range []string{"member-2", "member-3"} {
		if !strings.Contains(text, member) {
			t.Errorf("%s is not listed:\n%s", member, text)
		}
	}
}

func TestAPreviewReadsAFile(t *testing.T) {
	const file = `
members:
- {id: a, revision: 1, draining: true}
- {id: b, revision: 2}
- {id: c, revision: 2, ready: false}
shards:
- {aggregate: account, number: 0, owner: a, load: 50}
- {aggregate: account, number: 1}
`
	var out bytes.Buffer
	if err := run([]string{"-f", "-", "-once"}, strings.NewReader(file), &out); err != nil {
		t.Fatal(err)
	}
	want := `plan 1: 2 moves
  account-1  nobody  ->  b  Orphaned
  account-0  a       ->  b  Draining

MEMBER  NODE  ZONE  REVISION  STATE      SHARDS  EVENTS/S
a                   1         draining   0       0
b                   2         ready      2       50
c                   2         not ready  0       0
`
	if out.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", out.String(), want)
	}
}

func TestAPreviewNamesWhatIsWrong(t *testing.T) {
	cases := []struct {
		name, file, says string
		arguments        []string
	}{
		{"a field that does not exist", "members: [{id: a, colour: red}]", "colour", nil},
		{"two members of a name", "members: [{id: a}, {id: a}]", "members[1].id", nil},
		{"a shard of no aggregate", "shards: [{number: 1}]", "shards[0]", nil},
		{"shards without a number", "", "-shards", []string{"-shards", "account"}},
		{"more members lost than there are", "", "-lost", []string{"-lost", "4"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			arguments := c.arguments
			if arguments == nil {
				arguments = []string{"-f", "-"}
			}
			err := run(arguments, strings.NewReader(c.file), &bytes.Buffer{})
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v does not name %s", err, c.says)
			}
		})
	}
}
