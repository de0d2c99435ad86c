package api

import (
	"log/slog"
	"time"
)

const (
	// DefaultCommandTimeout is longer than a failover takes, and shorter than
	// what proxies in front of a service usually wait for.
	DefaultCommandTimeout = 10 * time.Second
	// DefaultReadTimeout is the same for reads.
	DefaultReadTimeout = 10 * time.Second
	// DefaultStreams is how many event streams may be open at once. Each is a
	// goroutine with one page of events.
	DefaultStreams = 256
	// DefaultStreamWrite is how long the reader of a stream may take to receive
	// one page before it is cut off: it can resume from its last checkpoint.
	DefaultStreamWrite = 10 * time.Second

	// DefaultCalls is how many calls may be under way at once, streams not counted:
	// more than routing holds while shards move, so that those are refused first.
	// Each is a goroutine with its buffers, some 20 KiB.
	DefaultCalls = 8192
	// DefaultBodyBytes is what the bodies of all calls may take, from their first
	// byte to the call's answer: as much as shards hold for their mailboxes.
	DefaultBodyBytes = 64 << 20
	// DefaultAnswerBytes is what the answers of all calls may take, from being read to
	// being written, whose callers may be slow.
	DefaultAnswerBytes = 64 << 20
	// DefaultPages is how many calls read events at once, pages of them or a state of
	// the past: some more than a
	// store has connections for reading. Others wait for their turn.
	DefaultPages = 8
	// DefaultConnections is how many connections may be open: callers, proxies and
	// streams of a busy pod. Idle ones take some 20 KiB each.
	DefaultConnections = 4096

	// PageBytes is what the data of a page's events, or its rows, may reach: the page
	// ends with the one that does, and the next one goes on after it. A thousand
	// events of a usual size have less.
	PageBytes = 1 << 20

	// MaxBody is the most bytes that a request's body may have.
	MaxBody = 1 << 20
	// maxWait bounds how long a query may wait for a position; defaultWait is
	// how long one does that gives a position and no time.
	maxWait     = time.Minute
	defaultWait = 2 * time.Second
	// keepAlive is how often a stream says that it lives: often enough for
	// proxies, which close silent connections after 30 s or more.
	keepAlive = 15 * time.Second
	// bodyTimeout is how long a caller may take to send a body.
	bodyTimeout = 30 * time.Second
)

// Config is what a Handler needs. The interfaces are required; everything else
// has a default.
type Config struct {
	Aggregates  Aggregates
	Feed        Feed
	Projections Projections
	Catalog     Catalog

	// Version is the release's, for the OpenAPI document; default "unknown".
	Version string
	// Logger defaults to slog.Default().
	Logger *slog.Logger
	// Observer is told what happens, for metrics.
	Observer Observer

	// CommandTimeout and ReadTimeout bound a command and a read.
	CommandTimeout time.Duration
	ReadTimeout    time.Duration
	// Streams bounds the open event streams; one more is answered Overloaded.
	Streams int
	// Calls bounds the calls under way, BodyBytes what their bodies take; beyond
	// either a call is answered Overloaded.
	Calls     int
	BodyBytes int64
	// AnswerBytes bounds what answers take; beyond it a read is answered Overloaded, a
	// command never, and a stream ends, to be resumed. Pages bounds the calls that read
	// events: one that waits for its turn until its time ends is answered Overloaded.
	AnswerBytes int64
	Pages       int
	// Connections bounds the open connections. What comes on one more is answered
	// NotAttempted, and the connection closed; of those there are 256 at most, and
	// more wait to be accepted.
	Connections int
	// StreamWrite bounds one write to a stream.
	StreamWrite time.Duration
}

func (c Config) withDefaults() Config {
	if c.Version == "" {
		c.Version = "unknown"
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.CommandTimeout <= 0 {
		c.CommandTimeout = DefaultCommandTimeout
	}
	if c.ReadTimeout <= 0 {
		c.ReadTimeout = DefaultReadTimeout
	}
	if c.Streams <= 0 {
		c.Streams = DefaultStreams
	}
	if c.Calls <= 0 {
		c.Calls = DefaultCalls
	}
	if c.BodyBytes <= 0 {
		c.BodyBytes = DefaultBodyBytes
	}
	if c.AnswerBytes <= 0 {
		c.AnswerBytes = DefaultAnswerBytes
	}
	if c.Pages <= 0 {
		c.Pages = DefaultPages
	}
	if c.Connections <= 0 {
		c.Connections = DefaultConnections
	}
	if c.StreamWrite <= 0 {
		c.StreamWrite = DefaultStreamWrite
	}
	return c
}
