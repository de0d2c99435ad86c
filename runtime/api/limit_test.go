package api

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

// blocked makes commands wait until the returned function is called.
func blocked(r *rig) (arrived chan struct{}, release func()) {
	arrived, gate := make(chan struct{}, 16), make(chan struct{})
	handle := r.handle
	r.handle = func(ctx context.Context, aggregate string, c shard.Command) (shard.Answer, error) {
		arrived <- struct{}{}
		<-gate
		return handle(ctx, aggregate, c)
	}
	return arrived, func() { close(gate) }
}

func wantRefused(t *testing.T, a answer, status int, reason problem.Reason) {
	t.Helper()
	if a.code != status || a.problem(t).Reason != reason || a.header.Get("Retry-After") == "" {
		t.Errorf("%d %s, Retry-After %q; want %d %s with a time", a.code, a.body, a.header.Get("Retry-After"), status, reason)
	}
}

func TestCallsBeyondTheLimitAreOverloaded(t *testing.T) {
	for name, tt := range map[string]struct {
		limit func(*Config)
		by    problem.Limit
	}{
		"as many calls as may be": {func(c *Config) { c.Calls = 1 }, problem.LimitCalls},
		"as many bytes as may be": {func(c *Config) { c.BodyBytes = 20 }, problem.LimitBodies},
	} {
		t.Run(name, func(t *testing.T) {
			var told *heard
			r := serveFakes(t, func(c *Config) { tt.limit(c); told = hear(c) })
			arrived, release := blocked(r)
			first := make(chan answer, 1)
			go func() { first <- r.ask(t, "POST", depositPath, `{"amount":1}`) }()
			<-arrived
			if calls, bytes := told.level("calls"), told.level("bodyBytes"); calls != 1 || bytes < int64(len(`{"amount":1}`)) {
				t.Errorf("told of %d calls and %d bytes, one is under way", calls, bytes)
			}
			wantRefused(t, r.ask(t, "POST", depositPath, `{"amount":1}`), 429, problem.Overloaded)
			told.wantRefusals(t, tt.by, 1)
			release()
			if a := <-first; a.code != 200 {
				t.Errorf("the first: %d %s", a.code, a.body)
			}
			if a := r.ask(t, "POST", depositPath, `{"amount":1}`); a.code != 200 {
				t.Errorf("after it: %d %s", a.code, a.body)
			}
			if calls, bytes := r.handler.calls.Load(), r.handler.bodies.Load(); calls != 0 || bytes != 0 {
				t.Errorf("%d calls and %d bytes are still booked", calls, bytes)
			}
			told.wantRest(t, "calls", "bodyBytes")
		})
	}
}

func TestABodyBeyondTheLimitIsTooLarge(t *testing.T) {
	var told *heard
	r := serveFakes(t, func(c *Config) { told = hear(c) })
	expect(t, r.ask(t, "POST", depositPath, strings.Repeat(" ", MaxBody+1)), 413, problem.TooLarge, "")
	told.wantRefusals(t, problem.LimitBody, 1)
	told.wantRest(t, "calls", "bodyBytes")
}

func TestASlowBodyHoldsWhatHasComeAndNotWhatIsAnnounced(t *testing.T) {
	r := serveFakes(t, func(c *Config) { c.BodyBytes = 16 << 10 })
	slow, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = slow.Close() }()
	fmt.Fprintf(slow, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{", depositPath)
	for deadline := time.Now().Add(10 * time.Second); r.handler.bodies.Load() == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the body is not read")
		}
		<-time.After(time.Millisecond)
	}
	if a := r.ask(t, "POST", depositPath, `{"amount":1}`); a.code != 200 {
		t.Errorf("beside it: %d %s", a.code, a.body)
	}
}

func TestAConnectionBeyondTheLimitIsToldSo(t *testing.T) {
	cfg := newFakes(t).config()
	cfg.Connections = 1
	told := hear(&cfg)
	handler := NewHandler(cfg)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := NewServer(handler, nil)
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(handler.Limit(listener)) }()
	defer func() { _ = server.Close(); <-ended }()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	ask := func(c net.Conn) (int, string) {
		fmt.Fprint(c, "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
		a, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(a.Body)
		_ = a.Body.Close()
		return a.StatusCode, string(body)
	}
	first := dial()
	if code, body := ask(first); code != 200 {
		t.Fatalf("the first: %d %s", code, body)
	}
	second := dial()
	if code, body := ask(second); code != 503 || !strings.Contains(body, "NotAttempted") {
		t.Errorf("one more: %d %s", code, body)
	}
	told.wantRefusals(t, problem.LimitConnections, 1)
	if n := told.level("connections"); n < 1 {
		t.Errorf("told of %d connections, one is open", n)
	}
	_ = second.Close()
	_ = first.Close()
	for deadline := time.Now().Add(10 * time.Second); ; {
		third := dial()
		code, body := ask(third)
		_ = third.Close()
		if code == 200 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after the first has gone: %d %s", code, body)
		}
		<-time.After(10 * time.Millisecond)
	}
	told.wantRest(t, "connections")
}

func TestConnectionsBeyondThoseThatAreToldSoWait(t *testing.T) {
	cfg := newFakes(t).config()
	cfg.Connections = 1
	told := hear(&cfg)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener := NewHandler(cfg).Limit(inner)
	accepted, ended := make(chan net.Conn, 2*surplus), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	var dialled []net.Conn
	for range 1 + surplus + 3 {
		c, err := net.Dial("tcp", inner.Addr().String()) // the kernel's backlog takes it
		if err != nil {
			t.Fatal(err)
		}
		dialled = append(dialled, c)
	}
	var open []net.Conn
	for range 1 + surplus {
		open = append(open, <-accepted)
	}
	if n := told.level("connections"); n != 1+surplus {
		t.Errorf("told of %d connections, want %d", n, 1+surplus)
	}
	for range 3 { // each that ends lets one more in
		_ = open[0].Close()
		open = append(open[1:], <-accepted)
		if n := told.level("connections"); n != 1+surplus {
			t.Errorf("told of %d connections when one has taken another's place, want %d", n, 1+surplus)
		}
	}
	_ = listener.Close()
	<-ended
	close(accepted)
	for c := range accepted {
		open = append(open, c)
	}
	for _, c := range append(open, dialled...) {
		_ = c.Close()
	}
	told.wantRest(t, "connections")
}
