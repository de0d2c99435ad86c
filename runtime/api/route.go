package api

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/leftfold/leftfold/runtime/problem"
)

// The standard library's ServeMux is not used: it cleans paths and redirects,
// which would make //, . and .. in an entity's place reach another entity or
// leave the API's problem documents.

// serve answers one call. A returned error becomes a problem document; then
// nothing may have been written.
type serve func(c *call) error

// route is a path of the API. A segment of "*" is a variable, "*:*" one with a
// colon in it; all others are literal. The first route that covers a path wins.
type route struct {
	segments []string
	methods  map[string]serve
	allow    string
}

// table lists the API. HEAD is served as GET: the server leaves the body out.
func (h *Handler) table() []route {
	get := func(path string, s serve) route {
		return route{strings.Split(path, "/"), map[string]serve{http.MethodGet: s, http.MethodHead: s}, "GET, HEAD"}
	}
	post := func(path string, s serve) route {
		return route{strings.Split(path, "/"), map[string]serve{http.MethodPost: s}, "POST"}
	}
	return []route{
		get("v1/aggregates/*/*/events", (*call).entityEvents),
		post("v1/aggregates/*/*/*", (*call).handleCommand),
		get("v1/aggregates/*/*", (*call).readEntity),
		get("v1/events/*", (*call).readFeed),
		get("v1/projections/*/*", (*call).projectionRow),
		post("v1/projections/*:*", (*call).actOnProjection),
		get("v1/projections/*", (*call).queryProjection),
		get("v1/shards", (*call).listShards),
		get("v1/definitions", (*call).listDefinitions),
		get("openapi.json", (*call).describe),
	}
}

// match finds what serves a request, and the variables of its path.
func (h *Handler) match(w http.ResponseWriter, r *http.Request) (serve, []string, *problem.Problem) {
	segments := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	for i := range h.routes {
		t := &h.routes[i]
		if !t.covers(segments) {
			continue
		}
		s := t.methods[r.Method]
		if s == nil {
			w.Header().Set("Allow", t.allow)
			return nil, nil, problem.New(problem.MethodNotAllowed, "this path takes %s", t.allow)
		}
		variables, err := t.unescape(segments)
		if err != nil {
			return nil, nil, problem.New(problem.UnknownName, "the path is not escaped as URLs are")
		}
		return s, variables, nil
	}
	return nil, nil, problem.New(problem.UnknownName, "there is nothing at this path; /openapi.json lists what there is")
}

func (t *route) covers(segments []string) bool {
	if len(segments) != len(t.segments) {
		return false
	}
	for i, want := range t.segments {
		switch want {
		case "*":
		case "*:*":
			if text, err := url.PathUnescape(segments[i]); err != nil || !strings.Contains(text, ":") {
				return false
			}
		case segments[i]:
		default:
			return false
		}
	}
	return true
}

func (t *route) unescape(segments []string) ([]string, error) {
	var variables []string
	for i, want := range t.segments {
		if want != "*" && want != "*:*" {
			continue
		}
		text, err := url.PathUnescape(segments[i])
		if err != nil {
			return nil, err
		}
		variables = append(variables, text)
	}
	return variables, nil
}
