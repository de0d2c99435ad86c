package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/leftfold/leftfold/hack/internal/ledger"
)

// served is leftfold dev under measurement.
type served struct {
	*ledger.Process
	binary string
}

// serve starts leftfold dev with the sample on the place.
func serve(ctx context.Context, o options, p place) (*served, error) {
	return serveFiles(ctx, o, p, o.sample)
}

func serveFiles(ctx context.Context, o options, p place, files ...string) (*served, error) {
	flags := append([]string{"dev", "--listen", "127.0.0.1:0", "--log-level", "error", "-f", strings.Join(files, ",")}, p.flags...)
	process, err := ledger.Start(ctx, os.Stderr, o.binary, flags...)
	if err != nil {
		return nil, err
	}
	return &served{process, o.binary}, nil
}

// load is the result of leftfold bench.
type load struct {
	PerSecond float64          `json:"perSecond"`
	P50       float64          `json:"p50Milliseconds"`
	P99       float64          `json:"p99Milliseconds"`
	P999      float64          `json:"p999Milliseconds"`
	Errors    map[string]int64 `json:"errors"`
	// cpus is how many processors the load generator kept busy.
	cpus float64
}

// load runs leftfold bench on the usual number of entities.
func (s *served) load(ctx context.Context, connections int, duration time.Duration) (load, error) {
	return s.loadOf(ctx, entities, connections, duration)
}

func (s *served) loadOf(ctx context.Context, entities, connections int, duration time.Duration) (l load, err error) {
	cmd := exec.CommandContext(ctx, s.binary, "bench", "--server", s.URL, "-o", "json",
		"--aggregate", "account", "--prepare", "Open owner=bench", "--command", "Deposit", "amount=1",
		"--entities", fmt.Sprint(entities), "--connections", fmt.Sprint(connections), "--duration", duration.String())
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return l, err
	}
	l.cpus = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds() / duration.Seconds()
	if err := json.Unmarshal(out, &l); err != nil {
		return l, err
	}
	for _, reason := range slices.Sorted(maps.Keys(l.Errors)) {
		err = errors.Join(err, fmt.Errorf("%d commands failed: %s", l.Errors[reason], reason))
	}
	return l, err
}

// behind gives how long the sample's projection takes, from now, until it has all
// events that are stored now.
func (s *served) behind(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	var end struct{ Position string }
	if err := s.get(ctx, "/v1/events/account?after=end&limit=1", &end); err != nil {
		return 0, err
	}
	for {
		var rows struct{ Position string }
		err := s.get(ctx, "/v1/projections/balances?limit=1&wait=30s&after="+url.QueryEscape(end.Position), &rows)
		if err == nil || time.Since(began) > 2*time.Minute {
			return time.Since(began), err
		}
	}
}

func (s *served) get(ctx context.Context, path string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, response.Status)
	}
	return json.NewDecoder(response.Body).Decode(into)
}

// client keeps enough connections for all who send at once.
var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: otherSenders}}

// post sends a command; what is not answered 200 is an error.
func (s *served) post(ctx context.Context, entity, command, body string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/v1/aggregates/account/"+entity+"/"+command, strings.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s was answered %s", command, response.Status)
	}
	return err
}

// overHTTP measures commands over HTTP against the ceiling, and what they leave
// behind in the projection; then one connection alone against one append alone.
func overHTTP(ctx context.Context, o options, p place, ceiling float64, alone time.Duration) error {
	s, err := serve(ctx, o, p)
	if err != nil {
		return err
	}
	defer s.Kill()
	if _, err := s.load(ctx, connections, o.warmUp()); err != nil {
		return fmt.Errorf("warm up: %w", err)
	}
	measured := make(chan struct{})
	lags := make(chan []time.Duration, 1)
	go func() {
		var all []time.Duration
		for {
			select {
			case <-measured:
				lags <- all
				return
			case <-time.After(250 * time.Millisecond):
				if lag, err := s.behind(ctx); err == nil {
					all = append(all, lag)
				}
			}
		}
	}()
	l, err := s.load(ctx, connections, o.duration)
	close(measured)
	during := <-lags
	if err != nil {
		return err
	}
	after, err := s.behind(ctx)
	if err != nil {
		return fmt.Errorf("the projection: %w", err)
	}
	ratio(fmt.Sprintf("HTTP, %d connections", connections), l.PerSecond, ceiling, 0.12)
	atMost("  p99, ms", l.P99, 60)
	note("  p50 %.2f ms, p99.9 %.2f ms; load generator %.2f CPUs, its start included", l.P50, l.P999, l.cpus)
	slices.Sort(during)
	if n := len(during); n > 0 {
		note("  projection behind the log by %.1f ms in the median, %.1f ms at most (%d looks), %.1f ms at the end",
			milliseconds(during[n/2]), milliseconds(during[n-1]), n, milliseconds(after))
	}
	memory, err := s.Status("VmRSS", "VmHWM")
	if err != nil {
		return err
	}
	note("  leftfold's memory %d MiB, at its peak %d MiB", memory[0]>>10, memory[1]>>10)
	one, err := s.load(ctx, 1, o.duration/2)
	if err != nil {
		return err
	}
	note("one durable append alone: p50 %.3f ms; HTTP alone: p50 %.3f ms, p99 %.3f ms", milliseconds(alone), one.P50, one.P99)
	atMost("  HTTP's p50 by the append's", one.P50/milliseconds(alone), 2.5)
	return nil
}
