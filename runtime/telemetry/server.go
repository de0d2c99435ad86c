package telemetry

import (
	"io"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	headerTimeout = 5 * time.Second
	// answerTimeout is well under the default timeout of a scrape.
	answerTimeout = 8 * time.Second
	idleTimeout   = 2 * time.Minute
)

// NewServer makes the server of the port for health and metrics:
//
//	/livez    200 while the process can answer at all
//	/readyz   200 while ready says so, else 503
//	/metrics  all metrics, for Prometheus
//
// It is a port of its own, so that probes and scrapes neither need the API's
// access rules nor wait behind its callers.
func NewServer(m *Metrics, ready func() bool) *http.Server {
	return &http.Server{
		Handler:           newHandler(m, ready),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       headerTimeout,
		WriteTimeout:      answerTimeout + headerTimeout,
		IdleTimeout:       idleTimeout,
	}
}

func newHandler(m *Metrics, ready func() bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !ready() {
			say(w, http.StatusServiceUnavailable, "not ready")
			return
		}
		say(w, http.StatusOK, "ok")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		Registry: m.registry, Timeout: answerTimeout, EnableOpenMetrics: true,
	}))
	return mux
}

func say(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, text+"\n")
}
