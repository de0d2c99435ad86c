package postgres_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// tap stands between a store and the server, sees every connection, and breaks
// them as a network does.
type tap struct {
	listener net.Listener
	target   string
	running  sync.WaitGroup
	// frozen is signalled when a statement was held back.
	frozen chan struct{}

	mu      sync.Mutex
	sockets map[net.Conn]bool
	// cancels are the server processes that were asked to cancel what they do.
	cancels map[uint32]bool
	// freeze holds back the end of the next append, for ever.
	freeze bool
}

// The codes that a connection opens with, from the manual's "Message Formats".
const cancelRequest = 80877102

func newTap(t testing.TB, target string) *tap {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{listener: listener, target: target, frozen: make(chan struct{}, 1), sockets: map[net.Conn]bool{}, cancels: map[uint32]bool{}}
	p.running.Go(p.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		p.cut()
		p.running.Wait()
	})
	return p
}

// through rewrites a URL so that it leads through the tap.
func (p *tap) through(t testing.TB, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = p.listener.Addr().String()
	return u.String()
}

// host is where a URL leads.
func host(t testing.TB, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// cut breaks every connection.
func (p *tap) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.sockets {
		_ = c.Close()
	}
}

// cancelled tells whether a server process was asked to cancel what it does.
func (p *tap) cancelled(process uint32) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cancels[process]
}

// freezeNextAppend forwards the next append of events but for its last message, the
// Sync.
func (p *tap) freezeNextAppend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.freeze = true
}

func (p *tap) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.sockets[client], p.sockets[server] = true, true
		p.mu.Unlock()
		p.running.Go(func() { p.forward(server, client) })
		p.running.Go(func() { _, _ = io.Copy(client, server); _ = client.Close() })
	}
}

func (p *tap) forward(server, client net.Conn) {
	defer server.Close()
	buffer := make([]byte, 1<<20)
	for first := true; ; first = false {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		message := buffer[:n]
		if first && n >= 12 && binary.BigEndian.Uint32(message[4:]) == cancelRequest {
			p.mu.Lock()
			p.cancels[binary.BigEndian.Uint32(message[8:])] = true
			p.mu.Unlock()
		}
		message, hold := p.withhold(message)
		if _, err := server.Write(message); err != nil {
			return
		}
		if hold {
			p.frozen <- struct{}{}
			_, _ = io.Copy(io.Discard, client) // until the client goes; the server is not told
			return
		}
	}
}

// withhold cuts the Sync off an append's messages (Bind, Describe, Execute, Sync). What
// a new connection rehearses has no events.
func (p *tap) withhold(message []byte) ([]byte, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sync := []byte{'S', 0, 0, 0, 4}
	if !p.freeze || !bytes.HasPrefix(message, []byte{'B'}) || !bytes.Contains(message, []byte("leftfold_append\x00")) ||
		!bytes.Contains(message, []byte(`{"time":`)) || !bytes.HasSuffix(message, sync) {
		return message, false
	}
	p.freeze = false
	return message[:len(message)-len(sync)], true
}
