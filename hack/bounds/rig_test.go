// Package bounds holds a real leftfold process to what its documents say that it
// keeps at most: memory, goroutines, file descriptors and database connections,
// and the share of one entity. The forms that CI runs are small; flags make them
// long.
package bounds

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/leftfold/leftfold/hack/internal/ledger"
)

const bank = "../../config/samples/bank"

func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "leftfold")
	if err := ledger.Build(t.Context(), binary); err != nil {
		t.Fatal(err)
	}
	return binary
}

// start starts the bank on a store, with health and metrics.
func start(t *testing.T, binary, manifests string, store ...string) *process {
	t.Helper()
	ops := free(t)
	args := append([]string{"dev", "-f", manifests, "--listen", "127.0.0.1:0", "--ops-listen", ops}, store...)
	p, err := ledger.Start(t.Context(), testLog{t}, binary, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return &process{Process: p, address: strings.TrimPrefix(p.URL, "http://"), ops: "http://" + ops}
}

// process is a leftfold that runs, as the kernel and Prometheus see it.
type process struct {
	*ledger.Process
	address, ops string
}

// kib reads a figure of /proc/PID/status, such as VmRSS, in KiB.
func (p *process) kib(t *testing.T, name string) int {
	t.Helper()
	figures, err := p.Status(name)
	if err != nil {
		t.Fatal(err)
	}
	return figures[0]
}

// files counts the process's open file descriptors.
func (p *process) files(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.PID()))
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// metric adds up a metric over its labels; 0 when it is not there.
func (p *process) metric(t *testing.T, name string) float64 {
	t.Helper()
	response, err := http.Get(p.ops + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var sum float64
	for line := range strings.Lines(string(data)) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(rest, ' '):]), 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}

// wire is one connection of a caller that costs little itself, so that the
// figures are the server's.
type wire struct {
	net.Conn
	in  *bufio.Reader
	out bytes.Buffer
}

func dial(address string) (*wire, error) {
	c, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		return nil, err
	}
	return &wire{Conn: c, in: bufio.NewReaderSize(c, 4096)}, nil
}

// post sends a command and gives the answer's status and body, which is valid
// until the next call.
func (w *wire) post(path, body string, header ...string) (int, []byte, error) {
	w.out.Reset()
	fmt.Fprintf(&w.out, "POST %s HTTP/1.1\r\nHost: bounds\r\nContent-Type: application/json\r\nContent-Length: %d\r\n", path, len(body))
	for i := 0; i+1 < len(header); i += 2 {
		fmt.Fprintf(&w.out, "%s: %s\r\n", header[i], header[i+1])
	}
	w.out.WriteString("\r\n")
	w.out.WriteString(body)
	if _, err := w.Write(w.out.Bytes()); err != nil {
		return 0, nil, err
	}
	return w.answer()
}

var errNoLength = errors.New("an answer without a length")

func (w *wire) answer() (int, []byte, error) {
	status, length := 0, -1
	for {
		line, err := w.in.ReadSlice('\n')
		if err != nil {
			return 0, nil, err
		}
		line = bytes.TrimRight(line, "\r\n")
		switch name, value, _ := bytes.Cut(line, []byte(": ")); {
		case status == 0:
			if len(line) < 12 {
				return 0, nil, fmt.Errorf("no status line: %q", line)
			}
			if status, err = strconv.Atoi(string(line[9:12])); err != nil {
				return 0, nil, err
			}
		case len(line) == 0 && length < 0:
			return status, nil, errNoLength
		case len(line) == 0:
			w.out.Reset()
			_, err := io.CopyN(&w.out, w.in, int64(length))
			return status, w.out.Bytes(), err
		case bytes.EqualFold(name, []byte("content-length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, nil, err
			}
		}
	}
}

func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// testLog hands the process's log to the test's.
type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	_, _ = l.t.Output().Write(p)
	return len(p), nil
}
