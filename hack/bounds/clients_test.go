package bounds

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leftfold/leftfold/api/postgres/pgtest"
)

// The callers of the test below: most send commands, one after the other, some
// follow all events and never read them, some begin a body and never end it.
const (
	clients     = 2000
	slowReaders = 200
	slowSenders = 300
)

// maxConnections is the sum of the store's pools: append and abandoned, control,
// query, projection.
const maxConnections = 4 + 2 + 3 + 5 + 4

// usage is what a process has taken.
type usage struct{ goroutines, files, connections, resident int }

func TestTwoThousandCallersLeaveNothingBehind(t *testing.T) {
	database := pgtest.Start(t)
	p := start(t, build(t), bank, "--store", database.URL())
	admin, err := pgx.Connect(t.Context(), database.SuperuserURL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close(context.WithoutCancel(t.Context())) }()
	take := func() (u usage) {
		err := admin.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`).Scan(&u.connections)
		if err != nil {
			t.Fatal(err)
		}
		u.goroutines, u.files, u.resident = int(p.metric(t, "go_goroutines")), p.files(t), p.kib(t, "VmRSS")
		return u
	}
	before := take()
	t.Logf("before: %+v", before)

	var answered, refused atomic.Int64
	var failure atomic.Pointer[error]
	stop := make(chan struct{})
	var open, senders sync.WaitGroup
	open.Add(clients)
	for i := range clients {
		senders.Go(func() {
			if err := call(p.address, i, &open, stop, &answered, &refused); err != nil {
				failure.Store(&err)
			}
		})
	}
	open.Wait()
	var during usage
	for deadline := time.Now().Add(30 * time.Second); answered.Load() < 2*clients && time.Now().Before(deadline); {
		<-time.After(250 * time.Millisecond)
		u := take()
		during = usage{max(during.goroutines, u.goroutines), max(during.files, u.files), max(during.connections, u.connections), max(during.resident, u.resident)}
	}
	close(stop)
	senders.Wait()
	t.Logf("during: %+v; %d commands answered, %d refused", during, answered.Load(), refused.Load())
	if err := failure.Load(); err != nil {
		t.Error(*err)
	}
	// A connection is a goroutine and a file; a call and a stream have one or two more.
	if most := before.goroutines + 3*clients; during.goroutines > most {
		t.Errorf("%d goroutines, want at most %d", during.goroutines, most)
	}
	if most := before.files + clients + maxConnections; during.files > most || during.files < clients {
		t.Errorf("%d files, want %d to %d", during.files, clients, most)
	}
	if during.connections > maxConnections {
		t.Errorf("%d connections of the database, want at most %d", during.connections, maxConnections)
	}
	var after usage
	for deadline := time.Now().Add(20 * time.Second); ; <-time.After(100 * time.Millisecond) {
		after = take()
		if after.goroutines <= before.goroutines+maxConnections && after.files <= before.files+maxConnections {
			break
		}
		if time.Now().After(deadline) {
			t.Error("what the callers took is not given back")
			break
		}
	}
	t.Logf("after: %+v", after)
}

// call is one caller; it says open once its connection is in use.
func call(address string, i int, open *sync.WaitGroup, stop <-chan struct{}, answered, refused *atomic.Int64) error {
	said := sync.OnceFunc(open.Done)
	defer said()
	w, err := dial(address)
	if err != nil {
		return err
	}
	defer func() { _ = w.Close() }()
	switch {
	case i < slowReaders:
		_, err = fmt.Fprintf(w, "GET /v1/events/account HTTP/1.1\r\nHost: bounds\r\nAccept: text/event-stream\r\n\r\n")
	case i < slowReaders+slowSenders:
		_, err = fmt.Fprintf(w, "POST /v1/aggregates/account/slow/Open HTTP/1.1\r\nHost: bounds\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{")
	default:
		said()
		for n := 0; ; n++ {
			select {
			case <-stop:
				return nil
			default:
			}
			status, body, err := w.post(fmt.Sprintf("/v1/aggregates/account/of-%d-%d/Open", i, n), `{"owner":"somebody"}`)
			switch {
			case err != nil:
				return err
			case status == 200:
				answered.Add(1)
			case status == 429, status == 503, status == 504: // what a caller of a busy machine may be told
				refused.Add(1)
			default:
				return fmt.Errorf("caller %d: %d %s", i, status, body)
			}
		}
	}
	said()
	<-stop
	return err
}
