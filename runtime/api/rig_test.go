package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"sigs.k8s.io/yaml"

	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The tests of this package run the handler in a real server on a real
// connection, over the fakes below: they show how requests become calls and
// answers become responses. What the calls mean is shown where it is
// implemented, and over the whole runtime in package server.

// rig is a served handler and what stands behind it.
type rig struct {
	*fakes
	handler *Handler
	server  *http.Server
	url     string
	client  *http.Client
	// spec is the OpenAPI document; every answer is held to it unless it is nil.
	spec *described
}

// fakes stand in for a runtime. Each function may be replaced by a test.
type fakes struct {
	handle  func(ctx context.Context, aggregate string, c shard.Command) (shard.Answer, error)
	read    func(ctx context.Context, entity string, how string) (shard.View, error)
	history func(ctx context.Context, entity string, after int64, limit int) ([]eventstore.Event, bool, error)
	page    func(ctx context.Context, after eventstore.Position, limit int) ([]eventstore.Event, eventstore.Position, error)
	end     func(ctx context.Context) (eventstore.Position, error)
	wait    func(ctx context.Context, after eventstore.Position) error
	get     func(ctx context.Context, key any, wait Wait) (Row, eventstore.Position, error)
	query   func(ctx context.Context, q Query) (Rows, error)
	act     func(ctx context.Context, action Action) error
	shards  func(ctx context.Context) ([]Shard, error)

	definitions Definitions
}

func (f *fakes) known(aggregate string) error {
	for _, a := range f.definitions.Aggregates {
		if a.Name == aggregate {
			return nil
		}
	}
	return problem.New(problem.UnknownName, "there is no aggregate %q here", aggregate)
}

func (f *fakes) Handle(ctx context.Context, aggregate string, c shard.Command) (shard.Answer, error) {
	if err := f.known(aggregate); err != nil {
		return shard.Answer{}, err
	}
	return f.handle(ctx, aggregate, c)
}

func (f *fakes) reading(ctx context.Context, aggregate, entity, how string) (shard.View, error) {
	if err := f.known(aggregate); err != nil {
		return shard.View{}, err
	}
	return f.read(ctx, entity, how)
}

func (f *fakes) Read(ctx context.Context, aggregate, entity string, strong bool) (shard.View, error) {
	if strong {
		return f.reading(ctx, aggregate, entity, "strong")
	}
	return f.reading(ctx, aggregate, entity, "local")
}

func (f *fakes) ReadVersion(ctx context.Context, aggregate, entity string, version int64) (shard.View, error) {
	view, err := f.reading(ctx, aggregate, entity, "version")
	view.Version = min(view.Version, version)
	return view, err
}

func (f *fakes) ReadAt(ctx context.Context, aggregate, entity string, at time.Time) (shard.View, error) {
	return f.reading(ctx, aggregate, entity, "at "+at.Format(time.RFC3339Nano))
}

func (f *fakes) Events(ctx context.Context, aggregate, entity string, after int64, limit int) ([]eventstore.Event, bool, error) {
	if err := f.known(aggregate); err != nil {
		return nil, false, err
	}
	return f.history(ctx, entity, after, limit)
}

// fakeFeed and fakeProjections have methods of their own for each interface.
type fakeFeed struct{ *fakes }

func (f fakeFeed) Page(ctx context.Context, aggregate string, after eventstore.Position, limit int) ([]eventstore.Event, eventstore.Position, error) {
	if err := f.known(aggregate); err != nil {
		return nil, after, err
	}
	return f.page(ctx, after, limit)
}

func (f fakeFeed) End(ctx context.Context, aggregate string) (eventstore.Position, error) {
	if err := f.known(aggregate); err != nil {
		return eventstore.Position{}, err
	}
	return f.end(ctx)
}

func (f fakeFeed) Wait(ctx context.Context, _ string, after eventstore.Position) error {
	return f.wait(ctx, after)
}

type fakeProjections struct{ *fakes }

func (f fakeProjections) Table(name string) (Table, error) {
	if name != "balances" {
		return Table{}, problem.New(problem.UnknownName, "there is no projection %q here", name)
	}
	return Table{Key: Column{"account", "string"}, Columns: []Column{
		{"owner", "string"}, {"balance", "int"}, {"rate", "double"}, {"open", "bool"}, {"seal", "bytes"},
		{"since", "timestamp"}, {"term", "duration"}, {"limits", "map<Limit>"},
	}}, nil
}

func (f fakeProjections) Get(ctx context.Context, _ string, key any, wait Wait) (Row, eventstore.Position, error) {
	return f.get(ctx, key, wait)
}

func (f fakeProjections) Query(ctx context.Context, _ string, q Query) (Rows, error) {
	return f.query(ctx, q)
}

func (f fakeProjections) Act(ctx context.Context, name string, action Action) error {
	if _, err := f.Table(name); err != nil {
		return err
	}
	return f.act(ctx, action)
}

type fakeCatalog struct{ *fakes }

func (f fakeCatalog) Shards(ctx context.Context) ([]Shard, error) { return f.shards(ctx) }
func (f fakeCatalog) Definitions() Definitions                    { return f.definitions }

var (
	shardOne = eventstore.ShardID{Aggregate: 1, Number: 3}
	noon     = time.Date(2026, 1, 1, 12, 0, 0, 250_000_000, time.UTC)
)

// deposited is the event at a version of alice, and at the same place in its
// shard.
func deposited(version int64) eventstore.Event {
	return eventstore.Event{
		Shard: shardOne, Seq: version, Entity: "alice", Version: version, Epoch: 7, Type: "Deposited", TypeVersion: 1,
		Data: json.RawMessage(`{ "amount": 250.0 }`), Meta: eventstore.Meta{Time: noon, Principal: ""},
		CommandID: "k-1", RequestHash: eventstore.Hash{1}, Generation: 2, RecordedAt: noon.Add(time.Millisecond), Hash: eventstore.Hash{2},
	}
}

func at(seq int64) eventstore.Position {
	var p eventstore.Position
	p.Set(shardOne, seq)
	return p
}

func text(t testing.TB, p eventstore.Position) string {
	t.Helper()
	s, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newFakes answers everything as a runtime with one account at version 3 would.
func newFakes(t testing.TB) *fakes {
	return &fakes{
		definitions: samples(t, "bank"),
		handle: func(context.Context, string, shard.Command) (shard.Answer, error) {
			return shard.Answer{Entity: "alice", Version: 3, Shard: shardOne, Seq: 3, Events: []eventstore.Event{deposited(3)}}, nil
		},
		read: func(context.Context, string, string) (shard.View, error) {
			return shard.View{Entity: "alice", Version: 3, Time: noon, State: json.RawMessage(`{"balance":250,"limits":{},"owner":"A","status":"open"}`)}, nil
		},
		history: func(_ context.Context, _ string, after int64, limit int) ([]eventstore.Event, bool, error) {
			var out []eventstore.Event
			for v := after + 1; v <= 3 && len(out) < limit; v++ {
				out = append(out, deposited(v))
			}
			return out, after+int64(len(out)) < 3, nil
		},
		page: func(_ context.Context, after eventstore.Position, limit int) ([]eventstore.Event, eventstore.Position, error) {
			var out []eventstore.Event
			for v := after.Get(shardOne) + 1; v <= 3 && len(out) < limit; v++ {
				out = append(out, deposited(v))
			}
			return out, at(after.Get(shardOne) + int64(len(out))), nil
		},
		end:  func(context.Context) (eventstore.Position, error) { return at(3), nil },
		wait: func(ctx context.Context, _ eventstore.Position) error { <-ctx.Done(); return ctx.Err() },
		get: func(context.Context, any, Wait) (Row, eventstore.Position, error) {
			return Row{Key: json.RawMessage(`"alice"`), Row: json.RawMessage(`{"owner":"A","balance":250}`)}, at(3), nil
		},
		query: func(context.Context, Query) (Rows, error) {
			row := Row{Key: json.RawMessage(`"alice"`), Row: json.RawMessage(`{"owner":"A","balance":250}`)}
			return Rows{Rows: []Row{row}, Next: "more", Position: at(3)}, nil
		},
		act: func(context.Context, Action) error { return nil },
		shards: func(context.Context) ([]Shard, error) {
			return []Shard{{Aggregate: "account", Status: ShardServing, ShardState: eventstore.ShardState{
				Lease: eventstore.Lease{Shard: shardOne, Epoch: 7}, Slots: eventstore.SlotRange{First: 12288, Last: 16383},
				Owner: "i-1", Address: "127.0.0.1:8080", Head: 3, HeadHash: eventstore.Hash{2},
			}}}, nil
		},
	}
}

// config is what a handler over the fakes is made with.
func (f *fakes) config() Config {
	return Config{
		Aggregates: f, Feed: fakeFeed{f}, Projections: fakeProjections{f}, Catalog: fakeCatalog{f},
		Version: "1.2.3", Logger: slog.New(slog.DiscardHandler),
	}
}

// serveFakes starts the server of a handler over fakes.
func serveFakes(t *testing.T, change func(*Config)) *rig {
	t.Helper()
	f := newFakes(t)
	c := f.config()
	if change != nil {
		change(&c)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	r := &rig{
		fakes: f, handler: NewHandler(c), url: "http://" + listener.Addr().String(),
		client: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		spec:   describe(t, f.definitions),
	}
	r.server = NewServer(r.handler, c.Logger)
	ended := make(chan error, 1)
	go func() { ended <- r.server.Serve(listener) }()
	t.Cleanup(func() {
		r.handler.Drain()
		transport.CloseIdleConnections()
		if err := r.server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return r
}

// answer is a response, read whole.
type answer struct {
	code   int
	header http.Header
	body   string
	closes bool // the server told that it closes the connection
}

// ask sends a request; headers are "Name: value" lines.
func (r *rig) ask(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	request, err := http.NewRequestWithContext(t.Context(), method, r.url+path, reader)
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/json")
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		if value == "-" {
			request.Header.Del(name)
			continue
		}
		if name == "Content-Type" {
			request.Header.Del(name)
		}
		request.Header.Add(name, value)
	}
	response, err := r.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{response.StatusCode, response.Header, string(data), response.Close}
	if method != http.MethodHead && r.spec != nil {
		r.spec.holds(t, method, request.URL.EscapedPath(), a)
	}
	return a
}

// problem reads a problem document, and holds it to what all of them share.
func (a answer) problem(t *testing.T) document {
	t.Helper()
	var d document
	if err := json.Unmarshal([]byte(a.body), &d); err != nil {
		t.Fatalf("%d is no problem document: %q", a.code, a.body)
	}
	if d.Status != a.code || d.Type != "about:blank" || d.Title != http.StatusText(a.code) || d.Detail == "" {
		t.Errorf("the document %s does not fit status %d", a.body, a.code)
	}
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("a problem has Content-Type %q", got)
	}
	return d
}

// samples reads definitions from the repository's samples.
func samples(t testing.TB, name string) (d Definitions) {
	t.Helper()
	files, err := filepath.Glob("../../config/samples/" + name + "/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples in %s: %v", name, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for part := range strings.SplitSeq(string(data), "\n---\n") {
			d.add(t, []byte(part))
		}
	}
	return d
}

func (d *Definitions) add(t testing.TB, manifest []byte) {
	t.Helper()
	var head struct {
		Kind     string
		Metadata struct{ Name string }
	}
	if err := yaml.Unmarshal(manifest, &head); err != nil {
		t.Fatal(err)
	}
	read := func(into any) {
		if err := yaml.Unmarshal(manifest, into); err != nil {
			t.Fatal(err)
		}
	}
	switch head.Kind {
	case "Aggregate":
		var a v1alpha1.Aggregate
		read(&a)
		d.Aggregates = append(d.Aggregates, AggregateDefinition{Name: head.Metadata.Name, Generation: 1, Spec: &a.Spec})
	case "Projection":
		var p v1alpha1.Projection
		read(&p)
		d.Projections = append(d.Projections, ProjectionDefinition{Name: head.Metadata.Name, Generation: 1, Spec: &p.Spec})
	}
}
