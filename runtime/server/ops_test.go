package server_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
)

// opsGet asks the port of health and metrics.
func (r *rig) opsGet(t *testing.T, path string) (int, string) {
	t.Helper()
	response, err := r.client.Get(r.OpsURL() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(data)
}

// metric gives a series' value, "" when it is not exposed.
func (r *rig) metric(t *testing.T, series string) string {
	t.Helper()
	_, text := r.opsGet(t, "/metrics")
	for line := range strings.SplitSeq(text, "\n") {
		if value, found := strings.CutPrefix(line, series+" "); found {
			return value
		}
	}
	return ""
}

func TestTheMetricsOfTheContractMove(t *testing.T) {
	onEachStore(t, func(t *testing.T, p place) {
		r := start(t, p, probe(t))
		r.add(t, "e", "Idempotency-Key", "k")
		r.add(t, "e", "Idempotency-Key", "k")
		r.do(t, post(probePath("e")+"/Take", `{"amount":5}`))
		r.do(t, post(probePath("e")+"/Divide", `{"amount":0}`))
		position := r.add(t, "e").str(t, "position")
		r.ok(t, get("/v1/projections/counts?wait=10s&after="+position))
		want := map[string]string{
			`leftfold_commands_total{aggregate="probe",command="Add",outcome="written"}`:   "2",
			`leftfold_commands_total{aggregate="probe",command="Add",outcome="replayed"}`:  "1",
			`leftfold_commands_total{aggregate="probe",command="Take",outcome="rejected"}`: "1",
			`leftfold_commands_total{aggregate="probe",command="Divide",outcome="failed"}`: "1",
			`leftfold_command_seconds_count{aggregate="probe",command="Add"}`:              "3",
			`leftfold_commit_batch_events_sum{aggregate="probe"}`:                          "2",
			`leftfold_shard_owned{aggregate="probe"}`:                                      "4",
			`leftfold_shard_mailbox_depth{aggregate="probe"}`:                              "0",
			`leftfold_entities_loaded{aggregate="probe"}`:                                  "1",
			`leftfold_projection_lag_events{projection="counts"}`:                          "0",
			`leftfold_projection_lag_seconds{projection="counts"}`:                         "0",
			`leftfold_projection_quarantined{projection="counts"}`:                         "0",
			`leftfold_failover_seconds_count`:                                              "0",
		}
		eventually(t, func() string {
			for series, value := range want {
				if got := r.metric(t, series); got != value {
					return series + " is " + got + ", want " + value
				}
			}
			return ""
		})
		if got := r.metric(t, `leftfold_commit_seconds_count{aggregate="probe"}`); got == "" || got == "0" {
			t.Errorf("commit_seconds counts %q", got)
		}
		if p.url != "" {
			eventually(t, func() string {
				if r.metric(t, `leftfold_store_oldest_transaction_seconds{store="default"}`) == "" {
					return "the age of the oldest transaction is not exposed"
				}
				return ""
			})
		}
		if _, text := r.opsGet(t, "/metrics"); strings.Contains(text, `entity=`) || strings.Contains(text, `"e"`) {
			t.Error("an entity's id is in a label")
		}
	})
}

// begin sends a command without its body, and returns when the server has begun
// to handle it. What it gives sends the body and tells the answer's status.
func (r *rig) begin(t *testing.T, path string) func(body string) int {
	t.Helper()
	begun, answered := make(chan struct{}), make(chan int, 1)
	// A server asks for the body of such a request once its handler reads.
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got100Continue: func() { close(begun) }})
	reader, writer := io.Pipe()
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL()+path, reader)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("Expect", "100-continue")
	client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: patience, DisableKeepAlives: true}}
	go func() {
		response, err := client.Do(q)
		if err != nil {
			t.Error(err)
			answered <- 0
			return
		}
		answered <- response.StatusCode
		_ = response.Body.Close()
	}()
	select {
	case <-begun:
	case status := <-answered:
		t.Fatalf("answered %d before the body came", status)
	}
	return func(body string) int {
		_, err := io.WriteString(writer, body)
		if err := errors.Join(err, writer.Close()); err != nil {
			t.Error(err)
		}
		return <-answered
	}
}

func TestADrainRefusesNewCallsAndFinishesThoseUnderWay(t *testing.T) {
	onEachStore(t, func(t *testing.T, p place) {
		r := start(t, p, probe(t))
		if code, _ := r.opsGet(t, "/livez"); code != http.StatusOK {
			t.Errorf("livez: %d", code)
		}
		if code, _ := r.opsGet(t, "/readyz"); code != http.StatusOK {
			t.Errorf("readyz while serving: %d", code)
		}
		streamed := r.stream(t, "/v1/events/probe?after=end")
		underWay := r.begin(t, probePath("e")+"/Add")
		stopped := make(chan error, 1)
		go func() { stopped <- r.Stop() }()
		eventually(t, func() string {
			if code, _ := r.opsGet(t, "/readyz"); code != http.StatusServiceUnavailable {
				return "readyz is not 503"
			}
			return ""
		})
		row{status: 503, reason: "NotAttempted", request: addTo("e")}.run(t, r)
		if _, ok := streamed.next(t); ok {
			t.Error("a stream goes on in a drain")
		}
		if status := underWay(`{"amount":1}`); status != http.StatusOK {
			t.Errorf("the call under way: %d", status)
		}
		if err := <-stopped; err != nil {
			t.Errorf("stop: %v", err)
		}
		if err := r.Stop(); err != nil {
			t.Errorf("a second stop: %v", err)
		}
	})
}
