package postgres

import (
	"errors"
	"strings"
	"testing"
)

func TestAServerThatCannotKeepThePromisesIsRefusedAndTheTextSaysWhatToChange(t *testing.T) {
	sound := Facts{synchronousCommit: "on", serverEncoding: "UTF8", clientEncoding: "UTF8", standardStrings: "on"}
	for name, test := range map[string]struct {
		change func(*Facts)
		text   string // empty: accepted
	}{
		"a sound server is accepted":                      {func(*Facts) {}, ""},
		"synchronous_commit remote_apply is accepted":     {func(f *Facts) { f.synchronousCommit = "remote_apply" }, ""},
		"synchronous_commit off is refused":               {func(f *Facts) { f.synchronousCommit = "off" }, "synchronous_commit is off"},
		"synchronous_commit local is refused":             {func(f *Facts) { f.synchronousCommit = "local" }, "synchronous_commit is local"},
		"synchronous_commit remote_write is refused":      {func(f *Facts) { f.synchronousCommit = "remote_write" }, "synchronous_commit is remote_write"},
		"a standby is refused":                            {func(f *Facts) { f.inRecovery, f.readOnly = true, true }, "pg_is_in_recovery"},
		"a read-only primary is refused":                  {func(f *Facts) { f.readOnly = true }, "transaction_read_only"},
		"a database of another encoding is refused":       {func(f *Facts) { f.serverEncoding = "SQL_ASCII" }, "server_encoding is SQL_ASCII"},
		"a client of another encoding is refused":         {func(f *Facts) { f.clientEncoding = "LATIN1" }, "client_encoding is LATIN1"},
		"backslash escapes in plain strings are refused":  {func(f *Facts) { f.standardStrings = "off" }, "standard_conforming_strings is off"},
		"fsync off is the operator's word, and only told": {func(f *Facts) { f.Fsync = "off" }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := sound
			test.change(&f)
			err := f.check()
			switch {
			case test.text == "" && err != nil:
				t.Errorf("refused: %v", err)
			case test.text != "" && (!errors.Is(err, ErrUnsuitable) || !strings.HasPrefix(err.Error(), ErrUnsuitable.Error()) || !strings.Contains(Advice(err), test.text)):
				t.Errorf("got %v; want ErrUnsuitable with %q", err, test.text)
			}
		})
	}
}

func TestAServersVersionIsReadInAllItsForms(t *testing.T) {
	for text, want := range map[string]int{"15.14 (Debian 15.14-0+deb12u1)": 15, "18beta1": 18, "14.0": 14, "17": 17} {
		if got, err := majorVersion(text); err != nil || got != want {
			t.Errorf("majorVersion(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	if _, err := majorVersion("unknown"); err == nil {
		t.Error("a version without a number was read")
	}
}
