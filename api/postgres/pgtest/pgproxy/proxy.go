// Package pgproxy is a network between a client and a PostgreSQL server, with the
// faults that networks have: connections that break before, within and after a
// statement, delays, and silence.
//
// It understands as much of the protocol as it takes to see where a prepared
// statement of a given name begins and ends on the wire (the manual's chapters
// "Message Flow" and "Message Formats"). Connections are not encrypted.
package pgproxy

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"
)

// Place says where in a statement's way a connection breaks.
type Place int

// The places, in the order of a statement's way.
const (
	// BeforeStatement: the server hears nothing of it.
	BeforeStatement Place = iota
	// MidMessage: the server has half of the message with the statement's values.
	MidMessage
	// BeforeCommit: the server has run the statement, and the message that makes
	// it commit (Sync) does not arrive.
	BeforeCommit
	// AfterCommit: the server has committed, and no word of it arrives.
	AfterCommit
	// Places is how many there are.
	Places
)

func (p Place) String() string {
	return [...]string{"before the statement", "in the middle of the message", "before the commit", "after the commit"}[p]
}

// Proxy stands between clients and one server. Its methods are safe for concurrent
// use.
type Proxy struct {
	listener  net.Listener
	target    string
	statement string
	running   sync.WaitGroup
	closed    chan struct{}

	mu    sync.Mutex
	links map[*link]bool
	place Place
	cuts  int // still to be made
	made  int
	seen  int
	delay time.Duration
	gate  chan struct{} // closed while messages pass
	shut  bool
}

// Start starts a proxy to the server of a URL, for the prepared statement of the
// given name, and ends it with the test.
func Start(t testing.TB, server, statement string) *Proxy {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{
		listener: listener, target: u.Host, statement: statement,
		closed: make(chan struct{}), links: map[*link]bool{}, gate: make(chan struct{}),
	}
	close(p.gate)
	p.running.Go(p.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		close(p.closed)
		p.Cut()
		p.running.Wait()
	})
	return p
}

// Through rewrites a URL so that it leads through the proxy.
func (p *Proxy) Through(t testing.TB, server string) string {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = p.listener.Addr().String()
	return u.String()
}

// Cut breaks every connection.
func (p *Proxy) Cut() {
	p.mu.Lock()
	links := p.links
	p.links = map[*link]bool{}
	p.mu.Unlock()
	for l := range links {
		l.cut()
	}
}

// CutStatements breaks the connections of the next n executions of the statement.
func (p *Proxy) CutStatements(place Place, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.place, p.cuts = place, n
}

// Counts tells how many executions of the statement were seen, and how many were
// cut.
func (p *Proxy) Counts() (seen, cut int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen, p.made
}

// Delay holds back whatever is sent, in both directions, for so long; 0 ends it.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Hang lets nothing pass any more, in neither direction, and no connection end,
// until Resume: that is what a partition looks like.
func (p *Proxy) Hang() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.shut {
		p.shut, p.gate = true, make(chan struct{})
	}
}

// Resume lets everything pass again, what was held back first.
func (p *Proxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shut {
		p.shut = false
		close(p.gate)
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close() // the server is down, and so are we
			continue
		}
		l := &link{proxy: p, client: client, server: server}
		p.mu.Lock()
		p.links[l] = true
		p.mu.Unlock()
		p.running.Go(func() { l.forward(); l.end() })
		p.running.Go(func() { l.back(); l.end() })
	}
}

// pass returns when something may pass.
func (p *Proxy) pass() {
	p.mu.Lock()
	gate, delay := p.gate, p.delay
	p.mu.Unlock()
	select {
	case <-gate:
	case <-p.closed:
	}
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-p.closed:
		}
	}
}

// executes notes an execution of the statement, and tells whether it is to be cut.
func (p *Proxy) executes() (Place, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen++
	if p.cuts == 0 {
		return 0, false
	}
	p.cuts--
	p.made++
	return p.place, true
}

// wire is a socket that is written to when something may pass.
type wire struct {
	proxy  *Proxy
	socket net.Conn
}

func (w wire) Write(b []byte) (int, error) {
	w.proxy.pass()
	return w.socket.Write(b)
}

// link is one connection.
type link struct {
	proxy          *Proxy
	client, server net.Conn

	mu sync.Mutex
	// fatal: the answer to the statement that runs is withheld, and with its end
	// the connection breaks.
	fatal bool
}

func (l *link) cut() {
	_ = l.client.Close()
	_ = l.server.Close()
}

// end breaks both sides when one has ended, as soon as that may be known.
func (l *link) end() {
	l.proxy.pass()
	l.cut()
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	delete(l.proxy.links, l)
}

const (
	// The codes of packets that open a connection and are no startup message.
	sslRequest, gssRequest = 80877103, 80877104

	header     = 5 // a message's type and length
	bufferSize = 64 << 10
)

// forward brings what the client sends to the server.
func (l *link) forward() {
	in, out := bufio.NewReaderSize(l.client, bufferSize), bufio.NewWriterSize(wire{l.proxy, l.server}, bufferSize)
	if err := l.open(in, out); err != nil {
		return
	}
	place, cut := Place(0), false
	for {
		kind, size, err := l.next(in)
		if err != nil {
			return
		}
		if kind == 'B' && l.binds(in, size) {
			place, cut = l.proxy.executes()
		}
		switch {
		case cut && place == BeforeStatement, cut && place == BeforeCommit && kind == 'S':
			_ = out.Flush()
			return
		case cut && place == MidMessage:
			_, _ = io.CopyN(out, in, int64(size/2))
			_ = out.Flush()
			return
		case cut && place == AfterCommit:
			l.mu.Lock()
			l.fatal = true
			l.mu.Unlock()
		}
		if err := l.send(in, out, size); err != nil {
			return
		}
	}
}

// open brings the first packet, which has no type; encryption is declined.
func (l *link) open(in *bufio.Reader, out *bufio.Writer) error {
	for {
		start, err := in.Peek(8)
		if err != nil {
			return err
		}
		if code := binary.BigEndian.Uint32(start[4:]); code != sslRequest && code != gssRequest {
			return l.send(in, out, int(binary.BigEndian.Uint32(start)))
		}
		_, _ = in.Discard(8)
		if _, err := l.client.Write([]byte{'N'}); err != nil {
			return err
		}
	}
}

// next waits for a message, and tells its type and its size on the wire.
func (l *link) next(in *bufio.Reader) (kind byte, size int, err error) {
	head, err := in.Peek(header)
	if err != nil {
		return 0, 0, err
	}
	return head[0], 1 + int(binary.BigEndian.Uint32(head[1:])), nil
}

// binds tells whether a Bind is of the statement: after the header come the
// portal's name, empty with this driver, and the statement's, each ended by a NUL.
func (l *link) binds(in *bufio.Reader, size int) bool {
	want := "\x00" + l.proxy.statement + "\x00"
	if size < header+len(want) {
		return false
	}
	start, err := in.Peek(header + len(want))
	return err == nil && string(start[header:]) == want
}

// send brings a message on. What was gathered leaves when no more is there.
func (l *link) send(in *bufio.Reader, out *bufio.Writer, size int) error {
	if _, err := io.CopyN(out, in, int64(size)); err != nil {
		return err
	}
	if in.Buffered() > 0 {
		return nil
	}
	return out.Flush()
}

// back brings the server's answers to the client.
func (l *link) back() {
	in, out := bufio.NewReaderSize(l.server, bufferSize), bufio.NewWriterSize(wire{l.proxy, l.client}, bufferSize)
	for {
		kind, size, err := l.next(in)
		if err != nil {
			return
		}
		l.mu.Lock()
		fatal := l.fatal
		l.mu.Unlock()
		if !fatal {
			if err := l.send(in, out, size); err != nil {
				return
			}
			continue
		}
		if kind == 'Z' { // ReadyForQuery: it has committed
			return
		}
		if _, err := in.Discard(size); err != nil {
			return
		}
	}
}
