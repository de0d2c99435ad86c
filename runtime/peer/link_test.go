package peer

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// link carries connections to another address, until it is cut: then nothing gets
// through, and nobody is told.
type link struct {
	address string
	made    atomic.Int64
	severed atomic.Bool
}

func newLink(t testing.TB, to string) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{address: listener.Addr().String()}
	var work sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	work.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			l.made.Add(1)
			far, err := net.Dial("tcp", to)
			if err != nil {
				_ = near.Close()
				continue
			}
			mu.Lock()
			open = append(open, near, far)
			mu.Unlock()
			work.Go(func() { l.carry(near, far) })
			work.Go(func() { l.carry(far, near) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for _, c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		work.Wait()
	})
	return l
}

func (l *link) carry(from, to net.Conn) {
	_, err := io.Copy(writer{l, to}, from)
	if err == nil && !l.severed.Load() {
		_ = to.Close()
	}
}

type writer struct {
	link *link
	to   net.Conn
}

func (w writer) Write(b []byte) (int, error) {
	if w.link.severed.Load() {
		return len(b), nil
	}
	return w.to.Write(b)
}

func (l *link) cut() { l.severed.Store(true) }

func (l *link) connections() int64 { return l.made.Load() }
