package peer

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	"github.com/leftfold/leftfold/api/identity"
	"github.com/leftfold/leftfold/api/rpc"
	"github.com/leftfold/leftfold/api/rpc/leftfold/v1/leftfoldv1connect"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/routing"
)

const (
	// DefaultPeerCalls bounds the calls that are with one other process: as many
	// as routing holds come loose at once when a shard has found its owner.
	DefaultPeerCalls = 4096
	// DefaultCalls is the bound for all processes together.
	DefaultCalls = 8192
	// connectTimeout bounds the making of a connection. A living process in the
	// same cluster needs some milliseconds.
	connectTimeout = time.Second
	// silence is how long a connection may be silent before it is asked for a sign
	// of life, and how long the other process has to give one.
	silence = time.Second
)

var errClosed = errors.New("this process ends")

// Config is what a Pool works with.
type Config struct {
	// Identity is this pod's; ServerName is the name that the others have in their
	// certificates (identity.RuntimeName).
	Identity   identity.Source
	ServerName string
	// PeerCalls and Calls bound the calls at once, to one process and to all; zero
	// means the defaults above. Calls beyond are Overloaded.
	PeerCalls, Calls int
	// Observer is told what happens, for metrics.
	Observer Observer
	// Logger is told of connections that come and fail; nil is slog's default.
	Logger *slog.Logger
}

// Observer is told what happens. Any field may be nil; all are called from several
// goroutines.
type Observer struct {
	// Refused: a call has met a limit.
	Refused func(by problem.Limit)
	// The changes of gauges: calls that are with other processes, and calls of
	// others that are served here.
	Calls  func(delta int)
	Served func(delta int)
}

func (o *Observer) refused(by problem.Limit) {
	if o.Refused != nil {
		o.Refused(by)
	}
}

func change(f func(int), delta int) {
	if f != nil {
		f(delta)
	}
}

// Pool holds the connections to the other pods of a Runtime. Its methods are safe
// for concurrent use.
type Pool struct {
	cfg       Config
	transport *http.Transport
	calls     atomic.Int64

	ctx    context.Context // of connections that are being made
	cancel context.CancelFunc

	mu    sync.Mutex
	peers map[string]*peer

	// Apart from mu: a peer takes this while it has its own lock.
	dialing sync.Mutex
	dials   sync.WaitGroup
	closed  bool
}

// NewPool makes a Pool without connections.
func NewPool(cfg Config) *Pool {
	cfg.PeerCalls = cmp.Or(max(cfg.PeerCalls, 0), DefaultPeerCalls)
	cfg.Calls = cmp.Or(max(cfg.Calls, 0), DefaultCalls)
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	p := &Pool{cfg: cfg, peers: map[string]*peer{}, transport: &http.Transport{
		DialContext:     rpc.Dialer(connectTimeout).DialContext,
		TLSClientConfig: identity.ClientConfig(cfg.Identity, cfg.ServerName), TLSHandshakeTimeout: connectTimeout,
		Protocols: protocols, HTTP2: &http.HTTP2Config{SendPingTimeout: silence, PingTimeout: silence},
		DisableCompression: true,
	}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// Owner gives the process at an address, host:port. Nothing is connected yet.
func (p *Pool) Owner(address string) routing.Peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.peers[address]; known != nil {
		return known
	}
	// Pods come and go under ever new addresses; a new one is a good time to
	// forget those that are gone.
	for at, old := range p.peers {
		if old.idle() {
			delete(p.peers, at)
		}
	}
	made := &peer{pool: p, address: address}
	made.client = leftfoldv1connect.NewEntityServiceClient(made, "https://"+address, connect.WithAcceptCompression("gzip", nil, nil))
	p.peers[address] = made
	return made
}

// Close ends all connections, and the calls on them with routing.ErrLost. Calling
// it again does nothing.
func (p *Pool) Close() {
	p.dialing.Lock()
	p.closed = true
	p.dialing.Unlock()
	p.cancel()
	p.dials.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, each := range p.peers {
		each.close()
	}
}

// start runs the making of a connection; false when the Pool is closed.
func (p *Pool) start(dial func()) bool {
	p.dialing.Lock()
	defer p.dialing.Unlock()
	if p.closed {
		return false
	}
	p.dials.Go(dial)
	return true
}
