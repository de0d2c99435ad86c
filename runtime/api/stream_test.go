package api

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

// growing is a feed whose head a test moves.
type growing struct {
	head    atomic.Int64
	changed chan struct{} // one value a move
}

func (r *rig) grow(head int64) *growing {
	g := &growing{changed: make(chan struct{})}
	g.head.Store(head)
	r.page = func(_ context.Context, after eventstore.Position, limit int) ([]eventstore.Event, eventstore.Position, error) {
		var out []eventstore.Event
		reached := after.Clone()
		for v := after.Get(shardOne) + 1; v <= g.head.Load() && len(out) < limit; v++ {
			out = append(out, deposited(v))
			reached.Set(shardOne, v)
		}
		return out, reached, nil
	}
	r.end = func(context.Context) (eventstore.Position, error) { return at(g.head.Load()), nil }
	r.wait = func(ctx context.Context, _ eventstore.Position) error {
		select {
		case <-g.changed:
			g.head.Add(1)
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return g
}

// listener is an open event stream.
type listener struct {
	response *http.Response
	lines    *bufio.Reader
}

func (r *rig) listen(t *testing.T, query string, headers ...string) *listener {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/v1/events/account"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "text/event-stream")
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		request.Header.Set(name, value)
	}
	response, err := r.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream" || response.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%s %v", response.Status, response.Header)
	}
	return &listener{response: response, lines: bufio.NewReader(response.Body)}
}

// block reads up to the next empty line.
func (l *listener) block(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for {
		line, err := l.lines.ReadString('\n')
		if err != nil {
			t.Fatalf("the stream ended after %q: %v", b.String(), err)
		}
		if line == "\n" {
			return b.String()
		}
		b.WriteString(line)
	}
}

func (l *listener) expect(t *testing.T, blocks ...string) {
	t.Helper()
	for _, want := range blocks {
		if diff := cmp.Diff(want, l.block(t)); diff != "" {
			t.Fatalf("block (-want +got):\n%s", diff)
		}
	}
}

// ended reads the rest, and is false for a stream that broke off.
func (l *listener) ended() bool {
	rest, err := io.ReadAll(l.lines)
	return err == nil && len(rest) == 0
}

// inside is an event between checkpoints, last one at a checkpoint.
func inside(seq int64) string { return "data: " + logged(seq) + "\n" }

func last(t *testing.T, seq int64) string {
	return "id: " + text(t, at(seq)) + "\ndata: " + logged(seq) + "\n"
}

func mark(t *testing.T, seq int64) string { return "id: " + text(t, at(seq)) + "\n" }

func TestAStreamGivesWhatIsThereAndWhatComes(t *testing.T) {
	r := serveFakes(t, nil)
	g := r.grow(3)
	l := r.listen(t, "")
	l.expect(t, inside(1), inside(2), last(t, 3))
	g.changed <- struct{}{}
	l.expect(t, last(t, 4))
	g.changed <- struct{}{}
	l.expect(t, last(t, 5))
}

func TestCheckpointsComeAfterEveryPage(t *testing.T) {
	r := serveFakes(t, nil)
	r.grow(5)
	r.listen(t, "?limit=2").expect(t, inside(1), last(t, 2), inside(3), last(t, 4), last(t, 5))
}

func TestAStreamFromTheEndBeginsWithACheckpoint(t *testing.T) {
	r := serveFakes(t, nil)
	g := r.grow(3)
	l := r.listen(t, "?after=end")
	l.expect(t, mark(t, 3))
	g.changed <- struct{}{}
	l.expect(t, last(t, 4))
}

func TestAStreamResumesFromItsLastID(t *testing.T) {
	r := serveFakes(t, nil)
	r.grow(3)
	r.listen(t, "?after="+text(t, at(2))).expect(t, last(t, 3))
	// A browser that reconnects repeats the URL that it began with.
	r.listen(t, "?after=end", "Last-Event-ID: "+text(t, at(1))).expect(t, inside(2), last(t, 3))
	r.listen(t, "?after="+text(t, at(2)), "Last-Event-ID: ").expect(t, last(t, 3))
}

func TestWhatIsWrongWithAStreamIsToldBeforeItBegins(t *testing.T) {
	r := serveFakes(t, nil)
	r.spec = nil // the streams' errors are those of pages
	const accept = "Accept: text/event-stream"
	expect(t, r.ask(t, "GET", "/v1/events/nothing", "", accept), 404, problem.UnknownName, "")
	expect(t, r.ask(t, "GET", "/v1/events/account?after=x", "", accept), 400, problem.InvalidParameter, "after")
	expect(t, r.ask(t, "GET", "/v1/events/account?limit=0", "", accept), 400, problem.InvalidParameter, "limit")
	expect(t, r.ask(t, "GET", "/v1/events/account", "", accept, "Last-Event-ID: x"), 400, problem.InvalidParameter, "Last-Event-ID")
	r.page = func(_ context.Context, after eventstore.Position, _ int) ([]eventstore.Event, eventstore.Position, error) {
		return nil, after, eventstore.ErrNotAttempted
	}
	expect(t, r.ask(t, "GET", "/v1/events/account", "", accept), 503, problem.NotAttempted, "")
}

func TestAStreamIsAskedForByName(t *testing.T) {
	for accept, want := range map[string]bool{
		"":                                    false,
		"*/*":                                 false,
		"text/*":                              false,
		"application/json":                    false,
		"text/event-stream":                   true,
		"Text/Event-Stream; charset=utf-8":    true,
		"application/json, text/event-stream": true,
		"text/event-stream;q=0.5, */*;q=0.1":  true,
		"text/event-stream;q=0":               false,
		"text/event-stream;q=0.000, */*":      false,
		"text/event-stream;q=x":               false,
	} {
		if got := acceptsEventStream([]string{accept}); got != want {
			t.Errorf("Accept: %s is a stream: %t, want %t", accept, got, want)
		}
	}
}

func TestStreamsAreBoundedInNumber(t *testing.T) {
	var told *heard
	r := serveFakes(t, func(c *Config) { c.Streams = 2; told = hear(c) })
	r.spec = nil // as above
	r.grow(1)
	first, second := r.listen(t, "?after=end"), r.listen(t, "?after=end")
	first.expect(t, mark(t, 1))
	second.expect(t, mark(t, 1))
	expect(t, r.ask(t, "GET", "/v1/events/account", "", "Accept: text/event-stream"), 429, problem.Overloaded, "")
	told.wantRefusals(t, problem.LimitStreams, 1)
	if streams, calls := told.level("streams"), told.level("calls"); streams != 2 || calls != 0 {
		t.Errorf("told of %d streams and %d calls, two streams are open", streams, calls)
	}
	if a := r.ask(t, "GET", "/v1/events/account", ""); a.code != 200 {
		t.Errorf("a page is no stream: %d", a.code)
	}
	// The place of one that leaves is free again.
	_ = first.response.Body.Close()
	for deadline := time.Now().Add(10 * time.Second); len(r.handler.streams) > 1; {
		if time.Now().After(deadline) {
			t.Fatal("the reader left, and its place was not freed")
		}
		<-time.After(time.Millisecond)
	}
	r.listen(t, "?after=end").expect(t, mark(t, 1))
}

func TestAFeedThatFailsEndsTheStream(t *testing.T) {
	r := serveFakes(t, nil)
	g := r.grow(1)
	page := r.page
	r.page = func(ctx context.Context, after eventstore.Position, limit int) ([]eventstore.Event, eventstore.Position, error) {
		if g.head.Load() > 1 {
			return nil, after, errors.New("the store is away")
		}
		return page(ctx, after, limit)
	}
	l := r.listen(t, "")
	l.expect(t, last(t, 1))
	g.changed <- struct{}{}
	if !l.ended() {
		t.Error("the stream did not end in order")
	}
}

func TestDrainingEndsStreamsAndRefusesCallsButNotThoseUnderWay(t *testing.T) {
	r := serveFakes(t, nil)
	r.grow(1)
	l := r.listen(t, "")
	l.expect(t, last(t, 1))
	arrived, finish := make(chan struct{}), make(chan struct{})
	handle := r.handle
	r.handle = func(ctx context.Context, aggregate string, c shard.Command) (shard.Answer, error) {
		close(arrived)
		<-finish
		return handle(ctx, aggregate, c)
	}
	answered := make(chan answer, 1)
	go func() { answered <- r.ask(t, "POST", depositPath, `{}`) }()
	<-arrived
	r.handler.Drain()
	r.handler.Drain() // twice is as good as once
	if !l.ended() {
		t.Error("the stream did not end in order")
	}
	a := r.ask(t, "GET", "/v1/shards", "")
	expect(t, a, 503, problem.NotAttempted, "")
	if a.header.Get("Retry-After") != "1" || !a.closes {
		t.Errorf("headers of a refusal: %v", a.header)
	}
	close(finish)
	if a := <-answered; a.code != 200 {
		t.Errorf("the command under way was answered %d", a.code)
	}
}

func TestHTTP2WithoutTLSIsSpoken(t *testing.T) {
	r := serveFakes(t, nil)
	g := r.grow(1)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	t.Cleanup(transport.CloseIdleConnections)
	r.client = &http.Client{Transport: transport}
	if a := r.ask(t, "POST", depositPath, `{"amount":1}`); a.code != 200 {
		t.Errorf("a command: %d %s", a.code, a.body)
	}
	l := r.listen(t, "")
	if l.response.ProtoMajor != 2 {
		t.Fatalf("it spoke %s", l.response.Proto)
	}
	l.expect(t, last(t, 1))
	g.changed <- struct{}{}
	l.expect(t, last(t, 2))
}

// pipes is a net.Listener of connections in memory, so that virtual time passes
// while both ends wait.
type pipes struct {
	accept chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accept:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// inMemory serves fakes on a pipe and sends one request; the rest of what the
// server says comes from the connection.
func inMemory(t *testing.T, prepare func(*rig), request string) (net.Conn, func()) {
	f := newFakes(t)
	r := &rig{fakes: f, handler: NewHandler(f.config())}
	prepare(r)
	server := NewServer(r.handler, r.handler.Logger)
	p := &pipes{accept: make(chan net.Conn), closed: make(chan struct{})}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(p) }()
	ours, theirs := net.Pipe()
	p.accept <- theirs
	if _, err := io.WriteString(ours, request); err != nil {
		t.Fatal(err)
	}
	return ours, func() {
		_ = ours.Close()
		r.handler.Drain()
		_ = server.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}
}

const streamRequest = "GET /v1/events/account?after=end HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"

func TestAnIdleStreamSaysEvery15SecondsThatItLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		connection, end := inMemory(t, func(r *rig) { r.grow(1) }, streamRequest)
		defer end()
		lines := bufio.NewReader(connection)
		began := time.Now()
		for beat := 1; beat <= 20; {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if line != ": alive\n" {
				continue
			}
			if got, want := time.Since(began), time.Duration(beat)*15*time.Second; got != want {
				t.Errorf("comment %d came after %s, want %s", beat, got, want)
			}
			beat++
		}
	})
}

func TestAReaderThatDoesNotReadIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var handler *Handler
		connection, end := inMemory(t, func(r *rig) {
			g := r.grow(1)
			handler = r.handler
			go func() {
				for range 1000 {
					select {
					case g.changed <- struct{}{}:
					case <-r.handler.draining.Done():
						return
					}
				}
			}()
		}, "GET /v1/events/account HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
		defer end()
		synctest.Wait()
		if len(handler.streams) != 1 {
			t.Fatal("the stream did not begin")
		}
		time.Sleep(2*DefaultStreamWrite + time.Second) // virtual
		if len(handler.streams) != 0 {
			t.Error("the stream is still open")
		}
		// Nothing was read of it.
		_ = connection.Close()
	})
}

func TestABodyThatDoesNotComeIsNotWaitedForForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		connection, end := inMemory(t, func(*rig) {}, "POST "+depositPath+" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
		defer end()
		began := time.Now()
		line, err := bufio.NewReader(connection).ReadString('\n')
		if err != nil || !strings.HasPrefix(line, "HTTP/1.1 400 ") || time.Since(began) != bodyTimeout {
			t.Errorf("after %s: %q, %v", time.Since(began), line, err)
		}
	})
}

func TestALongWaitOutlivesTheTimeForBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		prepare := func(r *rig) {
			r.handler.CommandTimeout = 2 * bodyTimeout
			handle := r.handle
			r.handle = func(ctx context.Context, aggregate string, c shard.Command) (shard.Answer, error) {
				select {
				case <-time.After(bodyTimeout + time.Second):
					return handle(ctx, aggregate, c)
				case <-ctx.Done():
					return shard.Answer{}, ctx.Err()
				}
			}
		}
		connection, end := inMemory(t, prepare, "POST "+depositPath+" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
		defer end()
		line, err := bufio.NewReader(connection).ReadString('\n')
		if err != nil || line != "HTTP/1.1 200 OK\r\n" {
			t.Errorf("%q, %v", line, err)
		}
	})
}
