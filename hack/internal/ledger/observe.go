package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Call is one attempt at an operation, as its caller saw it.
type Call struct {
	Operation
	Answer
	// Err: there was no answer.
	Err error
	// Sent is how often the request left: the HTTP client sends it again by itself
	// when a connection breaks.
	Sent         int
	Began, Ended time.Time
}

// Settles tells that the answer is the last word on the operation.
func (c Call) Settles() bool { return c.Err == nil && settles(c.Status) }

func settles(status int) bool {
	switch status {
	case 0, http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return false
	}
	return true
}

// Nothing tells that the attempt did nothing and never will: its answer promises
// that, or it never reached a process.
func (c Call) Nothing() bool {
	if c.Err != nil || c.Sent != 1 {
		return c.Sent == 0
	}
	return c.Status == http.StatusTooManyRequests || c.Status == http.StatusServiceUnavailable
}

// Observe has f called with each attempt at a command, from many goroutines; not
// with those by which Check asks for answers again. It is called before any
// command is sent.
func (b *Books) Observe(f func(Call)) { b.observe = f }

// Conditional has one of n commands of Drive carry If-Match with the version that
// was acknowledged last; others may have moved on. It is called before any command
// is sent.
func (b *Books) Conditional(n int) { b.conditional = n }

// Rest has each connection of Drive pause between two commands, so that there is a
// load and a machine besides. It is called before any command is sent.
func (b *Books) Rest(pause time.Duration) { b.rest = pause }

// Acknowledged is what a caller knows of an account.
type Acknowledged struct {
	Version  int64
	Position string
}

// Latest is the highest version of an account that was acknowledged.
func (b *Books) Latest(account string) Acknowledged {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.latest[account]
}

// View is an account's state as a read told it.
type View struct {
	Status           int
	Version, Balance int64
}

// View reads an account's state: the newest (a strong read) or, with a version
// above zero, that version's. An error means that there is no answer.
func (b *Books) View(ctx context.Context, account string, version int64) (View, error) {
	var query url.Values
	if version > 0 {
		query = url.Values{"version": {strconv.FormatInt(version, 10)}}
	}
	var body struct {
		Version int64
		State   struct{ Balance int64 }
	}
	status, err := b.read(ctx, "/v1/aggregates/account/"+url.PathEscape(account), query, &body)
	return View{Status: status, Version: body.Version, Balance: body.State.Balance}, err
}

// Row reads an account's row of the projection, no older than the position. An
// error means that there is no answer.
func (b *Books) Row(ctx context.Context, account, after string, wait time.Duration) (View, error) {
	query := url.Values{}
	if after != "" {
		query.Set("after", after)
		query.Set("wait", wait.String())
	}
	var body struct{ Row struct{ Balance int64 } }
	status, err := b.read(ctx, "/v1/projections/balances/"+url.PathEscape(account), query, &body)
	return View{Status: status, Balance: body.Row.Balance}, err
}

func (b *Books) read(ctx context.Context, path string, query url.Values, out any) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, b.door()+path+"?"+query.Encode(), nil)
	if err != nil {
		return 0, err
	}
	response, err := b.http.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	if !settles(response.StatusCode) {
		return 0, fmt.Errorf("GET %s: %s: %s", path, response.Status, text)
	}
	if response.StatusCode != http.StatusOK {
		return response.StatusCode, nil
	}
	return response.StatusCode, json.Unmarshal(text, out)
}
