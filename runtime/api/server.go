package api

import (
	"log/slog"
	"net/http"
	"time"
)

const (
	// headerTimeout is how long a caller may take to send its request line and
	// headers, idleTimeout how long a connection is kept for the next request.
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	// writeTimeout is how long a request may take as a whole, its wait and the
	// caller's reading included. Streams set deadlines of their own.
	writeTimeout = 2 * time.Minute
	// maxHeader bounds request line and headers: the longest of each are a query
	// for a thousand values and a position.
	maxHeader = 64 << 10
	// maxConcurrent is how many calls one HTTP/2 connection may have open.
	maxConcurrent = 1000
)

// NewServer makes the server of the API's port. It speaks HTTP/1.1, and HTTP/2
// without TLS to callers who begin with it. There is no timeout for a whole
// request's arrival, for it would end streams and waits: a handler that reads a
// body sets one.
func NewServer(h *Handler, logger *slog.Logger) *http.Server {
	if logger == nil {
		logger = slog.Default()
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           h,
		ConnContext:       markTooMany,
		ReadHeaderTimeout: headerTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		Protocols:         protocols,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxConcurrent},
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
}
