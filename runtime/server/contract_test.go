package server_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// row is one sentence of the contract's HTTP section: a call and its answer.
type row struct {
	sentence string
	request
	status int
	// reason and field are the problem's; "" when the call succeeds, or none is
	// named.
	reason, field string
	// before are calls that must succeed first.
	before []request
	// header holds names and values that the answer must have, in turn.
	header []string
	// has are pieces of the answer's text.
	has []string
}

func (w row) run(t *testing.T, r *rig) {
	for _, q := range w.before {
		r.ok(t, q)
	}
	a := r.do(t, w.request)
	if a.status != w.status {
		t.Fatalf("status %d, want %d: %s", a.status, w.status, a.text)
	}
	if got := a.header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control: %q", got)
	}
	for i := 0; i+1 < len(w.header); i += 2 {
		if got := a.header.Get(w.header[i]); got != w.header[i+1] {
			t.Errorf("%s: %q, want %q", w.header[i], got, w.header[i+1])
		}
	}
	for _, piece := range w.has {
		if !strings.Contains(a.text, piece) {
			t.Errorf("the answer lacks %s: %s", piece, a.text)
		}
	}
	if w.status < 400 {
		return
	}
	w.problem(t, a)
}

// problem holds a refusal to RFC 9457 and to the row.
func (w row) problem(t *testing.T, a answer) {
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type: %q", got)
	}
	if a.at("type") != "about:blank" || a.at("title") != http.StatusText(w.status) {
		t.Errorf("type or title: %s", a.text)
	}
	if got := a.at("reason"); got != w.reason {
		t.Errorf("reason %v, want %s: %s", got, w.reason, a.text)
	}
	if got, _ := a.at("field").(string); got != w.field {
		t.Errorf("field %q, want %q: %s", got, w.field, a.text)
	}
	if detail, _ := a.at("detail").(string); detail == "" && !slices.Contains([]string{"NoWords"}, w.reason) {
		t.Errorf("no detail: %s", a.text)
	}
	_, told := a.value["version"]
	if told != (w.status == http.StatusPreconditionFailed) {
		t.Errorf("version belongs to 412 alone: %s", a.text)
	}
	if retry := a.header.Get("Retry-After"); (retry != "") != (w.status == 429 || w.status == 503) {
		t.Errorf("Retry-After: %q with %d", retry, w.status)
	}
}

func TestEveryCallAnswersAsTheContractSays(t *testing.T) {
	groups := map[string][]row{
		"commands": commandRows(), "bodies": bodyRows(), "keys": keyRows(),
		"expectations": expectationRows(), "failures": failureRows(),
		"reads": readRows(), "histories": historyRows(), "feeds": feedRows(),
		"projections": projectionRows(), "paths": pathRows(),
	}
	onEachStore(t, func(t *testing.T, p place) {
		r := start(t, p, probe(t))
		for name, rows := range groups {
			t.Run(name, func(t *testing.T) {
				for _, w := range rows {
					t.Run(w.sentence, func(t *testing.T) { w.run(t, r) })
				}
			})
		}
	})
}
