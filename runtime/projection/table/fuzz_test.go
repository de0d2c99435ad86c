package table

import (
	"encoding/base64"
	"reflect"
	"testing"
	"unicode/utf8"

	"github.com/leftfold/leftfold/runtime/problem"
)

// FuzzCursor: whatever is given as a cursor is refused, naming the parameter, or
// is a place in this very order, which a cursor made anew names as well.
func FuzzCursor(f *testing.F) {
	var order []sorting
	for i, kind := range []Kind{String, Int, Double, Bool, Bytes, Timestamp, Duration} {
		order = append(order, sorting{Column: Column{Name: "c", Kind: kind, Optional: true}, place: i})
	}
	order = append(order, sorting{Column: Column{Name: "key", Kind: String}, place: len(order)})
	checksum := []byte("checksum")
	for _, text := range []string{
		`["a","AAAAAAAAAAE","P_AAAAAAAAA","AAAAAAAAAAE","AA","AAAAAAAAAAE","AAAAAAAAAAE","k"]`,
		`[null,null,null,null,null,null,null,"k"]`, `[null,null,null,null,null,null,null,null]`,
		`["\u0000",null,"f_AAAAAAAAA",null,null,null,null,"\ud800"]`, `[]`, `null`, `{}`, `["a"] x`,
	} {
		f.Add(base64.RawURLEncoding.EncodeToString(append([]byte("checksum"), text...)))
	}
	f.Add("")
	f.Add("checksum")
	f.Fuzz(func(t *testing.T, text string) {
		values, err := parseCursor(text, checksum, order)
		if err != nil {
			if p := problem.From(err); p.Reason != problem.InvalidParameter || p.Field != "cursor" {
				t.Errorf("%q: %+v", text, p)
			}
			return
		}
		for i, v := range values {
			if s, ok := v.(string); ok && !utf8.ValidString(s) {
				t.Errorf("%q: value %d is no text: %q", text, i, s)
			}
		}
		again, err := makeCursor(checksum, order, values)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := parseCursor(again, checksum, order)
		if err != nil || !reflect.DeepEqual(values, twice) {
			t.Errorf("%q is %v, and its own cursor %q is %v, %v", text, values, again, twice, err)
		}
	})
}
