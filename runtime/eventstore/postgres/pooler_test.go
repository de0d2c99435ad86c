package postgres_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/leftfold/leftfold/api/postgres/pgtest"
	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/eventstore/postgres"
)

// pooler gives its clients sessions of the server as PgBouncer does: for as long
// as the client stays, or for one transaction.
type pooler struct {
	listener    net.Listener
	url         string
	transaction bool // share sessions between transactions
	inTurn      bool // hand them out in turn, not the last one first
	running     sync.WaitGroup

	mu      sync.Mutex
	idle    []*pgconn.HijackedConn
	clients map[net.Conn]bool
	closed  bool
}

func newPooler(t *testing.T, p *pooler) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.listener, p.url, p.clients = listener, pgtest.URL(t), map[net.Conn]bool{}
	p.running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			p.running.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		p.mu.Lock()
		p.closed = true
		for c := range p.clients {
			_ = c.Close()
		}
		p.mu.Unlock()
		p.running.Wait()
		for _, s := range p.idle {
			_ = s.Conn.Close()
		}
	})
	u, err := url.Parse(p.url)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = listener.Addr().String()
	return u.String()
}

// take gives an idle session, or a new one.
func (p *pooler) take() (*pgconn.HijackedConn, error) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		at := n - 1
		if p.inTurn {
			at = 0
		}
		s := p.idle[at]
		p.idle = append(p.idle[:at:at], p.idle[at+1:]...)
		p.mu.Unlock()
		return s, nil
	}
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgconn.Connect(ctx, p.url)
	if err != nil {
		return nil, err
	}
	return conn.Hijack()
}

func (p *pooler) giveBack(s *pgconn.HijackedConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, s)
}

// serve speaks for the server to one client.
func (p *pooler) serve(conn net.Conn) {
	defer conn.Close()
	p.mu.Lock()
	p.clients[conn] = true
	closed := p.closed
	p.mu.Unlock()
	session, err := p.take()
	if err != nil {
		return
	}
	client := pgproto3.NewBackend(conn, conn)
	if _, err := client.ReceiveStartupMessage(); err != nil || closed {
		p.giveBack(session)
		return
	}
	client.Send(&pgproto3.AuthenticationOk{})
	for name, value := range session.ParameterStatuses {
		client.Send(&pgproto3.ParameterStatus{Name: name, Value: value})
	}
	// As PgBouncer does, with an id of its own.
	client.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{0, 0, 0, 1}})
	client.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	if err := client.Flush(); err != nil {
		p.giveBack(session)
		return
	}
	if p.transaction {
		p.giveBack(session)
		session = nil
	}
	for {
		first, err := client.Receive() // only now a session is needed
		if err != nil {
			break
		}
		if session == nil {
			if session, err = p.take(); err != nil {
				return
			}
		}
		status, err := relay(client, session, first)
		if err != nil {
			break
		}
		if p.transaction && status == 'I' {
			p.giveBack(session)
			session = nil
		}
	}
	if session != nil {
		p.giveBack(session)
	}
}

// relay carries one exchange, from the client's messages up to its Sync or Query
// to the server's ReadyForQuery, and gives the transaction's status.
func relay(client *pgproto3.Backend, session *pgconn.HijackedConn, message pgproto3.FrontendMessage) (byte, error) {
	for sent := false; !sent; {
		switch message.(type) {
		case *pgproto3.Terminate:
			return 0, net.ErrClosed
		case *pgproto3.Sync, *pgproto3.Query:
			sent = true
		}
		session.Frontend.Send(message)
		if !sent {
			var err error
			if message, err = client.Receive(); err != nil {
				return 0, err
			}
		}
	}
	if err := session.Frontend.Flush(); err != nil {
		return 0, err
	}
	for {
		answer, err := session.Frontend.Receive()
		if err != nil {
			return 0, err
		}
		client.Send(answer)
		if ready, ok := answer.(*pgproto3.ReadyForQuery); ok {
			return ready.TxStatus, client.Flush()
		}
	}
}

func TestAPoolerThatSharesSessionsBetweenTransactionsIsRefused(t *testing.T) {
	for name, p := range map[string]*pooler{
		"and hands out the last one first": {transaction: true},
		"and hands them out in turn":       {transaction: true, inTurn: true},
	} {
		t.Run(name, func(t *testing.T) {
			through := newPooler(t, p)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			s, err := postgres.Open(ctx, postgres.Options{URL: through, Schema: pgtest.Schema(t)})
			if err == nil {
				_ = s.Close()
			}
			if !errors.Is(err, eventstore.ErrUnsafe) || !strings.Contains(err.Error(), "pool_mode = session") {
				t.Errorf("open: %v; want ErrUnsafe that names pool_mode = session", err)
			}
		})
	}
}

func TestAPoolerThatGivesEachClientASessionIsFine(t *testing.T) {
	s := open(t, func(o *postgres.Options) { o.URL = newPooler(t, &pooler{}) })
	id := aggregate(t, s, 1)[0]
	o := claim(t, s, id, 0)
	o.mustAppend(s, o.batch("anna", `{}`, 1))
	idle := session(t, pgtest.URL(t), s)
	exec(t, idle, "BEGIN")
	exec(t, idle, "SELECT FROM shard FOR UPDATE")
	begun := time.Now()
	claim(t, s, id, 1) // finds its own backend behind the pooler, and who holds it up
	t.Logf("the claim took %v", time.Since(begun))
}
