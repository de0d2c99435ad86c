package telemetry

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// told makes metrics that have been told something of everything.
func told() *Metrics {
	m := New("1.2.3")
	s := m.Shards()
	s.CommandDone("account", "Deposit", shard.OutcomeWritten, 3*time.Millisecond)
	s.CommandDone("account", "Deposit", shard.OutcomeWritten, 4*time.Millisecond)
	s.CommandDone("account", "Deposit", shard.Outcome("made up"), time.Millisecond)
	s.CommitDone("account", 2*time.Millisecond, 7)
	s.ShardsOwned("account", 3)
	s.ShardsOwned("account", -1)
	s.MailboxDepth("account", 5)
	s.EntitiesLoaded("account", 9)
	s.EntityBytes("account", 900)
	s.MailboxBytes("account", 50)
	s.Refused(problem.LimitMailbox)
	s.Refused("made up")
	s.KeyBytes("account", 370)
	s.FeedBytes("account", 600)
	s.SnapshotBytes("account", 700)
	a := m.API()
	a.Refused(problem.LimitCalls)
	a.Connections(5)
	a.Calls(4)
	a.Streams(3)
	a.BodyBytes(2000)
	a.AnswerBytes(3000)
	m.Routing().Refused(problem.LimitHeldCalls)
	m.Routing().Held(2, 100)
	m.Peers().Refused(problem.LimitServedCalls)
	m.Peers().Calls(7)
	m.Peers().Served(6)
	m.Peers().Served(-1)
	p := m.Projections()
	p.Lag("balances", "account", 0, 4, 2*time.Second)
	p.Lag("balances", "account", 1, 6, 5*time.Second)
	p.Quarantined("balances", 1)
	m.Failover("ProcessDied", 87*time.Millisecond)
	m.OldestTransaction("bank", 12*time.Second)
	return m
}

func TestEveryMetricOfTheContractIsThere(t *testing.T) {
	families, err := told().registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string][]string{}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "leftfold_") {
			continue
		}
		if f.GetHelp() == "" {
			t.Errorf("%s has no help", f.GetName())
		}
		names := []string{}
		for _, l := range f.GetMetric()[0].GetLabel() {
			names = append(names, l.GetName())
		}
		slices.Sort(names)
		labels[f.GetName()] = names
	}
	want := map[string][]string{
		"leftfold_build_info":                       {"version"},
		"leftfold_commands_total":                   {"aggregate", "command", "outcome"},
		"leftfold_command_seconds":                  {"aggregate", "command"},
		"leftfold_commit_seconds":                   {"aggregate"},
		"leftfold_commit_batch_events":              {"aggregate"},
		"leftfold_shard_owned":                      {"aggregate"},
		"leftfold_shard_mailbox_depth":              {"aggregate"},
		"leftfold_entities_loaded":                  {"aggregate"},
		"leftfold_entities_loaded_bytes":            {"aggregate"},
		"leftfold_shard_mailbox_bytes":              {"aggregate"},
		"leftfold_refusals_total":                   {"limit"},
		"leftfold_connections":                      {},
		"leftfold_calls":                            {},
		"leftfold_streams":                          {},
		"leftfold_body_bytes":                       {},
		"leftfold_answer_bytes":                     {},
		"leftfold_held_calls":                       {},
		"leftfold_held_bytes":                       {},
		"leftfold_forwarded_calls":                  {},
		"leftfold_served_calls":                     {},
		"leftfold_remembered_key_bytes":             {"aggregate"},
		"leftfold_shard_feed_bytes":                 {"aggregate"},
		"leftfold_snapshot_queue_bytes":             {"aggregate"},
		"leftfold_projection_lag_events":            {"projection"},
		"leftfold_projection_lag_seconds":           {"projection"},
		"leftfold_projection_quarantined":           {"projection"},
		"leftfold_failovers_total":                  {"reason"},
		"leftfold_failover_seconds":                 {},
		"leftfold_store_oldest_transaction_seconds": {"store"},
	}
	if diff := cmp.Diff(want, labels); diff != "" {
		t.Errorf("metrics and labels (-want +got):\n%s", diff)
	}
}

func TestMetricsFollowThePracticesOfPrometheus(t *testing.T) {
	problems, err := testutil.GatherAndLint(told().registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestWhatObserversTellBecomesFigures(t *testing.T) {
	want := `
# HELP leftfold_commands_total Commands that were answered, by what became of them: written, empty, replayed, rejected, invalid, failed, overloaded, not_attempted, unknown, not_owner.
# TYPE leftfold_commands_total counter
leftfold_commands_total{aggregate="account",command="Deposit",outcome="failed"} 1
leftfold_commands_total{aggregate="account",command="Deposit",outcome="written"} 2
# HELP leftfold_failovers_total Shards that went on here after their owner was lost, by the reason.
# TYPE leftfold_failovers_total counter
leftfold_failovers_total{reason="ProcessDied"} 1
# HELP leftfold_projection_lag_events Stored events that the projection has not read yet, of the shards of this process.
# TYPE leftfold_projection_lag_events gauge
leftfold_projection_lag_events{projection="balances"} 10
# HELP leftfold_projection_lag_seconds Age of the oldest of them; 0 when there is none.
# TYPE leftfold_projection_lag_seconds gauge
leftfold_projection_lag_seconds{projection="balances"} 5
# HELP leftfold_shard_owned Shards that this process owns.
# TYPE leftfold_shard_owned gauge
leftfold_shard_owned{aggregate="account"} 2
`
	err := testutil.GatherAndCompare(told().registry, strings.NewReader(want), "leftfold_commands_total", "leftfold_failovers_total",
		"leftfold_projection_lag_events", "leftfold_projection_lag_seconds", "leftfold_shard_owned")
	if err != nil {
		t.Error(err)
	}
}

func TestEveryLimitIsCountedFromTheStartAndNoOtherEver(t *testing.T) {
	m := told()
	if n := testutil.CollectAndCount(m.refusals); n != len(problem.Limits) {
		t.Errorf("%d limits are counted, want the %d that there are", n, len(problem.Limits))
	}
	met := map[problem.Limit]float64{problem.LimitMailbox: 1, problem.LimitCalls: 1, problem.LimitHeldCalls: 1, problem.LimitServedCalls: 1}
	for _, limit := range problem.Limits {
		if got := testutil.ToFloat64(m.refusals.WithLabelValues(string(limit))); got != met[limit] {
			t.Errorf("%s: %v refusals, want %v", limit, got, met[limit])
		}
	}
	for name, want := range map[string]float64{"connections": 5, "calls": 4, "streams": 3, "body": 2000, "answers": 3000, "held": 2, "held bytes": 100, "forwarded": 7, "served": 5} {
		g := map[string]prometheus.Gauge{
			"connections": m.connections, "calls": m.calls, "streams": m.streams, "body": m.bodyBytes, "answers": m.answerBytes,
			"held": m.heldCalls, "held bytes": m.heldBytes, "forwarded": m.forwarded, "served": m.served,
		}[name]
		if got := testutil.ToFloat64(g); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

func TestProjectionsOfShardsThatMovedAwayAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New("test")
		p := m.Projections()
		p.Lag("balances", "account", 0, 100, time.Minute)
		p.Quarantined("balances", 3)
		time.Sleep(forgetAfter / 2)
		p.Lag("balances", "account", 1, 1, time.Second)
		time.Sleep(forgetAfter/2 + time.Second)
		if n := testutil.CollectAndCount(m.projections, "leftfold_projection_quarantined"); n != 0 {
			t.Errorf("a quarantine that nobody tells of any more is still shown")
		}
		want := "# HELP leftfold_projection_lag_events Stored events that the projection has not read yet, of the shards of this process.\n" +
			"# TYPE leftfold_projection_lag_events gauge\nleftfold_projection_lag_events{projection=\"balances\"} 1\n"
		if err := testutil.CollectAndCompare(m.projections, strings.NewReader(want), "leftfold_projection_lag_events"); err != nil {
			t.Error(err)
		}
	})
}

func TestHealthAndMetricsAreServed(t *testing.T) {
	var ready atomic.Bool
	server := NewServer(told(), ready.Load)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	transport := &http.Transport{}
	client := &http.Client{Transport: transport}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	ask := func(path string) (int, string) {
		response, err := client.Get("http://" + listener.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(body)
	}
	if code, _ := ask("/livez"); code != http.StatusOK {
		t.Errorf("livez: %d", code)
	}
	if code, _ := ask("/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("readyz before being ready: %d", code)
	}
	ready.Store(true)
	if code, _ := ask("/readyz"); code != http.StatusOK {
		t.Errorf("readyz when ready: %d", code)
	}
	code, body := ask("/metrics")
	if code != http.StatusOK || !strings.Contains(body, `leftfold_build_info{version="1.2.3"} 1`) || !strings.Contains(body, "go_goroutines") {
		t.Errorf("metrics: %d\n%s", code, body)
	}
}
