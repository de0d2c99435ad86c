package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/api/postgres/pgtest"
	"github.com/leftfold/leftfold/runtime/definition"
	"github.com/leftfold/leftfold/runtime/server"
)

// The tests of this package hold the whole data plane to the contract: real
// manifests, real stores, a real listener. What a layer does by itself is tested
// beside it.

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait for something that must come.
const patience = 20 * time.Second

// place is where a server keeps its events; servers that are started in the same
// place one after the other see the same ones.
type place struct{ data, url, schema string }

func sqlitePlace(t *testing.T) place { return place{data: t.TempDir()} }

func postgresPlace(t *testing.T) place {
	return place{url: pgtest.URL(t), schema: pgtest.Schema(t)}
}

// onEachStore runs a test on SQLite and on PostgreSQL.
func onEachStore(t *testing.T, test func(t *testing.T, p place)) {
	t.Run("sqlite", func(t *testing.T) { test(t, sqlitePlace(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, postgresPlace(t)) })
}

// rig is a running server.
type rig struct {
	*server.Server
	client *http.Client
}

func load(t *testing.T, paths ...string) *definition.Set {
	t.Helper()
	set, problems, err := definition.Load(paths)
	if err != nil {
		t.Fatal(err)
	}
	if definition.HasErrors(problems) {
		t.Fatalf("in the manifests: %v", problems)
	}
	return set
}

// start serves manifests; the server is stopped with the test.
func start(t *testing.T, p place, set *definition.Set, options ...func(*server.Config)) *rig {
	t.Helper()
	cfg := server.Config{
		Set: set, Listen: "127.0.0.1:0", Ops: "127.0.0.1:0",
		Data: p.data, Store: p.url, Schema: p.schema, Version: "test", Logger: logger(t),
	}
	for _, o := range options {
		o(&cfg)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := server.Start(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Server: s, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}}
	t.Cleanup(func() { r.stop(t) })
	return r
}

func (r *rig) stop(t *testing.T) {
	t.Helper()
	r.client.CloseIdleConnections()
	if err := r.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// probe is the aggregate that can be made to meet every answer.
func probe(t *testing.T) *definition.Set { return load(t, "testdata/probe") }

// logger writes where LEFTFOLD_TEST_LOG asks for it; the tests read answers, not
// logs.
func logger(t *testing.T) *slog.Logger {
	if os.Getenv("LEFTFOLD_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

// request is one HTTP call. Header holds names and values in turn.
type request struct {
	method, path, body string
	header             []string
}

func post(path, body string, header ...string) request {
	return request{http.MethodPost, path, body, header}
}

func get(path string, header ...string) request {
	return request{method: http.MethodGet, path: path, header: header}
}

// answer is what came back; value is its JSON, with numbers as they were written.
type answer struct {
	status int
	header http.Header
	text   string
	value  map[string]any
}

func (r *rig) do(t *testing.T, q request) answer {
	t.Helper()
	a, err := r.try(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (r *rig) try(ctx context.Context, q request) (answer, error) {
	httpRequest, err := http.NewRequestWithContext(ctx, q.method, r.URL()+q.path, strings.NewReader(q.body))
	if err != nil {
		return answer{}, err
	}
	if q.method == http.MethodPost {
		httpRequest.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(q.header); i += 2 {
		httpRequest.Header.Set(q.header[i], q.header[i+1])
	}
	response, err := r.client.Do(httpRequest)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: response.StatusCode, header: response.Header, text: string(data)}
	if len(data) > 0 {
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.UseNumber()
		if err := decoder.Decode(&a.value); err != nil {
			return answer{}, err
		}
	}
	return a, nil
}

// ok does a call that must succeed.
func (r *rig) ok(t *testing.T, q request) answer {
	t.Helper()
	a := r.do(t, q)
	if a.status != http.StatusOK {
		t.Fatalf("%s %s: %d %s", q.method, q.path, a.status, a.text)
	}
	return a
}

// add gives an entity of probe one event.
func (r *rig) add(t *testing.T, entity string, header ...string) answer {
	t.Helper()
	return r.ok(t, post(probePath(entity)+"/Add", `{"amount":1}`, header...))
}

func probePath(entity string) string { return "/v1/aggregates/probe/" + entity }

// at follows names and indexes into an answer.
func (a answer) at(path ...any) any {
	var v any = a.value
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	if n, ok := v.(json.Number); ok {
		return n.String()
	}
	return v
}

// str is at for a string or number that must be there.
func (a answer) str(t *testing.T, path ...any) string {
	t.Helper()
	s, ok := a.at(path...).(string)
	if !ok {
		t.Fatalf("%v is missing in %s", path, a.text)
	}
	return s
}

func (a answer) list(path ...any) []any {
	l, _ := a.at(path...).([]any)
	return l
}

// eventually polls until f gives "" and else fails with what f said last.
func eventually(t *testing.T, f func() string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		said := f()
		if said == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s: %s", patience, said)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// manifests writes the probe's manifests into a folder of the test's own, each
// changed by the given replacements, which must all apply somewhere.
func manifests(t *testing.T, from string, replacements ...string) string {
	t.Helper()
	folder := t.TempDir()
	edit(t, from, folder, replacements...)
	return folder
}

func edit(t *testing.T, from, to string, replacements ...string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(from, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no manifests in %s: %v", from, err)
	}
	used := make([]bool, len(replacements)/2)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		for i := range used {
			if old := replacements[2*i]; strings.Contains(text, old) {
				text, used[i] = strings.Replace(text, old, replacements[2*i+1], 1), true
			}
		}
		if err := os.WriteFile(filepath.Join(to, filepath.Base(file)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i, u := range used {
		if !u {
			t.Fatalf("nothing to replace: %q", replacements[2*i])
		}
	}
}
