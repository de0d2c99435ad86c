package server

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/leftfold/leftfold/api/identity"
	"github.com/leftfold/leftfold/runtime/peer"
)

const (
	// rpcHeaderTimeout bounds how long a caller may take to say what it wants.
	rpcHeaderTimeout = 5 * time.Second
	// rpcPing is how long a connection may be silent before it is asked whether it
	// still is one; without an answer it is closed after the same time again.
	rpcPing = 2 * time.Second
	// rpcStreams is how many calls one connection may have open: a pod that
	// forwards uses one connection for all.
	rpcStreams = 10000
)

// serveRPC serves what the operator and the other pods of the runtime may ask.
func (m *Managed) serveRPC(cfg *ManagedConfig) {
	mux := http.NewServeMux()
	path, handler := m.control.Handler()
	mux.Handle(path, identity.Only(handler, identity.OperatorName))
	path, handler = peer.NewHandler(m.router.Local(), 0, m.metrics.Peers(), m.log)
	mux.Handle(path, identity.Only(handler, identity.RuntimeName(cfg.Namespace, cfg.Runtime)))
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	m.rpc = &http.Server{
		Handler: mux, TLSConfig: identity.ServerConfig(cfg.Identity), Protocols: protocols, ReadHeaderTimeout: rpcHeaderTimeout,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: rpcStreams, SendPingTimeout: rpcPing, PingTimeout: rpcPing, WriteByteTimeout: 2 * rpcPing,
		},
		ErrorLog: slog.NewLogLogger(m.log.Handler(), slog.LevelDebug),
	}
	m.serveTLS(m.rpc, m.rpcAt)
}
