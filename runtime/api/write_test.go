package api

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// Answers to commands are put together by hand; their texts must come out as all
// others do.
func TestTextsAreWrittenAsTheEncoderWritesThem(t *testing.T) {
	check := func(t rapid.TB, text string) {
		var want bytes.Buffer
		if err := encode(&want, text); err != nil {
			t.Fatal(err)
		}
		if got := string(appendText([]byte("before "), text)) + "\n"; got != "before "+want.String() {
			t.Errorf("%q is written %q, want %q", text, got[len("before "):], want.String())
		}
	}
	for _, text := range []string{"", "account-1", `"`, `\`, "<&>", "\x7f", "\n", "é", "\u2028", "\xff", "a\x00b"} {
		check(t, text)
	}
	rapid.Check(t, func(t *rapid.T) { check(t, rapid.String().Draw(t, "text")) })
}
