package api

import (
	"net/url"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
)

const (
	defaultLimit = 100
	maxLimit     = 1000
	// maxEntity is the most bytes that an entity's id may have.
	maxEntity = 256
)

// parameters are the query string's, each given once.
type parameters map[string]string

// parameters reads the query string, which may hold the allowed names only;
// filters, when not nil, may allow more.
func (c *call) parameters(filters func(name string) bool, allowed ...string) (parameters, error) {
	if c.r.URL.RawQuery == "" {
		return nil, nil
	}
	values, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return nil, problem.New(problem.InvalidParameter, "the query string is not written as URLs are: escape %%, & and ;")
	}
	out := make(parameters, len(values))
	for name, given := range values {
		switch {
		case !slices.Contains(allowed, name) && (filters == nil || !filters(name)):
			return nil, problem.On(problem.InvalidParameter, name, "this call has no such parameter")
		case len(given) > 1:
			return nil, problem.On(problem.InvalidParameter, name, "the parameter is given %d times", len(given))
		case !utf8.ValidString(given[0]):
			return nil, problem.On(problem.InvalidParameter, name, "the value is not UTF-8")
		}
		out[name] = given[0]
	}
	return out, nil
}

// limit is how many items a page holds: 1 to 1,000, by default 100.
func (p parameters) limit() (int, error) {
	text, given := p["limit"]
	if !given {
		return defaultLimit, nil
	}
	n, err := decimal(text)
	if err != nil || n < 1 || n > maxLimit {
		return 0, problem.On(problem.InvalidParameter, "limit", "must be a number from 1 to %d", maxLimit)
	}
	return int(n), nil
}

// version reads a parameter that is an entity's version, 0 or more.
func (p parameters) version(name string) (n int64, given bool, err error) {
	text, given := p[name]
	if !given {
		return 0, false, nil
	}
	n, err = decimal(text)
	if err != nil {
		return 0, true, problem.On(problem.InvalidParameter, name, "must be a version: a whole number, 0 or more")
	}
	return n, true, nil
}

// position reads a parameter that is a position, the zero one by default.
func (p parameters) position(name string) (eventstore.Position, error) {
	text, given := p[name]
	if !given {
		return eventstore.Position{}, nil
	}
	return position(name, text)
}

func position(name, text string) (eventstore.Position, error) {
	at, err := eventstore.ParsePosition(text)
	if err != nil {
		return at, problem.On(problem.InvalidParameter, name, "is no position that this API gave")
	}
	return at, nil
}

// wait reads after and wait.
func (p parameters) wait() (Wait, error) {
	_, wanted := p["after"]
	text, timed := p["wait"]
	if timed && !wanted {
		return Wait{}, problem.On(problem.InvalidParameter, "wait", "needs after, the position to wait for")
	}
	if !wanted {
		return Wait{}, nil
	}
	after, err := p.position("after")
	if err != nil {
		return Wait{}, err
	}
	w := Wait{Wanted: true, After: after, For: defaultWait}
	if timed {
		if w.For, err = time.ParseDuration(text); err != nil || w.For < 0 || w.For > maxWait {
			return Wait{}, problem.On(problem.InvalidParameter, "wait", "must be a duration from 0s to %s, such as 2s or 250ms", maxWait)
		}
	}
	return w, nil
}

// decimal reads a number as the API writes it: digits without sign, space or
// leading zero.
func decimal(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err == nil && (n < 0 || strconv.FormatInt(n, 10) != text) {
		err = strconv.ErrSyntax
	}
	return n, err
}

// checkEntity holds an entity's id to the contract: UTF-8, 1 to 256 bytes, no
// control characters, and neither . nor .., which clients take for folders.
func checkEntity(id string) error {
	refuse := func(why string) error { return problem.On(problem.InvalidEntity, "entity", "%s", why) }
	switch {
	case id == "":
		return refuse("the entity's id is empty")
	case len(id) > maxEntity:
		return refuse("the entity's id has more than 256 bytes")
	case id == "." || id == "..":
		return refuse("the entity's id must not be . or ..")
	case !utf8.ValidString(id):
		return refuse("the entity's id is not UTF-8")
	}
	for _, r := range id {
		if r < 0x20 || 0x7f <= r && r < 0xa0 {
			return refuse("the entity's id holds a control character")
		}
	}
	return nil
}
