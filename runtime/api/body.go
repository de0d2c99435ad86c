package api

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/leftfold/leftfold/runtime/problem"
)

// firstRead is the room for a body of which nothing is known, or not yet believed:
// a caller who announces much and sends nothing holds no more.
const firstRead = 4 << 10

// bytes reads the body, whatever it holds. The bytes count until the call has
// ended, as they come and not as they were announced: callers who send slowly must
// not keep the room of what they have not sent.
func (c *call) bytes() ([]byte, error) {
	if c.r.ContentLength > MaxBody {
		c.w.Header().Set("Connection", "close") // the body stays unread
		return nil, c.tooLarge()
	}
	// A caller who never ends its body would hold this goroutine. The server
	// takes the deadline away when the body has ended, so it bounds no wait after
	// that; else it stays, and the connection is not used again.
	_ = http.NewResponseController(c.w).SetReadDeadline(time.Now().Add(bodyTimeout))
	size := int64(firstRead)
	if announced := c.r.ContentLength; announced >= 0 && announced < size {
		size = announced + 1 // with room to see the end
	}
	if !c.hold(size) {
		return nil, c.full()
	}
	data := make([]byte, 0, size)
	for {
		n, err := c.r.Body.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case len(data) > MaxBody:
			c.w.Header().Set("Connection", "close")
			return nil, c.tooLarge()
		case errors.Is(err, io.EOF):
			return data, nil
		case err != nil:
			c.w.Header().Set("Connection", "close")
			return nil, problem.New(problem.MalformedBody, "the body did not come as it was announced: too short, or too slow")
		case len(data) < cap(data):
			continue
		}
		more := min(int64(cap(data)), MaxBody+1-int64(cap(data)))
		if !c.hold(more) {
			return nil, c.full()
		}
		grown := make([]byte, len(data), int64(cap(data))+more)
		copy(grown, data)
		data = grown
	}
}

// hold books bytes of this call's body; false when there is no room.
func (c *call) hold(bytes int64) bool {
	if c.bodies.Add(bytes) > c.BodyBytes {
		c.bodies.Add(-bytes)
		return false
	}
	c.held += bytes
	tell(c.Observer.BodyBytes, bytes)
	return true
}

func (c *call) full() error {
	c.w.Header().Set("Connection", "close")
	return c.over(problem.LimitBodies, problem.New(problem.Overloaded, "the bodies of calls take as much memory as they may"))
}

func (c *call) tooLarge() error {
	return c.over(problem.LimitBody, problem.New(problem.TooLarge, "the body has more than %d bytes", MaxBody))
}
