package cli

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
)

// wire is one kept connection that sends commands one after another. A general
// client spends two goroutines a connection and a context a request on what a
// measurement does not need; the load generator shares its processors with what
// it measures, so what it saves is measured. Answers are parsed in full.
type wire struct {
	server *url.URL
	conn   net.Conn
	reader *bufio.Reader
	text   []byte
	// forget ends the watch of the context, which closes the connection.
	forget func() bool
}

func (w *wire) dial(ctx context.Context) (err error) {
	address := w.server.Host
	secure := w.server.Scheme == "https"
	if w.server.Port() == "" {
		port := "80"
		if secure {
			port = "443"
		}
		address = net.JoinHostPort(w.server.Hostname(), port)
	}
	if secure {
		w.conn, err = new(tls.Dialer).DialContext(ctx, "tcp", address)
	} else {
		w.conn, err = new(net.Dialer).DialContext(ctx, "tcp", address)
	}
	if err != nil {
		w.conn = nil
		return err
	}
	w.reader = bufio.NewReader(w.conn)
	// A server that never answers ends with the context, not with the measurement.
	conn := w.conn
	w.forget = context.AfterFunc(ctx, func() { _ = conn.Close() })
	return nil
}

func (w *wire) close() {
	if w.conn != nil {
		w.forget()
		_ = w.conn.Close()
		w.conn = nil
	}
}

// post sends a command and reads its answer away. A connection that fails is
// dialled anew for the next command; the failed one is not sent again.
func (w *wire) post(ctx context.Context, path string, body []byte) error {
	if w.conn == nil {
		if err := w.dial(ctx); err != nil {
			return err
		}
	}
	again, err := w.exchange(path, body)
	if !again {
		w.close()
	}
	return err
}

// exchange tells whether the connection serves another command.
func (w *wire) exchange(path string, body []byte) (again bool, err error) {
	b := append(w.text[:0], "POST "...)
	b = append(append(b, w.server.EscapedPath()...), path...)
	b = append(append(b, " HTTP/1.1\r\nHost: "...), w.server.Host...)
	b = append(b, "\r\nContent-Type: application/json\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(body)), 10)
	b = append(append(b, "\r\n\r\n"...), body...)
	w.text = b
	if _, err := w.conn.Write(b); err != nil {
		return false, err
	}
	response, err := http.ReadResponse(w.reader, nil)
	if err != nil {
		return false, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode/100 == 2 {
		_, err = io.Copy(io.Discard, response.Body)
		return err == nil && !response.Close, err
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return false, err
	}
	failure := &problemError{Status: response.StatusCode}
	if json.Unmarshal(data, failure) != nil || failure.Reason == "" {
		return false, fmt.Errorf("%s answered %s", w.server, response.Status)
	}
	return !response.Close, failure
}
