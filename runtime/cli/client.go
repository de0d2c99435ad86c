package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// defaultServer is where leftfold dev listens.
const defaultServer = "http://localhost:8080"

// maxAnswer bounds what the client reads: the largest page is 1,000 events.
const maxAnswer = 256 << 20

// client speaks the HTTP API.
type client struct {
	server string
	http   *http.Client
}

// connection holds the flags that all client commands share.
type connection struct {
	server string
	output string
}

func (c *connection) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.server, "server", defaultServer, "where the runtime listens")
	cmd.Flags().StringVarP(&c.output, "output", "o", "table", "table, json or yaml")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		switch c.output {
		case "table", "json", "yaml":
			return nil
		}
		return fmt.Errorf("--output %q: must be table, json or yaml", c.output)
	}
}

func (c *connection) client() *client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 1024
	return &client{server: strings.TrimRight(c.server, "/"), http: &http.Client{Transport: transport}}
}

// setGiven makes parameters of the text flags that are given. One that is given
// empty is sent too, for the runtime to refuse: it comes from a variable that is
// not set, and must not turn into another question.
func setGiven(cmd *cobra.Command, query url.Values, flags ...string) {
	for _, name := range flags {
		if f := cmd.Flags().Lookup(name); f.Changed {
			query.Set(name, f.Value.String())
		}
	}
}

// problemError is a problem document, as the runtime sent it.
type problemError struct {
	Status  int    `json:"status"`
	Title   string `json:"title"`
	Detail  string `json:"detail"`
	Reason  string `json:"reason"`
	Field   string `json:"field"`
	Version *int64 `json:"version"`
}

func (e *problemError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s", e.Status, e.Reason)
	if e.Field != "" {
		b.WriteString(": " + e.Field)
	}
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	if e.Version != nil {
		fmt.Fprintf(&b, " (the version is %d)", *e.Version)
	}
	return b.String()
}

// do sends a request and decodes a JSON answer into out, which may be nil. An
// answer that is no success becomes a *problemError.
func (c *client) do(ctx context.Context, method, path string, query url.Values, header http.Header, body []byte, out any) (http.Header, error) {
	response, err := c.open(ctx, method, path, query, header, body)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", c.server, err)
	}
	if out == nil {
		return response.Header, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(out); err != nil {
		return nil, fmt.Errorf("the answer of %s is not what this client expects: %w", c.server, err)
	}
	return response.Header, nil
}

// open is do for answers that are read as they come; the caller closes the body.
func (c *client) open(ctx context.Context, method, path string, query url.Values, header http.Header, body []byte) (*http.Response, error) {
	target := c.server + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		request.Header[k] = v
	}
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode/100 == 2 {
		return response, nil
	}
	defer func() { _ = response.Body.Close() }()
	failure := &problemError{Status: response.StatusCode, Title: response.Status}
	data, _ := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if json.Unmarshal(data, failure) != nil || failure.Reason == "" {
		return nil, fmt.Errorf("%s answered %s: %s", c.server, response.Status, bytes.TrimSpace(data))
	}
	return nil, failure
}

// aggregatePath escapes the parts, so that an entity's id may hold slashes.
func aggregatePath(parts ...string) string {
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return "/v1/aggregates/" + strings.Join(parts, "/")
}

// event is an event as the API gives it: of a command's answer or an entity's
// history the first four fields, of an aggregate's stream all.
type event struct {
	Type    string          `json:"type"`
	Version int64           `json:"version"`
	Time    time.Time       `json:"time"`
	Data    json.RawMessage `json:"data"`
}
